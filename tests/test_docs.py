"""What the papers say is run: the README's programs, the commands it names, and every example.

The first program of each kind runs in a process of its own, as a user would run it. The others run in this process,
which has already imported what takes a second to import.
"""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentloop.wire.profile.lessons import read_fields

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
PROGRAMS = PROGRAM.findall(README)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PATIENCE_SECONDS = 600


@pytest.fixture
def run(request, monkeypatch, capfd):
    """Return a function that runs a file as a program, and returns what it has written."""

    def run(path):
        if '"local:' in path.read_text("utf-8"):
            request.getfixturevalue("new_model")
        monkeypatch.setattr(sys, "argv", [str(path)])
        runpy.run_path(str(path), run_name="__main__")
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return run


@pytest.mark.usefixtures("one_core")
def test_the_readmes_first_program_is_near_the_top_and_prints_what_the_readme_says():
    before = README.partition("```python")[0]
    assert before.count("\n") + PROGRAMS[0].count("\n") <= 25
    promised = re.search(r"```\n\n```\n(.*?)```", README, re.DOTALL).group(1)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[0]], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, promised, "")


def find_other_programs():
    yield from ((f"README-{at}", program) for at, program in enumerate(PROGRAMS[1:], 2))
    for path in DOCUMENTS:
        yield from ((f"{path.stem}-{at}", each) for at, each in enumerate(PROGRAM.findall(path.read_text("utf-8")), 1))


@pytest.mark.parametrize("program", [pytest.param(program, id=name) for name, program in find_other_programs()])
def test_every_other_program_runs_as_far_as_it_can_without_a_key(run, program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    run(path)


def test_the_readme_is_short_and_links_to_every_document():
    assert len(README.splitlines()) <= 250
    assert [path.name for path in DOCUMENTS if f"docs/{path.name}" not in README] == []


@pytest.mark.parametrize("example", EXAMPLES[1:], ids=lambda path: path.stem)  # test_local.py runs the first
def test_every_example_runs(example, run):
    assert run(example)


def test_the_documented_configuration_is_read_without_a_fault():
    document = (ROOT / "docs" / "endpoints.md").read_text("utf-8")
    [text] = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    for fields in tomllib.loads(text)["profile"].values():
        assert read_fields(fields) == (fields, ())


def test_there_are_examples_and_they_are_numbered():
    assert EXAMPLES[0].name == "01_vat.py"
    assert all(re.match(r"\d\d_", path.name) for path in EXAMPLES)


def test_every_target_and_every_file_that_the_papers_name_is_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for paper in (*ROOT.glob("*.md"), *DOCUMENTS):
        text = paper.read_text(encoding="utf-8")
        assert set(re.findall(r"\bmake ([a-z]+)[ A-Z0-9=]*(?:#|`)", text)) <= targets
        for name in re.findall(r"(?:examples|tests)/[\w/.]+\.py", text):
            assert (ROOT / name).exists(), name
        for link in re.findall(r"\]\(([\w./-]+)\)", text):
            assert (paper.parent / link).exists(), f"{paper.name}: {link}"


def test_the_readme_names_the_two_commands():
    assert re.search(r"^make demo ", README, re.MULTILINE)
    assert re.search(r"^make test ", README, re.MULTILINE)


def test_continuous_integration_calls_what_the_readme_names():
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert commands[-1] == "exec make test"
