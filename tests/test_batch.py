"""One agent on many inputs."""

import asyncio

import pytest

from agentloop import Agent, BatchResult, ConfigurationError, EndpointError, Policy, RefusedError, ToolCall, tool
from agentloop.testing import ScriptedEndpoint


def said(request):
    content = request["input"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def echo(request):
    text = said(request)
    return RefusedError(f"no {text}") if text.startswith("bad") else f"{text}!"


def make(script=echo, **options):
    endpoint = ScriptedEndpoint(script)
    return Agent("m", endpoint=endpoint, **options), endpoint


class Gate:
    """A tool that waits for the test, and counts how many of its calls wait."""

    def __init__(self):
        self.open = {}
        self.waiting = set()
        self.most = self.ended = 0
        self.changed = asyncio.Event()

    async def wait(self, name: str) -> str:
        """Wait."""
        self.waiting.add(name)
        self.most = max(self.most, len(self.waiting))
        self.changed.set()
        try:
            await self.open.setdefault(name, asyncio.Event()).wait()
        finally:
            self.waiting.discard(name)
            self.ended += 1
            self.changed.set()
        return name

    async def until_ended(self, number):
        while self.ended < number:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)

    def let(self, name):
        self.open.setdefault(name, asyncio.Event()).set()

    async def until(self, names):
        while self.waiting != names:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)


def waiting_agent(gate):
    def script(request):
        last = request["input"][-1]
        if last["type"] == "function_call_output":
            return str(last["output"])
        return ToolCall("call_1", "wait", f'{{"name": "{said(request)}"}}')

    return make(script, tools=[tool(gate.wait)])[0]


async def test_each_input_has_a_result_in_order():
    agent, _ = make()
    results = [done async for done in agent.run_many(["a", ["b", "c"], {"role": "user", "content": "d"}])]
    assert [(done.index, done.result.text, done.error) for done in results] == [
        (0, "a!", None),
        (1, "c!", None),
        (2, "d!", None),
    ]
    assert results[1].input == ["b", "c"]


def test_it_works_without_async():
    agent, _ = make()
    assert [done.result.text for done in agent.run_many_sync(iter("abc"), at_once=2)] == ["a!", "b!", "c!"]
    assert list(agent.run_many_sync([])) == []


async def test_an_input_that_fails_is_an_error_beside_the_results():
    agent, _ = make()
    results = [done async for done in agent.run_many(["a", "bad", 7, "b"])]
    texts = [done.result and done.result.text for done in results]
    assert texts == ["a!", None, None, "b!"]
    refused, wrong = results[1].error, results[2].error
    assert isinstance(refused, EndpointError)
    assert (await agent.resume(refused.run, endpoint=ScriptedEndpoint(["good"]))).text == "good"
    assert isinstance(wrong, ConfigurationError)


async def test_no_more_runs_go_on_at_once_than_allowed_and_inputs_are_read_as_they_are_needed():
    gate, read = Gate(), []

    def inputs():
        for number in range(6):
            read.append(number)
            yield str(number)

    many = waiting_agent(gate).run_many(inputs(), at_once=2)
    first = asyncio.create_task(anext(many))
    await gate.until({"0", "1"})
    assert read == [0, 1]
    gate.let("0")
    assert (await first).index == 0
    rest = asyncio.create_task(collect(many))
    await gate.until({"1", "2"})
    for number in range(6):
        gate.let(str(number))
    assert [done.index for done in await rest] == [1, 2, 3, 4, 5]
    assert gate.most == 2


async def collect(many):
    return [done async for done in many]


async def test_results_come_as_they_are_there_if_order_does_not_matter():
    gate = Gate()
    many = waiting_agent(gate).run_many(["a", "b", "c"], in_order=False)
    first = asyncio.create_task(anext(many))
    await gate.until({"a", "b", "c"})
    gate.let("c")
    assert (await first).index == 2
    gate.let("a")
    assert (await anext(many)).index == 0
    gate.let("b")
    assert [done.index for done in await collect(many)] == [1]


async def test_a_slow_first_input_does_not_let_results_pile_up_without_end():
    gate, read = Gate(), []

    def inputs():
        for number in range(100):
            read.append(number)
            yield str(number)

    for number in range(1, 100):
        gate.let(str(number))
    many = waiting_agent(gate).run_many(inputs(), at_once=2)
    first = asyncio.create_task(anext(many))
    await gate.until_ended(7)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(read) == 8
    gate.let("0")
    assert (await first).index == 0
    assert [done.index for done in await collect(many)] == list(range(1, 100))


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_early_cancels_what_goes_on(how):
    gate = Gate()
    many = waiting_agent(gate).run_many(["a", "b", "c"])
    taking = asyncio.create_task(anext(many))
    await gate.until({"a", "b", "c"})
    if how == "cancel":
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    else:
        gate.let("a")
        assert (await taking).index == 0
    await many.aclose()
    assert gate.waiting == set()


async def test_options_hold_for_all_runs():
    agent, endpoint = make()
    [done] = [each async for each in agent.run_many(["a"], instructions="Be brief.", policy=Policy())]
    assert isinstance(done, BatchResult)
    assert endpoint.requests[0]["instructions"] == "Be brief."


async def test_wrong_options_are_an_error():
    agent, _ = make()
    with pytest.raises(ConfigurationError, match="no option 'instruction'"):
        agent.run_many(["a"], instruction="Be brief.")
    with pytest.raises(ConfigurationError, match="at_once is 0"):
        await anext(agent.run_many(["a"], at_once=0))
