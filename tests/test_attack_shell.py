"""Ways out of the sandboxes of the pack `shell`, and what a command may leave behind: each way is tried, and fails."""

import asyncio
import errno
import json
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agentloop import ToolError
from agentloop_tools.shell import Shell, backends, cgroup, command, disk, pack, seccomp

PATIENCE_SECONDS = 90
PYTHON = "/usr/bin/python3"
MACHINE = seccomp.MACHINES.get(platform.machine())

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is the attacker in the sandbox"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sandboxes need Linux"),
]
SANDBOXES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(lack), reason=lack or "it works"))
    for name, lack in [(name, find()[1]) for name, find in backends.SANDBOXES.items()]
]
EVERYWHERE = [*SANDBOXES, "host"]


@pytest.fixture(autouse=True)
def temporary_files(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def place(tmp_path):
    """A folder for commands with a file in it, and a file and two sockets outside of it that nobody may reach."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "page").write_text("open")
    (tmp_path / "diary").write_text("private")
    (tmp_path / "diary").chmod(0o600)
    path = str(tmp_path / "letters")
    letterboxes = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    for letterbox, address in zip(letterboxes, (path, f"\0{path}"), strict=True):
        letterbox.bind(address)
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as victim:
        yield SimpleNamespace(
            work=tmp_path / "work", diary=tmp_path / "diary", letters=path, letterboxes=letterboxes, victim=victim
        )
        victim.kill()
    for letterbox in letterboxes:
        letterbox.close()


@asynccontextmanager
async def opened(folder, sandbox, **options):
    chosen = {"unsafe_host": True} if sandbox == "host" else {"sandbox": sandbox}
    async with Shell.from_options({"root": folder, "seconds": PATIENCE_SECONDS, **chosen, **options}).open() as (run,):
        yield run.function


async def run_python(folder, sandbox, code, *words, **options):
    async with opened(folder, sandbox, **options) as run:
        return await tell(run, [PYTHON, "-c", code, *words])


async def tell(run, argv):
    try:
        return await run(argv)
    except ToolError as error:
        return error.message


ATTACKER = """
import ctypes, fcntl, json, os, resource, socket, sys
numbers, work, diary, letters, victim = *map(json.loads, sys.argv[1:2]), *sys.argv[2:5], int(sys.argv[5])
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    words = [ctypes.c_char_p(word) if isinstance(word, bytes) else ctypes.c_long(word) for word in arguments]
    if libc.syscall(numbers[name], *words) < 0:
        raise OSError(ctypes.get_errno(), name)
def own(): return os.open(work + "/page", os.O_RDONLY)
def look(): return os.open(diary, os.O_PATH)
def datagram(address): socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", address)
room = ctypes.addressof(ctypes.create_string_buffer(4096))
ways = {WAYS}
for name, way in ways.items():
    try:
        way()
    except OSError:
        continue
    print(name, flush=True)
print("all tried")
"""

NETWORK = {
    f"{family}/{kind}/{protocol}": f"socket.socket({family}, {kind}, {protocol})"
    for family, kind, protocol in [
        *((2, 1, 0), (10, 1, 6), (2, 2, 17), (2, 2, 1)),  # TCP, UDP and ping
        *((2, 1, 262), (10, 1, 262), (2, 1, 132), (2, 5, 132), (2, 2, 136), (2, 6, 33)),  # MPTCP, SCTP, UDP-Lite, DCCP
        *((2, 3, 255), (17, 3, 768), (16, 3, 0), (16, 2, 12), (40, 1, 0), (38, 5, 0)),  # raw, netlink, hosts of a VM
        *((43, 1, 0), (44, 3, 0), (30, 1, 0), (31, 3, 1), (29, 3, 1), (42, 2, 0), (15, 3, 2)),
    ]
} | {
    "a datagram to a path": "datagram(letters)",
    "a datagram to a name": "datagram(chr(0) + letters)",
    "io_uring, which opens sockets": "call('io_uring_setup', 4, room)",
}
PROCESSES = {
    "set a limit": "resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1))",
    "read a limit": "resource.prlimit(victim, resource.RLIMIT_CPU)",
    "slow it down": "os.setpriority(os.PRIO_PROCESS, victim, 19)",
    "pin it": "os.sched_setaffinity(victim, {0})",
    "schedule it": "os.sched_setscheduler(victim, os.SCHED_BATCH, os.sched_param(0))",
    "take its disk": "call('ioprio_set', 1, victim, 3 << 13)",
    "signal it": "os.kill(victim, 0)",
    "signal its group": "os.killpg(victim, 0)",
    "attach to it": "call('ptrace', 0x4206, victim, 0, 0)",
    "read its memory": "call('process_vm_readv', victim, room, 1, room, 1, 0)",
    "kill it for its memory": "open(f'/proc/{victim}/oom_score_adj', 'w')",
    "compare it": "call('kcmp', victim, os.getpid(), 0, 0, 0)",
}
FILES = {
    "mode": "os.chmod(diary, 0o666)",
    "mode of what may be read": "os.chmod(work + '/page', 0o666)",
    "mode by descriptor": "os.fchmod(own(), 0o666)",
    "mode by a descriptor without rights": "call('fchmodat2', look(), b'', 0o666, 0x1000)",
    "mode by /proc": "os.chmod(f'/proc/self/fd/{look()}', 0o666)",
    "owner": "os.chown(diary, os.getuid(), os.getgid())",
    "owner by descriptor": "os.fchown(own(), os.getuid(), os.getgid())",
    "times": "os.utime(diary, (1, 1))",
    "times now": "os.utime(diary)",
    "times by descriptor": "os.utime(own(), (1, 1))",
    "attribute": "os.setxattr(diary, 'user.a', b'b')",
    "attribute by descriptor": "os.setxattr(own(), 'user.a', b'b')",
    "flags": "fcntl.ioctl(own(), 0x40086602, b'\\0' * 8)",
    "length": "os.truncate(diary, 0)",
    "another name": "os.link(diary, os.environ['TMPDIR'] + '/diary')",
    "a lease, which makes writers wait": "fcntl.fcntl(own(), 1024, fcntl.F_RDLCK)",
    "its folder is watched": "call('inotify_add_watch', libc.inotify_init(), os.path.dirname(work).encode(), 256)",
}
KERNEL = {
    "namespaces": "call('unshare', 0x10000000)",
    "namespaces of a child": "call('clone', 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
    "another's namespaces": "call('setns', own(), 0)",
    "mount": "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
    "mount anew": "call('fsopen', b'tmpfs', 0)",
    "take a mount": "call('open_tree', -100, b'/', 1)",
    "change the root": "os.chroot('/')",
    "programs in the kernel": "call('bpf', 0, room, 64)",
    "handle page faults": "call('userfaultfd', 1)",
    "measure": "call('perf_event_open', room, 0, -1, -1, 0)",
    "keys": "call('keyctl', 0, -3, 0)",
    "add a key": "call('add_key', b'user', b'a', b'b', 1, -4)",
    "memory that nobody counts": "call('shmget', 0, 4096, 0o1600)",
    "messages that nobody counts": "call('msgget', 0, 0o1600)",
    "hide its open files": "call('prctl', 4, 0, 0, 0, 0) or 1",
    "what runs at a crash": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "memory of the system": "open('/proc/sys/vm/drop_caches', 'w')",
    "keys of the console": "open('/proc/sysrq-trigger', 'w')",
    "a device": "os.mknod(os.environ['TMPDIR'] + '/disk', 0o600 | 0o60000, os.makedev(8, 0))",
}


async def attack(place, sandbox, ways, **options):
    """Try some ways in the sandbox, and return those that lead out."""
    code = ATTACKER.replace("{WAYS}", "{" + ", ".join(f"{name!r}: lambda: {way}" for name, way in ways.items()) + "}")
    numbers = {name: each[MACHINE.column] for name, each in seccomp.NUMBERS.items()}
    words = (json.dumps(numbers), str(place.work), str(place.diary), place.letters, str(place.victim.pid))
    told = await run_python(place.work, sandbox, code, *words, **options)
    assert told.startswith("[exit code 0]"), told
    *reached, last = told.splitlines()[1:]
    assert last == "all tried"
    return reached


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_no_socket_leads_out_without_a_network(place, sandbox):
    assert await attack(place, sandbox, NETWORK) == []
    for letterbox in place.letterboxes:
        letterbox.settimeout(0)
        with pytest.raises(BlockingIOError):
            letterbox.recv(1)


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_with_a_network_there_are_the_common_sockets_alone(place, sandbox):
    reached = await attack(place, sandbox, NETWORK, network=True)
    assert {"2/1/0", "10/1/6", "2/2/17"} <= set(reached) <= {*list(NETWORK)[:4], "16/3/0", "a datagram to a name"}


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_no_call_reaches_a_process_of_the_host(place, sandbox):
    assert await attack(place, sandbox, PROCESSES) == []
    assert psutil.Process(place.victim.pid).nice() == 0


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_no_call_changes_a_file_that_may_not_be_written(place, sandbox):
    before = [os.stat(path) for path in (place.diary, place.work / "page")]  # noqa: PTH116 - a test
    reached = await attack(place, sandbox, FILES)
    assert reached == (["its folder is watched"] if sandbox == "bwrap" else [])  # it is another folder there
    after = [os.stat(path) for path in (place.diary, place.work / "page")]  # noqa: PTH116 - a test
    assert [(each.st_mode, each.st_mtime, each.st_nlink) for each in after] == [
        (each.st_mode, each.st_mtime, each.st_nlink) for each in before
    ]


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_no_call_reaches_parts_of_the_kernel_that_programs_do_not_need(place, sandbox):
    assert await attack(place, sandbox, KERNEL) == []


@pytest.mark.parametrize("sandbox", [each for each in SANDBOXES if each.values[0] == "bwrap"])
async def test_in_namespaces_not_even_the_names_outside_are_seen(place, sandbox):
    ways = {
        "size": "os.stat(diary)",
        "folder": "os.stat(os.path.dirname(diary) + '/letters')",
        "home": "os.stat('/root')",
    }
    assert await attack(place, sandbox, ways) == []


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has three kinds of numbers for system calls")
@pytest.mark.parametrize("way", ["libc.syscall(0x40000000 | 39)", "interrupt()"])
async def test_the_other_numbers_of_a_processor_for_system_calls_are_refused(place, sandbox, way):
    code = """
import ctypes, mmap
libc = ctypes.CDLL(None)
def interrupt():  # calls getpid as a program of 32 bits does
    memory = mmap.mmap(-1, 4096, prot=7)
    memory.write(bytes.fromhex("b814000000cd80c3"))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print("number", WAY)
""".replace("WAY", way)
    told = await run_python(place.work, sandbox, code)
    assert "number -1" in told or "number" not in told
    assert "number -1" in told or "SIGSYS" in told or f"[exit code {128 + signal.SIGSYS}]" in told


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_ordinary_work_is_not_refused(place, sandbox):
    code = """
import os, resource, socket, subprocess, tempfile, threading, multiprocessing
one, other = socket.socketpair()
one.send(b"through a pair"); print(other.recv(20).decode())
thread = threading.Thread(target=print, args=("from a thread",)); thread.start(); thread.join()
print(subprocess.run(["echo", "from a child"], capture_output=True, text=True).stdout, end="")
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)); os.nice(1); os.sched_getaffinity(0)
with tempfile.TemporaryFile() as file: file.write(b"x")
server = socket.socket(socket.AF_UNIX); server.bind(os.environ["TMPDIR"] + "/s"); server.listen()
print("done")
"""
    told = await run_python(place.work, sandbox, code)
    assert told == "[exit code 0]\nthrough a pair\nfrom a thread\nfrom a child\ndone"


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_a_file_can_be_touched_where_files_may_be_written(place, sandbox):
    async with opened(place.work, sandbox, write=True) as run:
        assert await run(["touch", "new", "page"]) == "[exit code 0]"
    assert (place.work / "new").exists()


def test_a_filter_is_a_program_that_the_kernel_takes():
    """In a child: no other test shall be filtered."""
    code = f"""
import ctypes, socket
from agentloop_tools.shell.seccomp import make_filter
from agentloop_tools.shell.supervisor.processes import SET_NO_NEW_PRIVILEGES, prctl
from agentloop_tools.shell.supervisor.sandboxes import _install_filter
prctl(SET_NO_NEW_PRIVILEGES, 1)
_install_filter(make_filter(network=False, namespaces=False, write=False))
try:
    socket.socket()
except OSError as error:
    print(error.errno)
try:
    prctl({2**30}, 0)
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "22"]


ALLOW, KILL = 0x7FFF0000, 0x80000000


def judge(program, audit, number, *arguments):
    """Return the error that a filter gives to a system call, ALLOW or KILL, as the kernel finds it."""
    values = [number, audit, 0, 0, *(half for value in arguments for half in (value & 0xFFFFFFFF, value >> 32))]
    call = struct.pack(f"={len(values)}I", *values).ljust(64, b"\0")
    at = word = 0
    while True:
        code, true, false, value = struct.unpack_from("=HBBI", program, 8 * at)
        match code:
            case 0x20:
                [word] = struct.unpack_from("=I", call, value)
            case 0x54:
                word &= value
            case 0x15:
                at += true if word == value else false
            case _:
                return value if value in (ALLOW, KILL) else value & 0xFFFF
        at += 1


@pytest.mark.parametrize("name", seccomp.MACHINES)
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_filter_decides_alike_on_each_processor(monkeypatch, name, namespaces):
    monkeypatch.setattr(seccomp.platform, "machine", lambda: name)
    program = seccomp.make_filter(network=False, namespaces=namespaces, write=True)
    machine = seccomp.MACHINES[name]
    number = {call: numbers[machine.column] for call, numbers in seccomp.NUMBERS.items()}
    assert len(program) < 8 * 4096  # the kernel's limit
    for expected, call, *arguments in [
        *((ALLOW, "socket", 1, 1, 0), (errno.EPERM, "socket", 2, 1, 0), (errno.EPERM, "socket", 16, 3, 0)),
        *((ALLOW, "socketpair", 1, 1, 0), (errno.EPERM, "socketpair", 2, 1, 0), (errno.ENOSYS, "clone3", 0)),
        *((ALLOW, "clone", 0x11), (errno.EPERM, "clone", 0x20000011), (errno.EPERM, "unshare", 0)),
        *((ALLOW, "prlimit64", 0, 7), (ALLOW if namespaces else errno.EPERM, "prlimit64", 4321, 7)),
        *(
            (ALLOW, "fcntl", 3, 1),
            (errno.EPERM, "fcntl", 3, 1024),
            (ALLOW, "prctl", 15, 0),
            (errno.EPERM, "prctl", 4, 0),
        ),
        (ALLOW if namespaces else errno.EPERM, "fchmod", 3, 0o777),
        (ALLOW, "utimensat", 3, 0, 0),
        *(
            (ALLOW if namespaces else errno.EPERM, "utimensat", 3, *words)
            for words in ((1 << 32, 0), (0, 1 << 32), (1, 0))
        ),
    ]:
        assert (call, judge(program, machine.audit, number[call], *arguments)) == (call, expected)
    assert judge(program, machine.audit, 0) == ALLOW
    assert judge(program, machine.audit, 0x40000000) == errno.ENOSYS
    assert judge(program, 0x40000003, 0) == KILL


# --- the disk ---

FILLS = {
    "many files": "open(f'{at}', 'wb').write(part)",
    "files without a name": "kept.append(open('x', 'wb', buffering=0)); kept[-1].write(part); os.unlink('x')",
    "files in memory": "kept.append(os.memfd_create('x')); os.write(kept[-1], part)",
    "reserved space": "os.posix_fallocate(os.open(f'{at}', os.O_CREAT | os.O_RDWR), 0, len(part))",
    "empty files": "[open(f'{at}-{n}', 'w').close() for n in range(400)]",
    "nested folders": "os.mkdir('d'); os.chdir('d'); open('x', 'wb').write(part)",
    "children that nobody waits for": "os.fork() or (open(f'{at}', 'wb').write(part), os._exit(0))",
}


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("way", FILLS)
async def test_what_a_command_writes_is_bounded_however_it_writes(place, temporary_files, sandbox, way):
    code = f"""
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.chdir(os.environ["TMPDIR"])
part, kept = b"x" * 2**18, []
for at in range(10**9):
    {FILLS[way]}
    time.sleep(0.005)
"""
    told = await run_python(place.work, sandbox, code, disk_mb=8)
    assert told.startswith("The command wrote more to the disk than the 8 MB that the commands of a run may add")
    assert list(temporary_files.iterdir()) == []


async def test_a_folder_without_rights_hides_nothing(tmp_path):
    folder = tmp_path / "work"
    (folder / "closed" / "deeper").mkdir(parents=True)
    (folder / "closed" / "deeper" / "file").write_bytes(b"x" * 100_000)
    (folder / "closed" / "again").hardlink_to(folder / "closed" / "deeper" / "file")
    (folder / "link").symlink_to("/usr")
    plain = disk.measure(str(folder))
    assert 100_000 < plain < 200_000
    (folder / "closed").chmod(0o000)
    assert disk.measure(str(folder)) == plain
    assert (folder / "closed").stat().st_mode & 0o777 == 0
    (folder / "closed").chmod(0o700)


@pytest.mark.parametrize("sandbox", EVERYWHERE)
async def test_the_bound_holds_for_all_commands_of_a_run_together(place, sandbox):
    async with opened(place.work, sandbox, write=True, file_size_mb=1) as run:
        told = [
            await tell(run, ["sh", "-c", f"for n in 1 2 3 4; do head -c 1000000 /dev/zero > {at}-$n; done"])
            for at in range(4)
        ]
        assert told[:2] == ["[exit code 0]"] * 2
        assert all(each.startswith("The command wrote more to the disk than the 10 MB") for each in told[2:])
        assert await tell(run, ["sh", "-c", "rm [0-9]*; echo removed"]) == "[exit code 0]\nremoved"
        assert await tell(run, ["sh", "-c", "head -c 1000000 /dev/zero > new"]) == "[exit code 0]"


async def test_a_run_remembers_what_its_commands_have_added(place, monkeypatch):
    state = {}
    monkeypatch.setattr(pack, "start_watch", lambda root, most: state.update(disk.start_watch(root, most)) or state)
    async with opened(place.work, "host") as run:
        await run(["sh", "-c", "head -c 500000 /dev/zero > more"])
        assert 500_000 <= state["grown"] < 600_000


def test_a_command_that_adds_nothing_to_what_is_too_much_goes_on(tmp_path, monkeypatch):
    state = disk.start_watch(str(tmp_path), 100) | {"grown": 200}
    watch = disk.DiskWatch(state, "none")
    for size, more in ((200, False), (150, False), (201, True)):
        monkeypatch.setattr(
            disk, "measure", lambda folder, size=size: state["before"] + size if folder != "none" else 0
        )
        assert watch.end() is more


def test_a_folder_that_takes_long_to_measure_is_measured_when_the_disk_has_lost_space(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(disk, "measure", lambda folder: measured.append(folder) or 0)
    free = {str(tmp_path): 1000, "scratch": 1000}
    monkeypatch.setattr(disk, "free_space", free.get)
    state = disk.start_watch(str(tmp_path), 100)
    watch = disk.DiskWatch(state, "scratch")
    for folder, left, again in (
        *((str(tmp_path), 951, False), (str(tmp_path), 949, True), (str(tmp_path), 940, False)),
        *(("scratch", 951, False), ("scratch", 949, True)),
    ):
        monkeypatch.setattr(watch, "_due", float("inf"))
        monkeypatch.setitem(state, "cost", 1)
        measured.clear()
        free[folder] = left
        assert not watch.end()
        assert bool(measured) is again
    monkeypatch.setattr(watch, "_due", float("inf"))
    monkeypatch.setitem(state, "cost", 0)
    measured.clear()
    assert not watch.end()
    assert measured


# --- what is left behind ---


@pytest.mark.parametrize("sandbox", EVERYWHERE)
@pytest.mark.parametrize(
    "script",
    [
        "mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b/c a/b a . ",
        "touch x; ln -s / root; ln x y; mkfifo p; touch \"$(printf 'a\\nb')\"; chmod 400 .",
        f'exec {PYTHON} -c \'import os\nfor _ in range(1200): os.mkdir("d"); os.chdir("d")\'',
    ],
    ids=["without rights", "of all kinds", "nested"],
)
async def test_the_folder_for_temporary_files_goes_whatever_was_done_to_it(place, temporary_files, sandbox, script):
    async with opened(place.work, sandbox) as run:
        await tell(run, ["sh", "-c", f"cd $TMPDIR; {script}"])
    assert list(temporary_files.iterdir()) == []


def test_a_folder_is_removed_without_following_its_links(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "kept").chmod(0o500)
    (tmp_path / "gone" / "a").mkdir(parents=True)
    (tmp_path / "gone" / "a" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept" / "file")
    disk.remove_folder(str(tmp_path / "gone"))
    disk.remove_folder(str(tmp_path / "gone"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o500
    assert (tmp_path / "kept" / "file").read_text() == "x"


ESCAPES = {
    "its supervisor is killed": "kill -9 $PPID",
    "the supervisor's parent is killed": "kill -9 $(ps -o ppid= -p $PPID)",
    "both are": "kill -9 $(ps -o ppid= -p $PPID) $PPID",
}


@pytest.mark.parametrize("way", ESCAPES)
async def test_without_a_sandbox_the_whole_tree_ends_although(place, temporary_files, way):
    if way == "both are" and not (group := cgroup.make_group()):
        pytest.skip("this process may make no control groups")
    elif way == "both are":
        cgroup.end_group(group)
    escape = f"(setsid env -i sh -c 'echo $$ > {place.work}/pid; exec sleep 600' > /dev/null 2>&1 &)"
    wait = f"while ! [ -s {place.work}/pid ]; do :; done"
    async with opened(place.work, "host") as run:
        await tell(run, ["sh", "-c", f"{escape}; {wait}; {ESCAPES[way]}; exit"])
    pid = int((place.work / "pid").read_text())
    await until_gone(pid)
    assert list(temporary_files.iterdir()) == []


async def until_gone(pid):
    _, left = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=PATIENCE_SECONDS)
    assert left == []


async def test_a_supervisor_that_stands_still_is_killed_with_all_its_processes(place, temporary_files, monkeypatch):
    monkeypatch.setattr(command, "_LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(command, "make_group", lambda: "")
    pids = place.work / "pids"
    script = f"setsid sleep 600 & kill -STOP $PPID; echo $! $PPID > {pids}; sleep 600"
    async with opened(place.work, "host") as run, asyncio.timeout(PATIENCE_SECONDS):
        running = asyncio.ensure_future(run(["sh", "-c", script]))
        while not pids.exists() or not pids.read_text().endswith("\n"):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    for pid in pids.read_text().split():
        await until_gone(int(pid))
    assert list(temporary_files.iterdir()) == []


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [
        ("1:name=systemd:/\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"),
        ("0::/here\n", "30 24 0:26 / /sys/fs/cgroup rw - tmpfs cgroup rw\n"),
        ("0::/../outside\n", "30 24 0:26 /inside /sys/fs/cgroup rw - cgroup2 cgroup rw\n"),
        ("0::/\n", "30 24 0:26 / PLACE rw - cgroup2 cgroup rw\n"),  # a folder of the kernel would have a `cgroup.kill`
        ("0::/none\n", "30 24 0:26 / PLACE rw - cgroup2 cgroup rw\n"),
    ],
)
def test_where_there_are_no_control_groups_none_is_made(tmp_path, monkeypatch, groups, mounts):
    for name, text in (("_GROUPS", groups), ("_MOUNTS", mounts.replace("PLACE", str(tmp_path / "groups")))):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(cgroup, name, tmp_path / name)
    (tmp_path / "groups").mkdir()
    assert cgroup.make_group() == ""
    assert list((tmp_path / "groups").iterdir()) == []
