import ast
import json
import os
import re
import select
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import agentloop
from agentloop.cli.commands.packs import describe_effects
from agentloop.installation import find_distribution
from agentloop.packs.discovery import list_packs
from agentloop.packs.import_check import find_failure, try_pack
from agentloop.tools import Effects

PATIENCE_SECONDS = 60
SHOP = '''
from contextlib import asynccontextmanager
from pydantic import Field, SecretStr
from agentloop import Effects, PackConfig, ToolPack, tool

class ShopConfig(PackConfig):
    name: str = Field(description="Whose shop.")
    token: SecretStr = Field(SecretStr("never shown"), description="For the till.")

class Shop(ToolPack[ShopConfig]):
    name = "shop"
    version = "3.1"

    @tool(effects=Effects(read=True), timeout=5)
    def price(self, of: str) -> int:
        """Tell a price.

        Args:
            of: What it is.
        """
        return 3

    @tool
    def sell(self, what: str) -> str:
        """Sell something."""
        return f"{what} is sold"
'''


@pytest.fixture(autouse=True)
def _own_process_state(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    before = set(sys.modules)
    yield
    for name in {name for name in set(sys.modules) - before if name.partition("_")[0] in {"shop", "broken", "first"}}:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(source, name="shop.py"):
        path = tmp_path / name
        path.write_text(source, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a distribution with a pack where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution, source, pack=None, kind="Shop"):
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[agentloop.packs]\n{pack or distribution} = {distribution}:{kind}\n")
        (tmp_path / f"{distribution}.py").write_text(source, encoding="utf-8")
        return next(row for row in list_packs() if row.distribution == distribution)

    return install


def has_ended(pid):
    """Wait until a process that is not ours has ended."""
    try:
        with closing(os.fdopen(os.pidfd_open(pid))) as process:
            return bool(select.select([process], [], [], PATIENCE_SECONDS)[0])
    except ProcessLookupError:
        return True


# --- which there are ---


def test_the_installed_packs_are_listed_with_version_and_distribution(invoke, install):
    install("shop", "raise SystemExit('never imported')")
    status, out, err = invoke("packs")
    assert (status, err) == (0, "")
    assert re.search(r"^shop +1\.0 +shop *$", out, re.MULTILINE)
    assert re.search(rf"^files +{re.escape(agentloop.__version__)} +{find_distribution().name} *$", out, re.MULTILINE)
    rows = json.loads(invoke("packs", "--json")[1])
    assert {"name": "shop", "version": "1.0", "distribution": "shop"} in rows


def test_two_distributions_with_one_name_are_two_rows_and_a_note(invoke, install):
    install("first", SHOP, "shop")
    install("second", SHOP, "shop")
    status, out, err = invoke("packs")
    assert status == 0
    assert re.findall(r"^shop .* (\w+) *$", out, re.MULTILINE) == ["first", "second"]
    assert "2 distributions have a pack 'shop'" in err


@pytest.mark.parametrize("metadata", [None, b"Name: \xff\n"])
def test_what_is_left_of_a_distribution_breaks_nothing(metadata, invoke, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "gone-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[agentloop.packs]\ngone = gone:Gone\n")
    if metadata:
        (info / "METADATA").write_bytes(metadata)
    status, out, _ = invoke("packs")
    assert status == 0
    assert re.search(r"^gone +\? +\? *$", out, re.MULTILINE)


def test_where_no_pack_is_installed_the_list_is_empty(invoke, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert invoke("packs") == (0, "", "")


# --- whether they work ---

BROKEN = {
    "raises": ("print('on import')\n1 / 0", "ZeroDivisionError: division by zero (broken.py, line 2)"),
    "exits": ("import os\nos._exit(0)", "to import or open it ends the process, with status 0"),
    "dies": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "with status -9"),
    "is none": ("Shop = 1", "is not a pack but a int"),
    "can't be made": ("from agentloop import ToolPack\nclass Shop(ToolPack):\n  def __init__(self): ...", "TypeError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pack_is_found_out_in_a_process_of_its_own(case, install):
    source, words = BROKEN[case]
    assert words in try_pack(install("broken", source))
    assert "broken" not in sys.modules


def test_a_check_has_a_row_for_each_pack_and_says_why_one_is_broken(invoke, install, monkeypatch, tmp_path):
    installed = [install("broken", "1 / 0", "bad"), install("shop", SHOP)]
    monkeypatch.setattr("agentloop.cli.commands.packs.list_packs", lambda: installed)
    status, out, err = invoke("packs", "--check")
    assert (status, err) == (2, "")
    assert re.search(r"^shop .* none *$", out, re.MULTILINE)
    assert re.search(
        r"^bad .* can't be imported: ZeroDivisionError: division by zero \(broken\.py, line 1\)", out, re.MULTILINE
    )
    assert [bool(row["failure"]) for row in json.loads(invoke("packs", "--check", "--json")[1])] == [True, False]
    installed.pop(0)
    assert invoke("packs", "--check")[0] == 0


def test_an_import_that_does_not_end_is_ended_with_all_that_it_started(install, tmp_path):
    pid = tmp_path / "pid"
    pack = install(
        "broken",
        f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open({str(pid)!r}, "w") as file:
    file.write(str(child.pid))
time.sleep(600)
""",
    )
    for seconds in (1, 5, 25, 75):  # until the machine is fast enough for the child to be there
        assert try_pack(pack, seconds) == f"to import and open it takes more than {seconds} s"
        if pid.exists() and pid.read_text():
            break
    assert has_ended(int(pid.read_text()))


def test_what_a_check_asks_the_other_process(install):
    install("broken", "1 / 0")
    install("shop", SHOP)
    install("lacking", "from agentloop import ConfigurationError\nraise ConfigurationError('no', hint='pip install x')")
    assert find_failure("broken", "broken").startswith(
        "can't be imported: ZeroDivisionError: division by zero (broken.py, line 1) (fix the pack"
    )
    assert find_failure("lacking", "lacking") == "no (pip install x)"
    assert find_failure("shop", "shop") == ""  # its name has to be configured
    assert find_failure("files", "elsewhere") == ""


LATE = """
from contextlib import asynccontextmanager
from agentloop import ConfigurationError, ToolPack, tool

class Late(ToolPack):
    name = "late"
    {fields}

    @tool
    def count(self) -> int:
        return 1

    @asynccontextmanager
    async def open(self):
        {opening}
"""


@pytest.fixture
def try_late(install, tmp_path):
    """Return a function that tells what a check finds of a pack, beside other modules and with its own metadata."""

    def try_late(fields="", opening="yield self.tools()", metadata="", **modules):
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        pack = install("shop_late", LATE.format(fields=fields, opening=opening), kind="Late")
        with (tmp_path / "shop_late-1.0.dist-info" / "METADATA").open("a") as file:
            file.write(metadata)
        return find_failure(pack.name, pack.distribution)

    return try_late


def test_a_check_imports_what_the_tools_import_when_they_are_first_used(try_late):
    failure = try_late(
        'imports = ("shop_whole", "shop_torn", "shop_needy", "shop_nowhere.inner")',
        shop_whole="",
        shop_torn="raise ImportError('half of me is gone')",
        shop_needy="import shop_needed",
    )
    assert failure.startswith(
        "shop_torn can't be imported: ImportError: half of me is gone (shop_torn.py, line 1);"
        " shop_needed is not installed; shop_nowhere is not installed (fix the pack or leave it out"
    )
    assert "shop_whole" in sys.modules


def test_a_check_tells_how_to_install_what_is_missing(try_late):
    failure = try_late(
        'imports, extra = ("shop_nowhere",), "fast"',
        metadata="Requires-Dist: shop_nowhere>=2; extra == 'fast'\n",
    )
    assert failure == "shop_nowhere is not installed (pip install 'shop_nowhere>=2')"


def test_a_check_opens_a_pack_that_need_not_be_configured(try_late):
    failure = try_late(opening="raise OSError('no till')\n        yield")
    assert failure.startswith("the pack 'late' can't be opened: OSError: no till")


def test_a_check_tells_when_a_pack_can_not_be_closed(try_late):
    failure = try_late(opening="yield []\n        raise OSError('stuck')")
    assert failure == "the pack 'late' could not be closed: OSError: stuck"


def test_a_pack_that_asks_for_a_configuration_when_it_is_opened_is_not_broken(try_late):
    assert try_late(opening="raise ConfigurationError('set TOKEN')\n        yield") == ""


def test_a_view_and_a_registry_that_are_published_are_tried_too(install):
    source = LATE.format(fields='imports = ("shop_nowhere",)', opening="yield self.tools()")
    view = install("shop_view", f"{source}\nShop = Late().prefixed('later')\n")
    registry = install("shop_tools", "from agentloop import ToolRegistry\nShop = ToolRegistry()\n")
    assert find_failure(view.name, view.distribution).startswith("shop_nowhere is not installed (")
    assert find_failure(registry.name, registry.distribution) == ""


# --- what one offers ---


def test_a_pack_is_shown_with_its_configuration_tools_effects_and_schemas(invoke, write):
    status, out, err = invoke("packs", "show", f"{write(SHOP)}:name=Ada")
    assert (status, err) == (0, "")
    assert re.search(r"^name +'Ada' +Whose shop\. *$", out, re.MULTILINE)
    assert re.search(r"^token +SecretStr\(.\*+.\) +For the till\.", out, re.MULTILINE)
    assert re.search(r"^shop\.price +reads +Tell a price\. *$", out, re.MULTILINE)
    assert re.search(
        r"^shop\.sell .*destructive, untrusted results \(not declared\) +Sell something", out, re.MULTILINE
    )
    assert 'shop_price takes {\n  "type": "object"' in out
    assert "never shown" not in out


def test_a_pack_is_shown_as_json(invoke, write):
    status, out, _ = invoke("packs", "show", f"stall={write(SHOP)}:name=Ada", "--json")
    shown = json.loads(out)
    price, sell = shown["tools"]
    assert status == 0
    assert (shown["name"], shown["version"]) == ("stall", "3.1")
    name, token = shown["configuration"]
    assert (name["name"], name["value"], token["name"]) == ("name", "'Ada'", "token")
    assert "never shown" not in token["value"]
    assert (price["name"], price["label"], price["timeout"]) == ("stall_price", "stall.price", 5)
    assert price["effects"]["read"]
    assert price["parameters"]["properties"]["of"] == {"type": "string", "description": "What it is."}
    assert (price["effects_declared"], sell["effects_declared"]) == (True, False)
    assert sell["effects"]["execute"]


def test_a_pack_without_fields_and_tools_says_so(invoke, write):
    file = write("from agentloop import ToolPack\nclass Empty(ToolPack):\n    name = 'empty'\n")
    status, out, err = invoke("packs", "show", file)
    assert (status, err) == (0, "note: the pack 'empty' offers no tools\n")
    assert "field" not in out


def test_a_pack_that_can_not_be_closed_is_shown_all_the_same(invoke, write):
    life = "\n    @asynccontextmanager\n    async def open(self):\n        yield []\n        raise OSError('stuck')\n"
    status, _, err = invoke("packs", "show", f"{write(SHOP + life)}:name=Ada")
    assert status == 0
    assert "note: the pack 'shop' could not be closed: OSError: stuck" in err


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("nowhere", "ConfigurationError", "there is no pack 'nowhere'"),
        ("./nowhere.py", "ConfigurationError", "there is no file "),
        ("{shop}", "ConfigurationError", "name: Field required"),
        ("{broken}", "PackError", "ZeroDivisionError"),
        ("{unopened}", "PackError", "the pack 'shop' can't be opened: OSError: no till"),
    ],
)
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["words", "json"])
def test_a_pack_that_can_not_be_shown_says_why(spec, error, words, as_json, invoke, write):
    unopened = (
        SHOP
        + "\n    @asynccontextmanager\n    async def open(self):\n        raise OSError('no till')\n        yield\n"
    )
    files = {
        "shop": write(SHOP),
        "broken": write("1 / 0", "broken.py"),
        "unopened": write(unopened, "shop_2.py") + ":name=x",
    }
    status, out, err = invoke("packs", "show", spec.format(**files), *as_json)
    assert status == 2
    assert words in err
    assert "hint: " in err
    assert (json.loads(out)["error"]["type"] if as_json else out) == (error if as_json else "")


def test_effects_in_words():
    assert describe_effects(None) == "not declared"
    assert describe_effects(Effects()) == "computes"
    assert describe_effects(Effects(write=True, own_store=True)) == "writes its own store"
    assert describe_effects(Effects(network=True, hosts=("a.example", "b.example"))) == "network (a.example, b.example)"
    assert describe_effects(Effects(network=True, open_world=True, host_argument="url")) == (
        "network (url), untrusted results"
    )
    assert describe_effects(Effects(read=True, write=True, execute=True, network=True, destructive=True)) == (
        "reads, writes, runs code, network, destructive"
    )


# --- one's own ---


def test_a_new_package_passes_its_own_test_and_the_checks(invoke, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    status, out, err = invoke("packs", "new", "word-counts")
    folder = tmp_path / "agentloop-word-counts"
    assert (status, err) == (0, "")
    assert out == (
        "wrote agentloop-word-counts/; next: cd agentloop-word-counts && pip install -e '.[dev]' && pytest\n"
    )
    commands = (["mypy"], ["pytest", "-q"], ["ruff", "check"], ["ruff", "format", "--check"])
    # What mypy finds out about agentloop itself is kept for the next time; that takes longer than all the rest.
    known = request.config.cache.mkdir("new_package") if hasattr(request.config, "cache") else tmp_path / "cache"
    environment = {**os.environ, "MYPY_CACHE_DIR": str(known)}
    with ThreadPoolExecutor() as pool:
        for done in pool.map(lambda command: run_module(command, folder, environment), commands):
            assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(invoke("packs", "show", f"{folder}/agentloop_word_counts/__init__.py", "--json")[1])
    assert [tool["label"] for tool in shown["tools"]] == ["word-counts.count"]


def run_module(command, folder, environment):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_what_a_new_package_needs_for_its_test_is_installed_by_the_command_that_is_told(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke("packs", "new", "counts")
    project = tomllib.loads((tmp_path / "agentloop-counts" / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"] == {"dev": ["pytest>=8"]}
    [own] = [needed for needed in map(Requirement, project["dependencies"]) if needed.name != "pydantic"]
    assert (own.name, own.specifier.contains(agentloop.__version__)) == (find_distribution().name, True)


def test_a_new_package_needs_an_agentloop_that_is_installed(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [])
    status, out, err = invoke("packs", "new", "counts")
    assert (status, out) == (2, "")
    assert err.startswith("error: a new package depends on agentloop, which is not installed here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("files", f"{find_distribution().name} has a pack of this name"),
        ("tools", "the module agentloop_tools already exists"),
        (find_distribution().name.removeprefix("agentloop-"), "is the package of agentloop itself"),
        ("none", "the generated Python code uses this name for something else"),
        ("tool_pack", "the generated Python code uses this name for something else"),
    ],
)
def test_a_new_package_is_in_the_way_of_nothing(name, words, invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = invoke("packs", "new", name)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: a new pack can't be named {name!r}: ")
    assert err.endswith(f"{words}\nhint: give another name\n")
    assert list(tmp_path.iterdir()) == []


def test_the_names_that_a_new_package_uses_itself_are_refused(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke("packs", "new", "counts")
    used = {"None", "True", "False"}
    for file in (tmp_path / "agentloop-counts").glob("*/*.py"):
        imports = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ImportFrom)]
        used |= {alias.name for node in imports for alias in node.names if "Counts" not in alias.name}
    for word in sorted(used):
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word.removesuffix("Config") or word).lower()
        if parted.title().replace("-", "") in {word, word.removesuffix("Config")}:
            assert invoke("packs", "new", parted)[0] == 2, word


def test_a_new_package_overwrites_nothing(invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("packs", "new", "counts")[0] == 0
    mine = tmp_path / "agentloop-counts" / "README.md"
    mine.write_text("mine")
    status, out, err = invoke("packs", "new", "counts")
    assert (status, out) == (2, "")
    assert err.startswith("error: agentloop-counts already exists\nhint: ")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "Counts", "2nd", "a b", "../a", "a--b", "a" * 41])
def test_a_new_package_needs_a_name(name, invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = invoke("packs", "new", name)
    assert status == 2
    assert f"{name!r} is not a valid name for a pack" in err
    assert list(tmp_path.iterdir()) == []


def test_a_new_package_that_can_not_be_written_says_why(invoke, monkeypatch):
    monkeypatch.chdir("/proc")
    status, _, err = invoke("packs", "new", "counts")
    assert status == 2
    assert err.startswith("error: agentloop-counts can't be written: ")


# --- as a process ---


def test_the_version_is_told(invoke):
    assert invoke("--version") == (0, f"agentloop {agentloop.__version__}\n", "")


HELPS = [["packs"], ["packs", "show"], ["packs", "new"], ["packs", "serve"], ["tools", "call"], ["chat"]]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_tells_the_exit_statuses(command, invoke):
    status, out, _ = invoke(*command, "--help")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[-5:]] == ["0", "2", "3", "4", "130"]


FEW = {"agentloop", "typer", "annotated_doc", "shellingham"}
SOME = FEW | {"rich", "typing_extensions", "pydantic_core", "asyncio", "ssl"}


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["--help"], FEW), (["--version"], FEW), (["packs"], SOME), (["packs", "--json"], SOME)],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_needs_no_model_loads_little(arguments, loaded):
    program = f"""
import sys
before = set(sys.modules)
from agentloop.cli import main
try:
    main({arguments!r})
finally:
    new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
    late = {{name for name in new if name in {{"asyncio", "ssl"}} or name not in sys.stdlib_module_names}}
    sys.stderr.write(" ".join(late))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE_SECONDS, check=True)
    assert set(done.stderr.decode().split()) <= loaded


@pytest.mark.usefixtures("measured_programs")
def test_where_not_even_a_complaint_can_be_written_the_status_tells():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "agentloop", "packs"]
        done = subprocess.run(command, stdout=full, stderr=full, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 2


def test_packs_are_served_over_mcp(invoke, monkeypatch):
    served = []
    monkeypatch.setattr(
        "agentloop.cli.commands.packs_serve.serve_packs", lambda specs, *, yes: served.append((specs, list(yes))) or 0
    )
    assert invoke("packs", "serve", "--mcp", "files:root=.", "time")[0] == 0
    assert invoke("packs", "serve", "--mcp", "files", "--yes", "files.write")[0] == 0
    assert served == [(["files:root=.", "time"], []), (["files"], ["files.write"])]
    status, _, err = invoke("packs", "serve", "files")
    assert status == 2
    assert "Missing option '--mcp'" in err
