"""SECURITY.md names the test that holds each promise, and the bill of materials names what the locks name."""

import ast
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEST = re.compile(r"`(test_\w+)::(test_\w+)`")
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def read_promises():
    """Return the lines of the threat model that promise something."""
    model = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Threat model")[2]
    assert len(model.splitlines()) <= 60
    return [line for line in model.splitlines() if line.startswith("- ")]


def read_tests(file):
    """Return the names of the tests of a file."""
    path = ROOT / "tests" / f"{file}.py"
    tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_promise_names_tests_that_there_are():
    promises = read_promises()
    assert len(promises) > 30
    assert [line for line in promises if not TEST.search(line)] == []
    named = [pair for line in promises for pair in TEST.findall(line)]
    tests = {file: read_tests(file) for file, _ in named}
    assert [f"{file}::{name}" for file, name in named if name not in tests[file]] == []


def test_a_test_that_holds_a_promise_is_named_once():
    named = [pair for line in read_promises() for pair in TEST.findall(line)]
    assert len(named) == len(set(named))


def test_the_bill_of_materials_has_what_the_project_needs_in_the_versions_of_the_locks():
    bill = json.loads((ROOT / "requirements" / "sbom.cdx.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    locked = set(LOCKED.findall((ROOT / "requirements" / "dev.txt").read_text("utf-8")))
    assert listed - locked == set(), "run `make sbom`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [
        *project["dependencies"],
        *(each for name in extras if name not in {"packs", "local"} for each in extras[name]),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", each)[0].replace("_", "-").lower() for each in needed}
    assert names - {name for name, _ in listed} == set(), "run `make sbom`"
    assert bill["metadata"]["component"]["name"] == project["name"]
    assert "externalReferences" not in json.dumps(bill), "which index a package came from is not known"
