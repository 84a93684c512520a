"""What the papers say is run: the README's programs, the commands it names, and every example."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentloop.wire.lessons import read_fields

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PATIENCE_SECONDS = 600

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)  # a model runs in some, on a machine that may be busy


def run(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def test_the_readmes_first_program_is_near_the_top_and_prints_what_the_readme_says():
    before = README.partition("```python")[0]
    assert before.count("\n") + PROGRAMS[0].count("\n") <= 25
    promised = re.search(r"```\n\n```\n(.*?)```", README, re.DOTALL).group(1)
    done = run("-c", PROGRAMS[0])
    assert (done.stdout, done.stderr) == (promised, "")


def test_the_readmes_other_programs_run_as_far_as_they_can_without_a_key():
    assert len(PROGRAMS) > 1
    for program in PROGRAMS[1:]:
        done = run("-c", program)
        assert done.returncode == 0, done.stderr


# The first is held to its answer in test_local.
@pytest.mark.parametrize("example", EXAMPLES[1:], ids=lambda path: path.stem)
def test_every_other_example_runs(example):
    done = run(str(example))
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readmes_configuration_is_read_without_a_fault():
    [text] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    for fields in tomllib.loads(text)["profile"].values():
        assert read_fields(fields) == (fields, ())


def test_there_are_examples_and_they_are_numbered():
    assert EXAMPLES[0].name == "01_vat.py"
    assert all(re.match(r"\d\d_", path.name) for path in EXAMPLES)


def test_every_target_and_every_file_that_the_papers_name_is_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for paper in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        text = (ROOT / paper).read_text(encoding="utf-8")
        assert set(re.findall(r"\bmake ([a-z]+) *(?:#|`)", text)) <= targets
        for name in re.findall(r"(?:examples|tests)/[\w/.]+\.py", text):
            assert (ROOT / name).exists(), name


def test_the_readme_names_the_two_commands():
    assert re.search(r"^make demo ", README, re.MULTILINE)
    assert re.search(r"^make test ", README, re.MULTILINE)


def test_continuous_integration_calls_what_the_readme_names():
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert commands[-1] == "exec make test"
