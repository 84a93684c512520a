"""What `import agentloop` gives, and the small values that everything is made of."""

import subprocess
import sys
from pathlib import Path

import pytest

import agentloop
from agentloop import Image, Message, Run, RunResult, Text, Usage
from agentloop.errors import AgentloopError


def test_every_public_name_is_there_and_documented():
    assert agentloop.__all__ == sorted(agentloop.__all__)
    aliases = {"Decision", "Event", "Item", "StopReason"}
    for name in agentloop.__all__:
        thing = getattr(agentloop, name)
        assert name in aliases or thing.__doc__


def test_the_public_names_are_those_that_type_checkers_see():
    source = Path(agentloop.__file__).read_text(encoding="utf-8")
    typed = source.split("if TYPE_CHECKING:")[1].split("_ROOMS")[0]
    names = {word.strip(" ,()\n") for line in typed.splitlines() for word in line.split("import")[-1].split(",")}
    assert names - {""} == set(agentloop.__all__)
    assert dir(agentloop) == agentloop.__all__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        _ = agentloop.Agnet


def test_importing_it_imports_next_to_nothing_and_an_agent_needs_no_openai():
    program = (
        "import sys, agentloop\n"
        "assert not {'pydantic', 'pydantic_core', 'asyncio'} & set(sys.modules)\n"
        "from agentloop import Agent, tool\n"
        "heavy = {'openai', 'httpx2', 'jsonschema', 'structlog', 'tenacity', 'rich', 'typer', 'docstring_parser'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=90)


def test_an_error_shows_its_hint():
    assert str(AgentloopError("no", hint="do this")) == "no\nhint: do this"
    assert str(AgentloopError("no")) == "no"


def test_a_message_joins_its_texts_and_knows_pictures():
    picture = Image.from_bytes(b"\x89PNG", "image/png")
    assert picture.url == "data:image/png;base64,iVBORw=="
    assert Message("user", (Text("a"), picture, Text("b"))).text == "ab"


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        (Usage(), Usage(), Usage()),
        (Usage(input_tokens=1), Usage(input_tokens=2, output_tokens=3), Usage(input_tokens=3, output_tokens=3)),
        (Usage(total_tokens=0), Usage(), Usage(total_tokens=0)),
    ],
)
def test_unknown_tokens_stay_unknown(left, right, total):
    assert left + right == total


@pytest.mark.parametrize(
    ("usage", "tokens"), [(Usage(), 0), (Usage(input_tokens=2, output_tokens=3), 5), (Usage(2, 3, 7), 7)]
)
def test_tokens_are_counted_as_far_as_they_are_known(usage, tokens):
    assert usage.tokens == tokens


def test_a_result_gives_what_its_run_holds():
    run = Run(run_id="r", items=(Message("user", "hi"),))
    result = RunResult(run)
    assert (result.items, result.usage, result.tally, result.text) == (run.items, Usage(), run.tally, "")
