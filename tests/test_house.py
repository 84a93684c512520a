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
SOURCES = sorted([*ROOT.glob("agentloop/**/*.py"), *ROOT.glob("tools/**/*.py")])
FORBIDDEN = ("Manager", "Handler", "Helper", "Utils", "Base", "Mixin", "Factory")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 8

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(parse(path)) if isinstance(node, FUNCTIONS)]


@each_source
def test_a_file_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE


@each_source
def test_a_function_is_short(path):
    lengths = {f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1 for node in functions(path)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@each_source
def test_a_function_takes_few_parameters(path):
    counts = {
        f"{node.name}:{node.lineno}": len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        - is_method(node)
        for node in functions(path)
    }
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


def is_method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the first parameter is the object's own, which nobody passes."""
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args][:1]] in (["self"], ["cls"])


@each_source
def test_no_public_function_takes_whatever_keywords_there_are(path):
    assert [node.name for node in functions(path) if node.args.kwarg and not node.name.startswith("_")] == []


@each_source
def test_names_say_what_a_thing_is(path):
    names = [node.name for node in ast.walk(parse(path)) if isinstance(node, (ast.ClassDef, *FUNCTIONS))]
    names += [path.stem.title().replace("_", "")]
    assert [name for name in names if any(part in name for part in FORBIDDEN)] == []


@each_source
def test_a_module_says_what_lives_there(path):
    assert ast.get_docstring(parse(path))


def test_no_module_is_named_like_a_public_function():
    modules = {path.stem for path in SOURCES}
    public = {name for name in agentloop.__all__ if inspect.isfunction(getattr(agentloop, name))}
    assert modules & public == set()


def test_the_public_names_are_sorted_whole_and_real():
    assert agentloop.__all__ == sorted(agentloop.__all__)
    assert len(agentloop.__all__) == len(set(agentloop.__all__))
    assert [name for name in agentloop.__all__ if not hasattr(agentloop, name)] == []
    assert set(dir(agentloop)) == set(agentloop.__all__)


def test_the_public_names_are_those_that_type_checkers_see():
    branch = next(node for node in parse(ROOT / "agentloop/__init__.py").body if isinstance(node, ast.If))
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


def test_every_folder_says_what_its_modules_are_for():
    folders = [path.parent for path in ROOT.glob("agentloop/*/**/__init__.py")]
    assert folders
    unnamed = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
        if path.stem != "__init__" and f"`{path.stem}" not in (ast.get_docstring(parse(folder / "__init__.py")) or "")
    ]
    assert unnamed == []
