import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop import ConfigurationError, PackError, ToolPack
from agentloop.installation import find_distribution
from agentloop.packs.discovery import list_packs, load_pack
from agentloop.packs.spec import PackSpec, read_spec

GREETINGS = '''
from pydantic import Field
from agentloop import Effects, PackConfig, ToolPack, tool

class GreetingsConfig(PackConfig):
    word: str = Field("Hello", description="What it says.")
    loud: bool = Field(False, description="Whether it shouts.")

class Greetings(ToolPack[GreetingsConfig]):
    name = "greetings"
    version = "1.2"

    @tool(effects=Effects())
    def greet(self, who: str) -> str:
        """Greet somebody.

        Args:
            who: Whom.
        """
        said = f"{self.config.word}, {who}"
        return said.upper() if self.config.loud else said
'''


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch):
    """Forget what a test has imported."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(source, name="greetings.py"):
        path = tmp_path / name
        path.write_text(source, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a distribution with packs where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution, packs, source="", version="1.0"):
        info = tmp_path / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        entries = "\n".join(f"{name} = {value}" for name, value in packs.items())
        (info / "entry_points.txt").write_text(f"[agentloop.packs]\n{entries}\n")
        (tmp_path / f"{distribution}.py").write_text(source, encoding="utf-8")

    return install


def names(pack):
    return [tool.name for tool in pack.tools()]


# --- what a spec says ---

SPECS = {
    "files": PackSpec("name", "files"),
    "files:": PackSpec("name", "files"),
    "files:root=.,write=true": PackSpec("name", "files", options={"root": ".", "write": "true"}),
    "files: root=a b , write=true": PackSpec("name", "files", options={"root": "a b ", "write": "true"}),
    "files:root=C:\\x": PackSpec("name", "files", options={"root": "C:\\x"}),
    "files:root=./a.py": PackSpec("name", "files", options={"root": "./a.py"}),
    "files:root=a\\,b,write=1": PackSpec("name", "files", options={"root": "a,b", "write": "1"}),
    "files:root=": PackSpec("name", "files", options={"root": ""}),
    'files:{"root": "a,b"}': PackSpec("name", "files", options={"root": "a,b"}),
    'files: {"root": "a,b"} ': PackSpec("name", "files", options={"root": "a,b"}),
    'web:hosts=["a","b"],x="1,2",y={"z": 1}': PackSpec(
        "name", "web", options={"hosts": ["a", "b"], "x": "1,2", "y": {"z": 1}}
    ),
    "http:base=https://a.example/?q=1": PackSpec("name", "http", options={"base": "https://a.example/?q=1"}),
    "docs=files:root=docs": PackSpec("name", "files", prefix="docs", options={"root": "docs"}),
    "docs=./a.py:Thing": PackSpec("file", "./a.py", "Thing", "docs"),
    "./a.py": PackSpec("file", "./a.py"),
    "a=b.py": PackSpec("file", "b.py", prefix="a"),
    "./a=b.py": PackSpec("file", "./a=b.py"),
    "C:\\packs\\a.py:Thing:x=1": PackSpec("file", "C:\\packs\\a.py", "Thing", options={"x": "1"}),
    "/a/b.py:x=1": PackSpec("file", "/a/b.py", options={"x": "1"}),
    '/a/b.py:{"x": 1}': PackSpec("file", "/a/b.py", options={"x": 1}),
    '/a/b.py:Thing:{"x": 1}': PackSpec("file", "/a/b.py", "Thing", options={"x": 1}),
    "my.module": PackSpec("module", "my.module"),
    "my.module:Thing": PackSpec("module", "my.module", "Thing"),
    "my.module:Thing.inner:x=1": PackSpec("module", "my.module", "Thing.inner", options={"x": "1"}),
    "my.module:x=1": PackSpec("module", "my.module", options={"x": "1"}),
    "module:Thing": PackSpec("module", "module", "Thing"),
}


@pytest.mark.parametrize("text", SPECS)
def test_a_spec_says_which_pack_under_what_name_configured_how(text):
    assert read_spec(text) == SPECS[text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not the name of a pack"),
        (":x=1", "it is not the name of a pack"),
        ("a b", "it is not the name of a pack"),
        ("../files", "it is not the name of a pack"),
        ("files:=1", "it is not of the form key=value"),
        ("files:root=.,write", "the text after 'root' is not of the form key=value"),
        ("files:root=.,", "the text after 'root' is not of the form key=value"),
        ("files:root=.,root=x", "'root' is given twice"),
        ('files:root="a', "the value of 'root' begins like JSON but is not valid JSON"),
        ('files:root="a"b', "there is text after the JSON value of 'root'"),
        ("files:{root: 1}", "its configuration begins like JSON but is not valid JSON"),
        ("files:{} x", "there is text after its JSON configuration"),
        ("files:x=" + "[" * 100_000, "begins like JSON but is not valid JSON"),
    ],
)
def test_a_spec_that_makes_no_sense_is_told_with_what_to_write(text, words):
    with pytest.raises(ConfigurationError) as told:
        read_spec(text)
    assert words in told.value.message
    assert told.value.hint


def test_what_is_wrong_with_a_spec_does_not_repeat_its_values():
    with pytest.raises(ConfigurationError) as told:
        read_spec('http:token="secret')
    assert "secret" not in str(told.value)


FIELDS = st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True)
PLAIN = st.text(max_size=20).filter(lambda text: "\\" not in text and not text.startswith(("{", "[", '"')))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(FIELDS, PLAIN, min_size=1, max_size=4))
def test_any_text_comes_through_a_spec(options):
    written = ",".join(f"{key}={value}".replace(",", "\\,") for key, value in options.items())
    assert read_spec(f"files:{written}") == PackSpec("name", "files", options=options)


@given(st.dictionaries(FIELDS, st.lists(VALUES, max_size=3) | st.dictionaries(FIELDS, VALUES, max_size=3), min_size=1))
def test_any_json_comes_through_a_spec(options):
    pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in options.items())
    assert read_spec(f"files:{pairs}").options == options
    assert read_spec(f"x=files:{json.dumps(options)}") == PackSpec("name", "files", prefix="x", options=options)


@given(st.text() | st.text(alphabet='a=:.,\\{}[]"py/'))
@example("a.py")
def test_whatever_the_text_it_is_a_spec_or_a_mistake(text):
    try:
        assert read_spec(text).kind
    except ConfigurationError as error:
        assert error.hint  # noqa: PT017 - either is right


# --- what is installed ---


def test_the_packs_of_agentloop_itself_are_installed_and_each_can_be_imported():
    rows = [pack for pack in list_packs() if pack.distribution == find_distribution().name]
    assert {"calculate", "files", "http", "mcp", "notes", "python", "search_files", "shell"} <= {r.name for r in rows}
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert all(row.version[0].isdigit() for row in rows)


def test_a_list_of_packs_imports_none_of_them(install):
    install("broken", {"broken": "broken:Broken"}, "raise SystemExit('never')")
    assert "broken" in [pack.name for pack in list_packs()]
    assert "broken" not in sys.modules


@pytest.mark.parametrize("entries", ["bad\n", "bad = \udcff\n"])
def test_entry_points_that_can_not_be_read_break_no_list(entries, install, tmp_path):
    install("first", {"greetings": "first:Greetings"}, GREETINGS)
    install("bad", {})
    text = f"[agentloop.packs]\n{entries}".encode(errors="surrogateescape")
    (tmp_path / "bad-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    found = [pack.distribution for pack in list_packs()]
    assert "first" in found
    assert "bad" not in found


def test_a_distribution_whose_metadata_can_not_be_read_still_has_its_packs(install, tmp_path):
    install("first", {"greetings": "first:Greetings"}, GREETINGS)
    (tmp_path / "first-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\n")
    [found] = [pack for pack in list_packs() if pack.name == "greetings"]
    assert (found.distribution, found.version) == ("?", "?")


def test_of_a_distribution_that_is_there_twice_the_first_counts(install, tmp_path, monkeypatch):
    install("first", {"greetings": "first:Greetings"}, GREETINGS)
    later = tmp_path / "later"
    (later / "first-0.9.dist-info").mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        text = (tmp_path / "first-1.0.dist-info" / name).read_text()
        (later / "first-0.9.dist-info" / name).write_text(text.replace("Version: 1.0", "Version: 0.9"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(later)])
    assert [pack.version for pack in list_packs() if pack.name == "greetings"] == ["1.0"]


def test_a_pack_is_found_by_its_name_and_configured_from_text(install):
    install("greetings", {"greetings": "greetings:Greetings"}, GREETINGS)
    pack = load_pack("greetings:word=Hi,loud=true")
    assert (pack.name, pack.version, names(pack)) == ("greetings", "1.2", ["greet"])
    assert pack.tools()[0]("Ada") == "HI, ADA"


def test_a_pack_can_have_another_name(install):
    install("greetings", {"greetings": "greetings:Greetings", "hello": "greetings:Greetings"}, GREETINGS)
    assert load_pack("hi=greetings").prefix == "hi"
    assert load_pack("greetings").prefix == ""
    assert load_pack("hello").prefix == "hello"  # as it was named


PUBLISHED = {
    "a class": "greetings:Greetings",
    "an object": "greetings:ready",
    "a function that returns a class": "greetings:give_class",
    "a function that returns an object": "greetings:give_object",
    "a registry": "greetings:registry",
    "a function that returns a registry": "greetings:give_registry",
    "something inside": "greetings:Outer.Inner",
}
WAYS = """
from agentloop import ToolRegistry
ready = Greetings()
registry = ToolRegistry()
@registry.tool
def greet(who: str) -> str: return who
def give_class(): return Greetings
def give_object(): return Greetings()
def give_registry(): return registry
class Outer:
    Inner = Greetings
"""


@pytest.mark.parametrize("way", PUBLISHED)
def test_what_may_be_published(way, install):
    install("greetings", {"hello": PUBLISHED[way]}, GREETINGS + WAYS)
    pack = load_pack("hello")
    assert isinstance(pack, ToolPack)
    assert pack.prefix or pack.name == "hello"


def test_what_is_published_as_it_is_takes_no_configuration(install):
    install("greetings", {"hello": "greetings:registry"}, GREETINGS + WAYS)
    with pytest.raises(ConfigurationError, match="takes no configuration"):
        load_pack("hello:word=Hi")


def test_a_configuration_that_does_not_fit_names_its_fields(install):
    install("greetings", {"greetings": "greetings:Greetings"}, GREETINGS)
    with pytest.raises(ConfigurationError) as told:
        load_pack("greetings:volume=9,loud=perhaps")
    assert "volume: " in told.value.message
    assert "loud: " in told.value.message
    assert "word='Hello': What it says." in told.value.hint


def test_a_pack_that_is_not_there_gives_the_near_names_and_the_ways_to_get_it(install):
    install("greetings", {"greetings": "greetings:Greetings"}, GREETINGS)
    with pytest.raises(ConfigurationError) as told:
        load_pack("greeting")
    assert told.value.message == "there is no pack 'greeting'"
    assert "'greetings'" in told.value.hint
    assert "pip install" in told.value.hint
    with pytest.raises(ConfigurationError) as told:
        load_pack("zzzzzz")
    assert "did you mean" not in told.value.hint


def test_a_name_that_two_distributions_have_is_no_name_and_the_module_is_the_way_out(install):
    install("first", {"greetings": "first:Greetings"}, GREETINGS)
    install("second", {"greetings": "second:Greetings"}, GREETINGS, "2.0")
    assert [p.distribution for p in list_packs() if p.name == "greetings"] == ["first", "second"]
    with pytest.raises(ConfigurationError) as told:
        load_pack("greetings")
    assert "first 1.0 and second 2.0" in told.value.message
    assert "second:Greetings" in told.value.hint
    assert names(load_pack("second:Greetings:word=Hi")) == ["greet"]


def test_a_pack_given_words_in_place_of_fields_says_what_to_write():
    with pytest.raises(ConfigurationError, match=r"'files' can't be read: 'write' is not of the form key=value"):
        load_pack("files:write")


# --- packs that are broken ---

BROKEN = {
    "syntax": ("def (", "can't be imported: SyntaxError: ", "fix the pack"),
    "raises": ("1 / 0", "can't be imported: ZeroDivisionError: division by zero (broken.py, line 1)", "other packs"),
    "raises without a word": ("raise KeyError", "can't be imported: KeyError (broken.py, line 1)", ""),
    "lacks an extra": ("import not_there.at_all", "No module named 'not_there'", "install 'not_there'"),
    "lacks a name": ("from json import nothing_there", "cannot import name 'nothing_there'", "fix the pack"),
    "exits": ("import sys\nsys.exit(3)", "can't be imported: SystemExit: 3 (broken.py, line 2)", ""),
    "panics": (
        "class Panic(BaseException): ...\nraise Panic(3)",
        "can't be imported: Panic: 3 (broken.py, line 2)",
        "",
    ),
    "has no such thing": ("x = 1", "can't be imported: AttributeError: ", ""),
    "a number": ("Broken = 1", "is not a pack but a int", "publish a ToolPack"),
    "a tool": (
        "from agentloop import tool\n@tool\ndef Broken() -> str: return ''",
        "is not a pack but a tool",
        "Registry",
    ),
    "returns none": ("def Broken(): pass", "is not a pack but a NoneType", "publish a ToolPack"),
    "a function that raises": ("def Broken(): 1 / 0", "can't be made: ZeroDivisionError", "fix the pack"),
    "needs arguments": ("def Broken(x): pass", "can't be made: TypeError: Broken() missing", "fix the pack"),
    "faulty tool": (
        "from agentloop import ToolPack, tool\nclass Broken(ToolPack):\n  @tool\n  def f(self, a): ...",
        "`a`",
        "strict=False",
    ),
    "from the future": ("from agentloop import ToolPack\nclass Broken(ToolPack): api = 2", "version 2", "upgrade"),
    "from nowhere": ("from agentloop import ToolPack\nclass Broken(ToolPack): api = 'x'", "version 'x'", "upgrade"),
    "a bad name": ("from agentloop import ToolPack\nclass Broken(ToolPack): name = 'a b'", "the name 'a b'", "40"),
    "no text for a name": ("from agentloop import ToolPack\nclass Broken(ToolPack): name = 1", "the name 1", "40"),
    "not set up": (
        "from agentloop import ToolPack\nclass Broken(ToolPack):\n  def __init__(self, config=None): pass",
        "has no configuration",
        "call super().__init__(config)",
    ),
    "raises when made": (
        "from agentloop import ToolPack\nclass Broken(ToolPack):\n  def __init__(self, config=None): raise OSError(5)",
        "can't be made: OSError: 5 (broken.py, line 3)",
        "fix the pack",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pack_says_why_and_breaks_nothing_else(case, install):
    source, words, hint = BROKEN[case]
    install("broken", {"broken": "broken:Broken"}, source)
    install("greetings", {"greetings": "greetings:Greetings"}, GREETINGS)
    with pytest.raises(PackError) as told:
        load_pack("broken")
    assert words in told.value.message
    assert "broken 1.0" in told.value.message
    assert hint in told.value.hint
    assert told.value.hint
    assert names(load_pack("greetings")) == ["greet"]


def test_an_entry_point_that_is_none_breaks_nothing_else(install):
    install("broken", {"broken": "not a module"})
    assert "broken" in [pack.name for pack in list_packs()]
    with pytest.raises(PackError, match="can't be imported"):
        load_pack("broken")


# --- packs under development ---


def test_a_file_gives_the_only_pack_in_it(write):
    path = write(GREETINGS)
    assert load_pack(f"{path}:loud=true").tools()[0]("Ada") == "HELLO, ADA"
    assert load_pack(f"hi={path}").prefix == "hi"
    assert load_pack(f"{path}:Greetings:word=Hi").tools()[0]("Ada") == "Hi, Ada"


def test_a_pack_that_stands_ready_goes_before_its_class_and_private_and_imported_ones_do_not_count(write):
    write(GREETINGS, "first_greetings.py")
    path = write(
        "from first_greetings import Greetings\n_mine = Greetings()\nclass Own(Greetings):\n    name = 'own'\n",
        "own.py",
    )
    assert load_pack(path).name == "own"
    ready = write("from first_greetings import Greetings\nclass Own(Greetings): pass\nready = Own()\n", "ready.py")
    assert load_pack(ready).name == "greetings"


def test_a_pack_without_a_name_is_called_as_its_file(write):
    path = write(GREETINGS.replace('name = "greetings"', ""), "hello.py")
    assert load_pack(path).prefix == "hello"
    registry = write("from agentloop import ToolRegistry\nr = ToolRegistry()\n", "mine.py")
    assert load_pack(registry).name == "mine"


def test_a_module_gives_its_pack(write, monkeypatch):
    path = Path(write(GREETINGS, "greetings_module.py"))
    monkeypatch.syspath_prepend(path.parent)
    assert load_pack("greetings_module:Greetings").name == "greetings"
    package = path.parent / "hello"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "inner.py").write_text(GREETINGS.replace('name = "greetings"', ""), encoding="utf-8")
    assert load_pack("hello.inner:word=Hi").prefix == "inner"


@pytest.mark.parametrize(
    ("source", "thing", "error", "words"),
    [
        ("x = 1", "", ConfigurationError, "packs.py defines no pack"),
        ("x = 1", ":Thing", PackError, "Thing of packs.py can't be found: AttributeError"),
        ("x = 1", ":x", PackError, "x of packs.py is not a pack but a int"),
        ("1 / 0", "", PackError, "packs.py raised ZeroDivisionError: division by zero in line 1"),
        ("class E(BaseException): ...\nraise E(3)", "", PackError, "packs.py raised E: 3 in line 2"),
        (f"{GREETINGS}\nclass Other(Greetings): pass", "", ConfigurationError, "several packs: Greetings, Other"),
    ],
)
def test_a_file_that_gives_no_pack_says_why(source, thing, error, words, write):
    with pytest.raises(error) as told:
        load_pack(write(source, "packs.py") + thing)
    assert words in told.value.message
    assert told.value.hint


def test_a_file_or_module_that_is_not_there_is_told():
    with pytest.raises(ConfigurationError, match="there is no file "):
        load_pack("./nowhere.py")
    with pytest.raises(PackError, match=r"the module 'no\.where' can't be imported: ModuleNotFoundError") as told:
        load_pack("no.where:Thing")
    assert told.value.hint == "install it, or name its file: ./no/where.py"


def test_a_module_that_lacks_another_one_says_which(write, monkeypatch):
    monkeypatch.syspath_prepend(Path(write("import not_there", "lacking_module.py")).parent)
    with pytest.raises(PackError, match="No module named 'not_there'") as told:
        load_pack("lacking_module:Thing")
    assert "install 'not_there'" in told.value.hint


def test_ctrl_c_during_an_import_is_no_fault_of_the_pack(write, install):
    install("broken", {"broken": "broken:Broken"}, "raise KeyboardInterrupt")
    for spec in ("broken", write("raise KeyboardInterrupt", "packs.py")):
        with pytest.raises(KeyboardInterrupt):
            load_pack(spec)


def test_a_list_of_packs_needs_neither_pydantic_nor_openai():
    program = """
import sys
from agentloop.packs.discovery import list_packs
assert list_packs()
assert not {"openai", "pydantic", "rich"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=90)
