"""The arguments of a call are read once, and not by the event loop if that takes long."""

import asyncio
import json
import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from agentloop import Agent, Approve, Effects, Policy, Tool, ToolContext, tool
from agentloop.items import ToolResult
from agentloop.schema import canonical
from agentloop.testing import ScriptedEndpoint, call
from clock import stop_clock

LONG = "x" * 50_000


class Reader:
    """Notes in which threads a value is read, and waits while it is told to."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.reading = threading.Event()

    def __call__(self, value: str) -> str:
        self.threads.append(threading.current_thread().name)
        self.reading.set()
        assert self.may_go.wait(60)
        return value


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.may_go.set()


@pytest.fixture
def write(reader):
    @tool(effects=Effects(write=True), strict=False)
    def write(text: Annotated[str, AfterValidator(reader)], words: list[str] | None = None) -> str:
        """Write."""
        return f"wrote {len(text)} {words}"

    return write


def results(run: Any) -> list[str]:
    return [item.content for item in run.items if isinstance(item, ToolResult)]


async def ask(agent_tools: list, *replies: Any, policy: Policy | None = None, context: Any = None) -> Any:
    policy = policy or Policy(allow=("write(text=*x*)",), ask=("write(text=secret)",))
    agent = Agent("m", endpoint=ScriptedEndpoint([*replies, "done"]), tools=agent_tools, policy=policy)
    return await agent.run("go", context=context)


@pytest.mark.parametrize("text", ["x", LONG])
async def test_the_arguments_of_a_call_are_read_once(write, reader, text):
    assert results(await ask([write], call("write", {"text": text}))) == [f"wrote {len(text)} None"]
    assert len(reader.threads) == 1


@pytest.mark.parametrize("text", ["x", LONG])
async def test_a_person_is_asked_about_what_was_read(write, reader, text):
    asked = []

    def approve(request: Any) -> Approve:
        asked.append(request.arguments)
        return Approve()

    await ask([write], call("write", {"text": text}), policy=Policy(approver=approve))
    assert asked == [{"text": text, "words": None}]
    assert len(reader.threads) == 1


async def test_two_equal_calls_share_no_values():
    @tool(effects=Effects(read=True))
    def take(words: list[str]) -> str:
        """Take."""
        return words.pop()

    said = [call("take", {"words": ["a", "b"]}), call("take", {"words": ["a", "b"]})]
    policy = Policy(allow=("take(words=*)",))
    assert results(await ask([take], said, policy=policy)) == ["b", "b"]


async def test_a_turn_begins_without_what_was_read_before(write, reader):
    refused = Policy(deny=("write(text=x)",))
    await ask([write], call("write", {"text": "x"}), call("write", {"text": "x"}), policy=refused)
    assert len(reader.threads) == 2


async def test_short_arguments_are_read_by_the_loop_and_long_ones_in_a_thread(write, reader):
    await ask([write], call("write", {"text": "x"}), call("write", {"text": LONG}))
    here, there = reader.threads
    assert here == threading.current_thread().name
    assert there != here


async def test_a_schema_with_references_is_checked_in_a_thread():
    threads = []

    def take(**_: Any) -> str:
        return "taken"

    made = Tool.from_schema(
        "take", "Take.", {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}, take
    )
    read = made.arguments.read
    made.arguments.read = lambda text: [threads.append(threading.current_thread().name), read(text)][1]
    assert results(await ask([made], call("take", {"a": 1}), policy=Policy())) == ["taken"]
    assert len(threads) == 1
    assert threads[0] != threading.current_thread().name


async def test_the_loop_goes_on_while_arguments_are_read(write, reader):
    reader.may_go.clear()
    run = asyncio.create_task(ask([write], call("write", {"text": LONG})))
    await asyncio.to_thread(reader.reading.wait, 60)
    await asyncio.sleep(0)  # this task has its turn, although the value is still being read
    assert not run.done()
    reader.may_go.set()
    assert results(await run) == [f"wrote {len(LONG)} None"]


async def test_a_reading_that_takes_too_long_is_left_behind(write, reader):
    reader.may_go.clear()
    clock = stop_clock()
    run = asyncio.create_task(ask([write], call("write", {"text": LONG}), policy=Policy(allow=("write",))))
    await asyncio.to_thread(reader.reading.wait, 60)
    clock.advance(11)
    [told] = results(await run)
    assert "longer than 10 s" in told
    assert len(reader.threads) == 1


async def test_a_run_that_is_cancelled_does_not_wait_for_a_reading(write, reader):
    reader.may_go.clear()
    run = asyncio.create_task(ask([write], call("write", {"text": LONG})))
    await asyncio.to_thread(reader.reading.wait, 60)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_long_arguments_that_do_not_fit_are_told(write, reader):
    [told] = results(await ask([write], call("write", {"text": LONG, "words": 5}), policy=Policy(allow=("write",))))
    assert "`words`" in told
    assert reader.threads  # read twice at most: as they were written, and repaired


async def test_what_a_validator_raises_to_end_the_program_ends_it():
    def leave(_: str) -> str:
        raise SystemExit(3)

    @tool(strict=False)
    def take(text: Annotated[str, AfterValidator(leave)]) -> str:
        """Take."""
        return text

    with pytest.raises(SystemExit):
        await ask([take], call("take", {"text": LONG}), policy=Policy())


async def test_a_nested_call_is_read_once_and_in_a_thread(write, reader):
    @tool
    async def wrap(context: ToolContext) -> str:
        """Wrap."""
        return (await context.call("write", {"text": LONG})).content

    assert results(await ask([write, wrap], call("wrap", {}))) == [f"wrote {len(LONG)} None"]
    assert len(reader.threads) == 1
    assert reader.threads[0] != threading.current_thread().name


async def test_a_stored_run_reads_its_long_calls_in_a_thread(write, reader):
    agent = Agent("m", endpoint=ScriptedEndpoint([call("write", {"text": LONG}), "done"]), tools=[write])
    paused = await agent.run("go")
    assert paused.stop_reason == "approval"
    del reader.threads[:]
    [request] = paused.approvals
    result = await agent.resume(paused.run, decisions={request.id: Approve()})
    assert results(result) == [f"wrote {len(LONG)} None"]
    assert threading.current_thread().name not in reader.threads


def test_a_tool_without_a_run_reads_its_arguments_itself(write, reader):
    assert write.read_arguments(json.dumps({"text": "x"})) == {"text": "x", "words": None}
    assert len(reader.threads) == 1


async def test_a_name_that_no_tool_has_is_not_read(write, reader):
    await ask([write], call("nothing", {"text": LONG}))
    assert not reader.threads


async def test_arguments_that_do_not_fit_are_read_once_too(write, reader):
    told = await ask(
        [write], call("write", {"text": "x", "more": 1}), policy=Policy(allow=("write",), ask=("write(text=z)",))
    )
    assert told.stop_reason == "approval"  # a rule applies to what can't be read
    [told] = results(
        await ask([write], call("write", {"text": "x", "more": 1}), policy=Policy(deny=("write(text=z)",)))
    )
    assert "Not run" in told


def test_a_long_text_is_its_own_canonical_form():
    long = json.dumps({"b": "x" * 200_000, "a": 1})
    assert canonical(f" {long}\n") == long
    assert canonical('{"b": 1, "a": 2}') == canonical('{"a": 2, "b": 1}')
