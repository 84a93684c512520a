"""The house rules that no linter checks. There is no list of exceptions."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import agentloop

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("Manager", "Handler", "Helper", "Utils", "Base", "Mixin", "Factory")
Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While),
    *(ast.comprehension, ast.ExceptHandler, ast.match_case),
)

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 8
MOST_BRANCHES = 12
MOST_SIBLINGS = 13
TOP = "agentloop/__init__.py"  # its rooms stand in ARCHITECTURE.md


@pytest.fixture(scope="module")
def sources():
    paths = sorted([*ROOT.glob("agentloop/**/*.py"), *ROOT.glob("tools/**/*.py")])
    assert len(paths) > 100, "the sources were not found"
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


@pytest.fixture(scope="module")
def trees(sources):
    return {path: ast.parse(source) for path, source in sources.items()}


@pytest.fixture(scope="module")
def definitions(trees):
    """The classes and functions, each by where it stands, as an editor opens it."""
    return {
        f"{path}:{node.lineno} {node.name}": node
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | Function)
    }


@pytest.fixture(scope="module")
def functions(definitions):
    return {where: node for where, node in definitions.items() if isinstance(node, Function)}


def above(most: int, counts: dict[str, int]) -> dict[str, int]:
    """Return what counts more than it may, by where it is."""
    return {where: count for where, count in counts.items() if count > most}


def test_a_file_is_short(sources):
    assert above(LONGEST_FILE, {path: len(source.splitlines()) for path, source in sources.items()}) == {}


def test_a_function_is_short(functions):
    lengths = {where: node.end_lineno - node.lineno + 1 for where, node in functions.items()}
    assert above(LONGEST_FUNCTION, lengths) == {}


def test_a_function_takes_few_parameters(functions):
    counts = {
        where: len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) - is_method(node)
        for where, node in functions.items()
    }
    assert above(MOST_PARAMETERS, counts) == {}


def is_method(node: Function) -> bool:
    """Whether the first parameter is the object's own, which nobody passes."""
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args][:1]] in (["self"], ["cls"])


def test_a_function_has_few_branches(functions):
    """Conditional expressions count too, and each `for` and `if` of a comprehension, which no linter counts."""
    assert above(MOST_BRANCHES, {where: count_branches(node) for where, node in functions.items()}) == {}


def count_branches(node: ast.AST) -> int:
    """Count those of a function, without those of functions within it, which count for themselves."""
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, Function)]
    ifs = len(node.ifs) if isinstance(node, ast.comprehension) else 0
    return isinstance(node, BRANCHES) + ifs + sum(count_branches(child) for child in children)


def test_no_public_function_takes_whatever_keywords_there_are(functions):
    """A function whose own parameters can't be given by name has no keywords: what it takes are names of the caller."""
    takes = {
        where: node.args.kwarg
        for where, node in functions.items()
        if not node.name.startswith("_") and (node.args.args or node.args.kwonlyargs)
    }
    assert [where for where, kwarg in takes.items() if kwarg and not are_named(kwarg.annotation)] == []


def are_named(annotation) -> bool:
    """Tell whether the names and types of keywords stand in a TypedDict."""
    return isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Unpack"


def test_names_say_what_a_thing_is(definitions, sources):
    names = {where: node.name for where, node in definitions.items()}
    names |= {path: Path(path).stem.title().replace("_", "") for path in sources}
    assert {where for where, name in names.items() if any(part in name for part in FORBIDDEN)} == set()


def test_a_module_says_what_lives_there(trees):
    assert [path for path, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_no_module_is_named_like_a_public_function(sources):
    modules = {Path(path).stem for path in sources}
    public = {name for name in agentloop.__all__ if inspect.isfunction(getattr(agentloop, name))}
    assert modules & public == set()


def test_the_public_names_are_sorted_whole_and_real():
    assert agentloop.__all__ == sorted(agentloop.__all__)
    assert len(agentloop.__all__) == len(set(agentloop.__all__))
    assert [name for name in agentloop.__all__ if not hasattr(agentloop, name)] == []
    assert set(dir(agentloop)) == set(agentloop.__all__)


def test_the_public_names_are_those_that_type_checkers_see(trees):
    branch = next(node for node in trees["agentloop/__init__.py"].body if isinstance(node, ast.If))
    imported = [alias.name for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == agentloop.__all__


def test_every_module_can_be_imported():
    for path in set(ROOT.glob("agentloop/**/*.py")) - {ROOT / "agentloop/__main__.py"}:  # to import that is to run it
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def test_importing_has_no_effects_and_does_not_load_what_only_a_call_needs(tmp_path):
    program = """
import os, sys, threading
environment = dict(os.environ)
from agentloop import Agent, tool
late = {"openai", "jsonschema", "structlog", "tenacity", "rich", "typer", "httpx2", "docstring_parser", "xllamacpp"}
assert not late & set(sys.modules), late & set(sys.modules)
assert threading.active_count() == 1
assert dict(os.environ) == environment
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_no_lock_holds_an_address():
    locks = list(ROOT.glob("requirements/*.txt"))
    assert locks
    assert [path.name for path in locks if "://" in path.read_text("utf-8")] == []


def test_the_lock_that_holds_download_addresses_is_not_committed():
    assert "uv.lock" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_the_architecture_names_every_room_and_stays_short():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = {path.stem for path in (ROOT / "agentloop").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert len(text.splitlines()) <= 120
    assert [room for room in sorted(rooms - {"__pycache__"}) if not re.search(rf"\b{room}\b", text)] == []


@pytest.fixture(scope="module")
def folders(sources):
    """The modules and folders of each folder, by its `__init__`."""
    inits = {Path(path).parent for path in sources if path.endswith("/__init__.py")}
    siblings = {folder: [] for folder in inits}
    for path in map(Path, sources):
        entry = path.parent if path.name == "__init__.py" else path
        if path.stem == "__init__" and entry.parent not in inits:
            continue
        siblings[entry.parent].append(entry.stem)
    return {str(folder / "__init__.py"): names for folder, names in siblings.items()}


def test_a_folder_holds_few_modules(folders):
    assert above(MOST_SIBLINGS, {init: len(names) for init, names in folders.items() if init != TOP}) == {}


def test_every_folder_says_what_its_modules_are_for(folders, trees):
    unnamed = [
        f"{init}: {name}"
        for init, names in folders.items()
        if init != TOP
        for name in names
        if f"`{name}" not in (ast.get_docstring(trees[init]) or "")
    ]
    assert unnamed == []
