"""Packs through an agent: how they are opened and left, what their tools are called, and the views made from them."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import Field

from agentloop import (
    Agent,
    ConfigurationError,
    DuplicateToolError,
    Effects,
    Limits,
    ModelSettings,
    Notice,
    PackConfig,
    PackError,
    Policy,
    ServerError,
    Tally,
    ToolContext,
    ToolError,
    ToolPack,
    ToolRegistry,
    bound_tools,
    tool,
)
from agentloop.packs import open_packs
from agentloop.testing import ScriptedEndpoint, call

LIFE = []


class GreetingsConfig(PackConfig):
    greeting: str = Field("Hello", description="the first word")


class Greetings(ToolPack[GreetingsConfig]):
    name = "greetings"
    version = "1.2"

    @tool(effects=Effects())
    def greet(self, who: str) -> str:
        """Greet a person."""
        return f"{self.config.greeting}, {who}!"

    @tool(effects=Effects(read=True))
    def list(self) -> str:
        """List greetings."""
        return self.config.greeting

    def not_a_tool(self) -> None:
        pass


class Counted(ToolPack):
    """A pack with a life: each run has a number of its own."""

    name = "counted"

    def __init__(self, name="counted", *, fails="", closes=""):
        super().__init__()
        self.name, self.fails, self.closes = name, fails, closes
        self.opened = 0

    @asynccontextmanager
    async def open(self):
        if self.fails:
            raise OSError(self.fails)
        self.opened += 1
        opened = _Opened(self.opened)
        LIFE.append(f"open {self.name}")
        try:
            yield bound_tools(opened)
        finally:
            LIFE.append(f"close {self.name}")
            if self.closes:
                raise OSError(self.closes)


class _Opened:
    def __init__(self, number):
        self.number = number
        self.calls = 0

    @tool(effects=Effects())
    async def count(self) -> str:
        """Count the calls of this run."""
        self.calls += 1
        await asyncio.sleep(0)
        return f"run {self.number}, call {self.calls}"


@pytest.fixture(autouse=True)
def life():
    LIFE.clear()
    return LIFE


def agent_with(script, *tools, **options):
    endpoint = ScriptedEndpoint(script)
    return Agent("scripted", endpoint=endpoint, tools=tools, **options), endpoint


def names(endpoint):
    return [each["name"] for each in endpoint.requests[0]["tools"]]


def outputs(result):
    return [item.content for item in result.items if hasattr(item, "ok")]


async def run_with(*packs, script=("done",), **options):
    agent, endpoint = agent_with(list(script), *packs, **options)
    result = await agent.run("go")
    return result, endpoint


# --- names ---


async def test_a_model_sees_a_packs_tools_with_the_packs_name_before_theirs():
    result, endpoint = await run_with(Greetings(), script=[call("greetings_greet", {"who": "Ada"}), "Hi."])
    assert names(endpoint) == ["greetings_greet", "greetings_list"]
    assert outputs(result) == ["Hello, Ada!"]


async def test_tools_keep_their_order_whatever_they_come_from():
    @tool
    def zebra() -> str:
        """A plain tool."""
        return ""

    registry = ToolRegistry()
    registry.tool(effects=Effects())(lambda_free)
    _, endpoint = await run_with(Greetings(), zebra, ToolPack.from_registry("box", registry))
    assert names(endpoint) == ["zebra", "greetings_greet", "greetings_list", "box_lambda_free"]


def lambda_free() -> str:
    """Return nothing."""
    return ""


async def test_a_name_too_long_for_servers_is_cut_and_stays_its_own():
    registry = ToolRegistry()
    for letter in "ab":
        registry.tool(name="x" * 60 + letter, effects=Effects())(lambda_free)
    _, endpoint = await run_with(ToolPack.from_registry("a.pack", registry))
    first, second = names(endpoint)
    assert first != second
    assert len(first) == len(second) == 64
    assert first.startswith("a_pack_xxx")


async def test_a_tool_and_a_packs_tool_of_one_name_are_an_error_that_names_both_and_the_way_out():
    @tool
    def greetings_greet() -> str:
        """Greet."""
        return ""

    with pytest.raises(DuplicateToolError, match="greetings_greet") as caught:
        await run_with(Greetings(), greetings_greet)
    assert "test_packs.py" in str(caught.value)
    assert "prefixed" in str(caught.value)


async def test_two_packs_of_one_name_are_an_error_that_names_both_and_the_way_out():
    with pytest.raises(DuplicateToolError, match="two packs are named 'greetings'") as caught:
        await run_with(Greetings(), Greetings())
    assert "Greetings 1.2" in str(caught.value)
    assert "prefixed" in str(caught.value)
    _, endpoint = await run_with(Greetings(), Greetings().prefixed("other"))
    assert names(endpoint)[2:] == ["other_greet", "other_list"]


# --- configuration ---


async def test_a_pack_is_configured_with_its_config_or_with_text():
    for pack in (Greetings(GreetingsConfig(greeting="Hej")), Greetings.from_options({"greeting": "Hej"})):
        result, _ = await run_with(pack, script=[call("greetings_list"), "ok"])
        assert outputs(result) == ["Hej"]


def test_a_wrong_configuration_lists_every_fault_and_the_fields():
    with pytest.raises(ConfigurationError) as caught:
        Greetings.from_options({"greeting": ["x"], "volume": "11"})
    told = str(caught.value)
    assert "'greetings'" in told
    assert "greeting: " in told
    assert "volume: " in told
    assert "greeting='Hello': the first word" in told


def test_a_required_field_is_missed_at_once():
    class Needy(ToolPack[NeedyConfig]):
        name = "needy"

    with pytest.raises(ConfigurationError, match=r"its fields are: token \(required\)"):
        Needy()


class NeedyConfig(PackConfig):
    token: str


def test_a_pack_without_configuration_says_so():
    with pytest.raises(ConfigurationError, match="it has no fields"):
        Counted.from_options({"a": 1})


def test_a_pack_may_write_its_config_inside():
    class Inside(ToolPack[PackConfig]):
        name = "inside"

        class Config(PackConfig):
            size: int = 3

    assert Inside().config.size == 3


# --- life ---


async def test_packs_are_opened_once_a_run_and_left_in_reverse(life):
    script = [call("a_count"), call("a_count"), call("b_count"), "done"]
    result, _ = await run_with(Counted("a"), Counted("b"), script=script)
    assert outputs(result) == ["run 1, call 1", "run 1, call 2", "run 1, call 1"]
    assert life == ["open a", "open b", "close b", "close a"]


async def test_runs_at_the_same_time_have_a_pack_each():
    agent, _ = agent_with(lambda request: call("counted_count") if len(request["input"]) < 5 else "done", Counted())
    results = await asyncio.gather(*(agent.run(f"question {n}") for n in range(5)))
    assert sorted(outputs(result)[0] for result in results) == [f"run {n}, call 1" for n in range(1, 6)]
    assert all(outputs(result)[1][:5] == outputs(result)[0][:5] for result in results)


async def test_when_one_can_not_be_opened_those_before_it_are_left(life):
    with pytest.raises(PackError, match="the pack 'bad' can't be opened: OSError: no disk"):
        await run_with(Counted("a"), Counted("bad", fails="no disk"), Counted("c"))
    assert life == ["open a", "close a"]


async def test_an_error_with_a_hint_of_its_own_is_passed_on_as_it_is():
    class Picky(ToolPack):
        name = "picky"

        def open(self):
            raise ConfigurationError("no root", hint="give one")

    with pytest.raises(ConfigurationError, match="no root"):
        await run_with(Picky())


async def test_packs_are_left_when_the_endpoint_fails(life):
    with pytest.raises(ServerError):
        await run_with(Counted("a"), script=[ServerError("down", hint="")])
    assert life == ["open a", "close a"]


async def test_packs_are_left_when_the_run_is_cancelled(life):
    waiting = asyncio.Event()

    @tool
    async def wait_for_ever() -> str:
        """Wait."""
        waiting.set()
        await asyncio.Event().wait()
        return ""

    agent, _ = agent_with([call("wait_for_ever"), "x"], Counted("a"), wait_for_ever)
    task = asyncio.create_task(agent.run("go"))
    await asyncio.wait_for(waiting.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert life == ["open a", "close a"]


async def test_a_pack_that_can_not_be_closed_costs_no_result(life):
    agent, _ = agent_with(["done"], Counted("a", closes="stuck"), Counted("b", closes="too"))
    events = [event async for event in agent.stream("go")]
    assert events[-1].result.text == "done"
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "the pack 'b' could not be closed: OSError: too",
        "the pack 'a' could not be closed: OSError: stuck",
    ]
    assert life[-2:] == ["close b", "close a"]


async def test_a_pack_that_does_not_let_go_is_left_behind(monkeypatch):
    monkeypatch.setattr("agentloop.packs.opening.LEAVE_SECONDS", 0.05)

    class Clinging(ToolPack):
        name = "clinging"

        @asynccontextmanager
        async def open(self):
            yield []
            await asyncio.Event().wait()

    agent, _ = agent_with(["done"], Clinging())
    events = [event async for event in agent.stream("go")]
    assert events[-1].result.text == "done"
    assert "clinging" in events[-2].text


async def test_a_pack_has_no_say_in_how_the_run_ended():
    class Swallowing(ToolPack):
        name = "swallowing"

        @asynccontextmanager
        async def open(self):
            with suppress(ServerError):
                yield []

    with pytest.raises(ServerError):
        await run_with(Swallowing(), script=[ServerError("down", hint="")])


async def test_a_tool_that_only_a_pack_has_may_be_the_choice():
    await run_with(
        Greetings(),
        script=[call("greetings_list"), "x"],
        settings=ModelSettings(tool_choice="greetings_list"),
    )
    with pytest.raises(ConfigurationError, match="greetings_lust"):
        await run_with(Greetings(), settings=ModelSettings(tool_choice="greetings_lust"))


def test_tools_are_no_text():
    with pytest.raises(ConfigurationError, match="tools can't be a str"):
        Agent("m", endpoint=ScriptedEndpoint([]), tools="greetings")


# --- views ---


async def tools_of(pack):
    async def tell(text):
        raise AssertionError(text)

    async with open_packs([pack], tell) as tools:
        return {each.name: each for each in tools}


async def test_only_and_without_choose():
    assert list(await tools_of(Greetings().only("list"))) == ["greetings_list"]
    assert list(await tools_of(Greetings().without("list"))) == ["greetings_greet"]


async def test_a_view_of_a_tool_that_is_not_there_says_what_was_meant():
    with pytest.raises(ConfigurationError, match="did you mean 'greet'"):
        await tools_of(Greetings().only("gret"))
    with pytest.raises(ConfigurationError, match="it has: greet, list"):
        await tools_of(Greetings().without("frobnicate"))


async def test_views_rename_and_stack():
    pack = Greetings().renamed({"greet": "welcome"}).prefixed("polite").without("list")
    tools = await tools_of(pack)
    assert list(tools) == ["polite_welcome"]
    assert tools["polite_welcome"].label == "polite.welcome"
    assert pack.name == "greetings"
    assert pack.version == "1.2"


async def test_a_view_only_ever_tightens_limits():
    class Slow(ToolPack):
        name = "slow"

        @tool(timeout=5, max_output=1_000, effects=Effects())
        def wait(self) -> str:
            """Wait."""
            return ""

    tight = (await tools_of(Slow().limited(timeout=2, max_output=300)))["slow_wait"]
    assert (tight.timeout, tight.max_output) == (2, 300)
    same = (await tools_of(Slow().limited(timeout=50, max_output=3_000)))["slow_wait"]
    assert (same.timeout, same.max_output) == (5, 1_000)
    assert (await tools_of(Greetings().limited(timeout=3)))["greetings_list"].timeout == 3


async def test_the_calls_of_a_limited_pack_are_counted_together():
    turn = [call("greetings_greet", {"who": "A"}, "c1"), call("greetings_list", {}, "c2")]
    result, _ = await run_with(Greetings().limited(calls=1), script=[turn, "ok"])
    first, second = outputs(result)
    assert first == "Hello, A!"
    assert "Not run" in second


async def test_a_pack_with_a_policy_is_held_to_it():
    result, endpoint = await run_with(
        Greetings().with_policy(Policy(deny=("greetings.list",))), script=[call("greetings_list"), "ok"]
    )
    assert names(endpoint) == ["greetings_greet"]
    assert "not allowed" in outputs(result)[0]


async def test_a_packs_tool_that_does_not_say_what_it_does_needs_a_yes():
    registry = ToolRegistry()
    registry.add(tool(lambda_free))
    paused, _ = await run_with(ToolPack.from_registry("box", registry), script=[call("box_lambda_free")])
    assert paused.stop_reason == "approval"
    result, _ = await run_with(tool(lambda_free), script=[call("lambda_free"), "ok"])
    assert result.stop_reason == "answered"


# --- calls that tools make ---


class Caller(ToolPack):
    name = "caller"

    @tool(effects=Effects())
    async def relay(self, context: ToolContext, name: str) -> str:
        """Call another tool."""
        result = await context.call(name, {"who": "Ada"} if "greet" in name else {})
        return f"{result.ok}: {result.content}"

    @tool(effects=Effects())
    async def many(self, context: ToolContext, times: int) -> str:
        """Call another tool many times at once."""
        results = await asyncio.gather(*(context.call("greetings_list", {}) for _ in range(times)))
        return " ".join(str(result.ok) for result in results)

    @tool(effects=Effects())
    async def names(self, context: ToolContext) -> list[str]:
        """List the other tools."""
        return list(context.tools)


async def test_a_tool_can_call_the_others_and_they_count():
    result, _ = await run_with(
        Greetings(), Caller(), script=[call("caller_relay", {"name": "greetings_greet"}), call("caller_names"), "ok"]
    )
    assert outputs(result) == [
        "True: Hello, Ada!",
        '["greetings_greet","greetings_list","caller_relay","caller_many"]',
    ]
    assert result.tally.per_tool == {"caller_relay": 1, "greetings_greet": 1, "caller_names": 1}


async def test_nested_calls_keep_to_the_limits_even_all_at_once():
    result, _ = await run_with(
        Greetings(), Caller(), script=[call("caller_many", {"times": 6}), "ok"], limits=Limits(tool_calls=4)
    )
    assert outputs(result)[0].split() == ["True"] * 3 + ["False"] * 3
    assert result.tally.tool_calls == 4


async def test_a_call_outside_of_a_run_says_so():
    with pytest.raises(ToolError, match="no agent is running"):
        await ToolContext("r", "c", Tally(), None).call("x", {})
