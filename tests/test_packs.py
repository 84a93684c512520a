"""Packs through an agent: how they are opened and left, what their tools are called, and the views made from them."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import Field

from agentloop import (
    Agent,
    Approve,
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
PATIENCE_SECONDS = 60  # for what would never end


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


async def test_a_pack_may_be_given_as_text_to_an_agent(tmp_path):
    (tmp_path / "a.txt").write_text("first\nsecond\n")
    result, endpoint = await run_with(f"files:root={tmp_path}", script=[call("files_read", {"path": "a.txt"}), "ok"])
    assert "files_read" in names(endpoint)
    assert outputs(result) == ["1\tfirst\n2\tsecond"]


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


class Odd(ToolPack):
    """A pack that does as it is told when it is opened and left."""

    name = "odd"

    def __init__(self, yields=(), *, opening=None, closing=None, twice=False):
        super().__init__()
        self.yields, self.opening, self.closing, self.twice = yields, opening, closing, twice

    @asynccontextmanager
    async def open(self):
        LIFE.append("open odd")
        try:
            if self.opening is not None:
                raise self.opening
            yield self.yields
            if self.twice:
                yield self.yields
            if self.closing is not None:
                raise self.closing
        finally:
            LIFE.append("close odd")


def broken_off():
    yield Greetings().greet
    raise OSError("half way")


def bare():
    pass


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (Odd(None), "'NoneType' object is not iterable"),
        (Odd([bare]), "yields a function, which is not a tool"),
        (Odd(broken_off()), "OSError: half way"),
        (Odd(opening=SystemExit(3)), "SystemExit: 3"),
        (Odd(opening=asyncio.CancelledError("mine")), "CancelledError: mine"),
    ],
)
async def test_whatever_a_pack_does_in_place_of_opening_is_its_own_error_and_all_are_left(life, pack, said):
    with pytest.raises(PackError, match=f"the pack 'odd' .*{said}"):
        await run_with(Counted("a"), pack)
    assert life == ["open a", "open odd", "close odd", "close a"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_pack_that_stops_the_program_stops_neither_a_sync_call_nor_the_loop_behind_it(error):
    with pytest.raises(PackError, match=type(error).__name__):
        agent_with(["x"], Odd(opening=error))[0].run_sync("go")
    assert agent_with(["still there"], Odd(closing=error))[0].run_sync("go").text == "still there"


def test_ctrl_c_while_a_pack_is_opened_or_left_ends_the_program():
    for pack in (Odd(opening=KeyboardInterrupt()), Odd(closing=KeyboardInterrupt())):
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(agent_with(["x"], pack)[0].run("go"))


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (Odd(twice=True), "RuntimeError: generator didn't stop"),
        (Odd(closing=SystemExit(3)), "SystemExit: 3"),
        (Odd(closing=asyncio.CancelledError()), "CancelledError"),
    ],
)
async def test_whatever_a_pack_does_when_it_is_left_costs_no_result(pack, said):
    events = [event async for event in agent_with(["done"], pack, Counted("b"))[0].stream("go")]
    assert events[-1].result.text == "done"
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"the pack 'odd' could not be closed: {said}"
    ]


async def test_a_run_that_is_cancelled_while_a_pack_is_opened_is_cancelled(life):
    waiting = asyncio.Event()

    class Slow(ToolPack):
        name = "slow"

        @asynccontextmanager
        async def open(self):
            waiting.set()
            await asyncio.Event().wait()
            yield []

    task = asyncio.create_task(agent_with(["x"], Counted("a"), Slow())[0].run("go"))
    await asyncio.wait_for(waiting.wait(), PATIENCE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert life == ["open a", "close a"]


async def test_an_open_that_is_no_context_says_what_is_lacking():
    class Plain(ToolPack):
        name = "plain"

        def open(self):
            return []

    with pytest.raises(PackError, match=r"returns a list, not an async(.|\n)*@asynccontextmanager"):
        await run_with(Plain())


async def test_a_pack_without_a_name_is_refused_for_its_tools_would_pass_for_plain_functions():
    class Nameless(Greetings):
        name = ""

    with pytest.raises(PackError, match=r"Nameless 1\.2 has no name"):
        await run_with(Nameless())


@pytest.mark.parametrize(
    "pack",
    [
        Greetings().prefixed("gr\xfc\xdfe"),
        Greetings().prefixed("a b"),
        Greetings().renamed({"greet": "salut\xe9"}),
        Greetings().renamed({"greet": ""}),
    ],
)
async def test_a_name_that_no_server_takes_is_said_before_any_request(pack):
    with pytest.raises(ConfigurationError, match=r"can't be a tool's name(.|\n)*prefixed"):
        await run_with(pack)


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
    await asyncio.wait_for(waiting.wait(), PATIENCE_SECONDS)
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


async def test_a_pack_that_passes_on_why_the_run_ended_is_not_blamed_for_it():
    class Passing(ToolPack):
        name = "passing"

        def open(self):
            return self

        async def __aenter__(self):
            return []

        async def __aexit__(self, _kind, error, _traceback):
            raise error

    told = []

    async def tell(text):
        told.append(text)

    with pytest.raises(ServerError, match="down"):
        async with open_packs([Passing()], tell):
            raise ServerError("down", hint="")
    assert told == []


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


async def test_limits_on_calls_all_hold_and_views_of_one_name_have_their_own():
    turn = [call("greetings_greet", {"who": "A"}, "c1"), call("greetings_greet", {"who": "B"}, "c2")]
    for pack in (
        Greetings().limited(calls=1).limited(calls=5),
        Greetings().limited(calls=5).limited(calls=1),
        Greetings().limited(calls=1).limited(timeout=5).limited(max_output=300),
        Greetings().limited(calls=1).only("greet").prefixed("a").prefixed("greetings"),
    ):
        result, _ = await run_with(pack, script=[turn, "ok"])
        assert ["Not run" in output for output in outputs(result)] == [False, True]
    turn = [call("a_greet", {"who": "A"}, "c1"), call("greetings_greet", {"who": "B"}, "c2")]
    pair = Greetings().limited(calls=1).prefixed("a"), Greetings().limited(calls=1)
    result, _ = await run_with(*pair, script=[turn, "ok"])
    assert outputs(result) == ["Hello, A!", "Hello, B!"]
    both = Greetings().limited(calls=1)
    result, _ = await run_with(both.prefixed("a"), both, script=[turn, "ok"])
    assert ["Not run" in output for output in outputs(result)] == [False, True]


@pytest.mark.parametrize("limit", [{"calls": -1}, {"timeout": 0}, {"max_output": 0}, {"max_output": 199}])
def test_a_limit_that_leaves_no_room_is_said_at_once(limit):
    with pytest.raises(ConfigurationError, match=f"limited.{next(iter(limit))}="):
        Greetings().limited(**limit)


async def test_rules_stay_with_their_tools_whatever_is_made_of_the_pack():
    deny = [Policy(deny=(name,)) for name in ("list", "greetings.list", "greetings_list")]
    for pack in (
        *(Greetings().with_policy(each).renamed({"list": "all"}) for each in deny),
        *(Greetings().with_policy(each).prefixed("greetings2").prefixed("greetings") for each in deny),
        *(
            Greetings().with_policy(each).prefixed("other").renamed({"list": "x"}).prefixed("greetings")
            for each in deny
        ),
        *(Greetings().with_policy(each).with_policy(Policy(ask=("greet",))) for each in deny),
        *(Greetings().with_policy(Policy(hosts=("a.example",))).with_policy(each) for each in deny),
    ):
        _, endpoint = await run_with(pack)
        assert names(endpoint) == ["greetings_greet"]


async def test_a_rule_about_an_argument_that_one_tool_of_a_joined_pack_takes_is_in_order():
    argument, other = Policy(deny=("*(who=Eve)",)), Policy(ask=("list",))
    result, _ = await run_with(
        Greetings().with_policy(argument).with_policy(other),
        script=[call("greetings_greet", {"who": "Eve"}), "ok"],
    )
    assert "not allowed with this `who`" in outputs(result)[0]
    with pytest.raises(ConfigurationError, match="has no such argument"):
        await run_with(Greetings().with_policy(other).with_policy(Policy(deny=("*(whom=Eve)",))))


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


async def test_a_task_that_a_tool_leaves_behind_can_call_nothing_that_nobody_would_count():
    left = asyncio.Queue()

    @tool
    async def leave(context: ToolContext) -> str:
        """Leave a task behind."""
        go_on = asyncio.Event()

        async def later() -> None:
            await go_on.wait()
            await context.call("greetings_list", {})

        left.put_nowait((asyncio.create_task(later()), go_on))
        return "left"

    result, _ = await run_with(Greetings(), leave, script=[call("leave"), "ok"])
    task, go_on = left.get_nowait()
    go_on.set()
    with pytest.raises(ToolError, match="has ended"):
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert result.tally.per_tool == {"leave": 1}


async def test_what_strangers_wrote_taints_through_a_nested_call_and_the_yes_is_asked_for_after_it():
    @tool(effects=Effects(open_world=True))
    def page() -> str:
        """Read a page."""
        return "do as I say"

    @tool(effects=Effects(write=True))
    def store() -> str:
        """Store."""
        return "stored"

    @tool
    async def both(context: ToolContext) -> str:
        """Read and store."""
        read = await context.call("page", {})
        return f"{read.content}; {(await context.call('store', {})).content}"

    asked = []

    async def approve(request):
        asked.append(request.reason)
        return Approve()

    options = {"policy": Policy(allow=("store",), approver=approve)}
    result, _ = await run_with(page, store, both, script=[call("both"), "ok"], **options)
    assert asked == ["it writes, and the run has read untrusted text"]
    assert outputs(result)[0].endswith("do as I say; stored")
    assert [item.untrusted for item in result.items if hasattr(item, "ok")] == [True]
    assert result.run.tainted


async def test_nested_calls_keep_to_the_limits_even_all_at_once():
    result, _ = await run_with(
        Greetings(), Caller(), script=[call("caller_many", {"times": 6}), "ok"], limits=Limits(tool_calls=4)
    )
    assert outputs(result)[0].split() == ["True"] * 3 + ["False"] * 3
    assert result.tally.tool_calls == 4


async def test_a_call_outside_of_a_run_says_so():
    with pytest.raises(ToolError, match="no agent is running"):
        await ToolContext("r", "c", Tally(), None).call("x", {})
