"""An agent from its public face: running, streaming, limits, people, resuming, cancelling. The endpoint is scripted."""

import asyncio
import contextvars
import json
import threading

import pytest

from agentloop import (
    Agent,
    ApprovalAsked,
    Approve,
    ConfigurationError,
    ContextOverflowError,
    EmptyReplyError,
    Endpoint,
    Finished,
    Limits,
    Message,
    ModelSettings,
    Notice,
    Policy,
    Profile,
    Reject,
    Run,
    RunResult,
    RunStateError,
    ServerError,
    TextDelta,
    ToolCall,
    ToolContext,
    ToolError,
    ToolFailedError,
    ToolFinished,
    ToolRegistry,
    ToolResult,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    tool,
)
from agentloop.testing import ScriptedEndpoint, call
from clock import stop_clock
from loopback import events_of, text_body

PATIENCE_SECONDS = 60


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def agent_for(script, *tools, **options):
    endpoint = ScriptedEndpoint(script)
    return Agent("scripted", endpoint=endpoint, tools=tools or (add,), **options), endpoint


ONE_CALL = [call("add", {"a": 1, "b": 2}, "c1"), "It is 3."]


async def test_a_question_is_answered_through_a_tool():
    agent, endpoint = agent_for(ONE_CALL, instructions="Be brief.")
    result = await agent.run("What is 1 and 2?")
    assert (result.text, result.stop_reason, result.stop_note) == ("It is 3.", "answered", "the model answered")
    assert (result.tally.turns, result.tally.tool_calls, result.tally.per_tool) == (2, 1, {"add": 1})
    first, second = endpoint.requests
    assert first["instructions"] == "Be brief."
    assert (first["store"], first["stream"]) == (False, False)
    assert second["input"][-1] == {"type": "function_call_output", "call_id": "c1", "output": "3"}


def test_the_same_in_sync_code():
    agent, _ = agent_for(ONE_CALL)
    assert agent.run_sync("What is 1 and 2?").text == "It is 3."


async def test_the_sync_call_works_inside_a_running_loop():
    agent, _ = agent_for(ONE_CALL)
    assert agent.run_sync("What is 1 and 2?").text == "It is 3."


async def test_the_result_of_one_run_is_the_history_of_the_next():
    agent, endpoint = agent_for([*ONE_CALL, "You asked for a sum."])
    first = await agent.run("What is 1 and 2?")
    second = await agent.run("What did I ask?", history=first.items)
    assert second.text == "You asked for a sum."
    assert len(endpoint.requests[-1]["input"]) == len(first.items) + 1
    assert second.tally.turns == 1


async def test_input_may_be_a_message_or_items():
    agent, endpoint = agent_for(["hi", "hi"])
    await agent.run(Message("user", "hello"))
    await agent.run([Message("user", "hello"), Message("user", "there")])
    assert len(endpoint.requests[1]["input"]) == 2


def kinds(events):
    return [type(event).__name__ for event in events]


STREAM = [
    "TurnStarted",
    "TurnFinished",
    "ToolStarted",
    "ToolFinished",
    "TurnStarted",
    "TextDelta",
    "TextDelta",
    "TextDelta",
    "TurnFinished",
    "Finished",
]


async def test_a_stream_shows_everything_in_order():
    agent, endpoint = agent_for(ONE_CALL)
    events = [event async for event in agent.stream("What is 1 and 2?")]
    assert kinds(events) == STREAM
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is 3."
    assert events[-1].result.text == "It is 3."
    assert endpoint.requests[0]["stream"] is True


async def test_a_whole_body_in_place_of_a_stream_is_shown_all_the_same():
    endpoint = ScriptedEndpoint(ONE_CALL)

    async def stream(path, body):
        yield await endpoint.send(path, body)

    endpoint.stream = stream
    events = [event async for event in Agent("scripted", endpoint=endpoint, tools=[add]).stream("go")]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["It is 3."]


def test_a_stream_in_sync_code_shows_the_same():
    agent, _ = agent_for(ONE_CALL)
    assert kinds(agent.stream_sync("What is 1 and 2?")) == STREAM


async def test_leaving_a_stream_early_ends_the_run():
    started, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    agent, _ = agent_for([call("wait")], wait)
    stream = agent.stream("wait")
    async for event in stream:
        if isinstance(event, ToolStarted):
            await started.wait()
            break
    await stream.aclose()
    assert ended.is_set()


def test_leaving_a_sync_stream_early_ends_the_run():
    started, ended = threading.Event(), threading.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    agent, _ = agent_for([call("wait")], wait)
    stream = agent.stream_sync("wait")
    for event in stream:
        if isinstance(event, ToolStarted):
            assert started.wait(PATIENCE_SECONDS)
            break
    stream.close()
    assert ended.is_set()


async def test_a_consumer_that_takes_its_time_misses_nothing():
    agent, _ = agent_for(ONE_CALL)
    seen = []
    async for event in agent.stream("What is 1 and 2?"):
        await asyncio.sleep(0)
        seen.append(event)
    assert kinds(seen) == STREAM


async def test_no_task_is_left_behind():
    agent, _ = agent_for(ONE_CALL)
    async for _ in agent.stream("What is 1 and 2?"):
        pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_calls_of_one_turn_run_at_the_same_time_and_answer_in_call_order():
    first_may_end = asyncio.Event()

    @tool
    async def first() -> str:
        """First."""
        await asyncio.wait_for(first_may_end.wait(), PATIENCE_SECONDS)
        return "first"

    @tool
    async def second() -> str:
        """Second."""
        first_may_end.set()
        return "second"

    agent, _ = agent_for([[call("first", {}, "a"), call("second", {}, "b")], "done"], first, second)
    result = await agent.run("go")
    assert [item.content for item in result.items if isinstance(item, ToolResult)] == ["first", "second"]


async def test_beside_a_tool_that_is_not_parallel_nothing_runs():
    running, beside = [], {}

    def make(name, **options):
        async def run() -> str:
            running.append(name)
            for _ in range(10):  # time for others to begin
                await asyncio.sleep(0)
                beside[name] = beside.get(name, set()) | {*running}
            running.remove(name)
            return name

        return tool(run, name=name, description="Run.", **options)

    tools = [make(name) for name in ("one", "two", "three", "four")] + [make("write", parallel=False)]
    order = ["one", "two", "write", "three", "four"]
    agent, _ = agent_for([[call(name) for name in order], "done"], *tools)
    await agent.run("go")
    first, last = {"one", "two"}, {"three", "four"}
    assert beside == {"one": first, "two": first, "write": {"write"}, "three": last, "four": last}


async def test_sync_tools_of_one_turn_run_at_the_same_time_too():
    barrier = threading.Barrier(2)

    @tool
    def meet() -> str:
        """Meet the other."""
        barrier.wait(PATIENCE_SECONDS)
        return "met"

    agent, _ = agent_for([[call("meet"), call("meet")], "done"], meet)
    result = await agent.run("go")
    assert [item.content for item in result.items if isinstance(item, ToolResult)] == ["met", "met"]


async def test_sync_tools_run_in_threads_with_the_callers_context_variables():
    user = contextvars.ContextVar("user", default="nobody")

    @tool
    def who() -> str:
        """Say who asks."""
        return f"{user.get()} {threading.current_thread() is threading.main_thread()}"

    agent, endpoint = agent_for([call("who"), "ok"], who)
    user.set("ada")
    await agent.run("who?")
    assert endpoint.requests[1]["input"][-1]["output"] == "ada False"


def test_context_variables_reach_tools_from_sync_code_too():
    user = contextvars.ContextVar("user", default="nobody")

    @tool
    async def who() -> str:
        """Say who asks."""
        return user.get()

    agent, endpoint = agent_for([call("who"), "ok"], who)
    user.set("ada")
    agent.run_sync("who?")
    assert endpoint.requests[1]["input"][-1]["output"] == "ada"


async def test_a_tool_sees_the_run_and_the_users_own_object():
    seen = []

    @tool
    def peek(context: ToolContext[dict], key: str) -> str:
        """Peek."""
        seen.append(context)
        return context.value[key]

    agent, endpoint = agent_for([call("peek", {"key": "a"}, "c7"), "ok"], peek)
    result = await agent.run("peek", context={"a": "apple"})
    assert endpoint.requests[1]["input"][-1]["output"] == "apple"
    assert (seen[0].run_id, seen[0].call_id, seen[0].tally.turns) == (result.run.run_id, "c7", 1)
    assert list(endpoint.requests[0]["tools"][0]["parameters"]["properties"]) == ["key"]


# --- what tools do wrong ---


@tool
def fail(how: str) -> str:
    """Fail."""
    if how == "told":
        raise ToolError("Ask for another city.")
    if how == "exit":
        raise SystemExit(3)
    raise ValueError("no such city in /srv/data")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("told", "Ask for another city."),
        ("value", "fail failed: ValueError: no such city in data"),
        ("exit", "fail failed: SystemExit: 3"),
    ],
)
async def test_what_a_tool_raises_is_told_to_the_model_and_the_run_goes_on(how, told):
    agent, endpoint = agent_for([call("fail", {"how": how}), "sorry"], fail)
    events = [event async for event in agent.stream("go")]
    assert endpoint.requests[1]["input"][-1]["output"] == told
    [finished] = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.error is not None
    assert not finished.result.ok
    assert events[-1].result.text == "sorry"


async def test_a_failing_tool_ends_the_run_where_that_is_wanted_and_nothing_done_is_lost():
    agent, _ = agent_for(
        [[call("add", {"a": 1, "b": 2}, "x"), call("fail", {"how": "value"}, "y")], "sorry"],
        add,
        fail,
        policy=Policy(on_tool_error="raise"),
    )
    with pytest.raises(ToolFailedError, match="fail raised ValueError: no such city") as caught:
        await agent.run("go")
    assert isinstance(caught.value.__cause__, ValueError)
    results = [item for item in caught.value.run.items if isinstance(item, ToolResult)]
    assert [result.ok for result in results] == [True, False]
    assert (await agent.resume(caught.value.run)).text == "sorry"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseException("odd")])
def test_what_a_sync_tool_raises_never_stops_the_background_loop(error):
    @tool
    def interrupt() -> str:
        """Interrupt."""
        raise error

    agent, endpoint = agent_for([call("interrupt"), "sorry", "still here"], interrupt)
    assert agent.run_sync("go").text == "sorry"
    assert type(error).__name__ in endpoint.requests[1]["input"][-1]["output"]
    assert agent.run_sync("go").text == "still here"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("[Errno 2] No such file: '/home/ada/secret/notes.txt'", "[Errno 2] No such file: 'notes.txt'"),
        ("C:\\Users\\ada\\notes.txt is locked", "notes.txt is locked"),
        ("see https://example.org/a/b and 1/2", "see https://example.org/a/b and 1/2"),
    ],
)
async def test_the_model_is_never_told_a_path_of_this_machine(said, told):
    @tool
    def read() -> str:
        """Read."""
        raise OSError(said)

    agent, endpoint = agent_for([call("read"), "sorry"], read)
    await agent.run("go")
    assert endpoint.requests[1]["input"][-1]["output"] == f"read failed: OSError: {told}"


async def test_calls_that_are_not_run_and_limits_that_are_reached_are_seen():
    script = [[call("nope"), call("add", {"a": 1, "b": 2})], call("add", {"a": 2, "b": 2}), "so far"]
    agent, _ = agent_for(script, limits=Limits(tool_calls=1))
    notices = [event async for event in agent.stream("go") if isinstance(event, Notice)]
    assert [notice.topic for notice in notices] == ["not_run", "not_run", "limit"]
    assert "no tool named 'nope'" in notices[0].text
    assert "tool_calls=1" in notices[2].text


def test_what_an_async_tool_raises_never_stops_the_background_loop():
    @tool
    async def interrupt() -> str:
        """Interrupt."""
        raise KeyboardInterrupt

    agent, endpoint = agent_for([call("interrupt"), "sorry", "still here"], interrupt)
    assert agent.run_sync("go").text == "sorry"
    assert endpoint.requests[1]["input"][-1]["output"] == "interrupt failed: KeyboardInterrupt"
    assert agent.run_sync("go").text == "still here"


async def test_a_tool_error_is_for_the_model_even_where_failing_tools_raise():
    agent, _ = agent_for([call("fail", {"how": "told"}), "sorry"], fail, policy=Policy(on_tool_error="raise"))
    assert (await agent.run("go")).text == "sorry"


async def test_only_the_first_of_two_failing_tools_is_raised():
    script = [[call("fail", {"how": "value"}), call("fail", {"how": "exit"})]]
    agent, _ = agent_for(script, fail, policy=Policy(on_tool_error="raise"))
    with pytest.raises(ToolFailedError, match="ValueError"):
        await agent.run("go")


async def test_a_result_that_is_no_json_is_told_to_the_model():
    @tool
    def odd() -> object:
        """Return something odd."""
        return object()

    agent, endpoint = agent_for([call("odd"), "ok"], odd)
    await agent.run("go")
    assert "object" in endpoint.requests[1]["input"][-1]["output"]


async def test_arguments_that_do_not_fit_are_told_to_the_model_with_path_and_schema():
    agent, endpoint = agent_for([call("add", {"a": "one", "b": 2}), "ok"])
    await agent.run("go")
    told = endpoint.requests[1]["input"][-1]["output"]
    assert "a" in told
    assert "integer" in told
    assert "one" in told


async def test_mended_arguments_are_counted_and_seen():
    agent, _ = agent_for([call("add", '```json\n{"a": 1, "b": 2}\n```'), "ok"])
    events = [event async for event in agent.stream("go")]
    [finished] = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.repairs
    assert finished.result.content == "3"
    assert events[-1].result.tally.repairs == 1


# --- time ---


async def test_an_async_tool_that_takes_too_long_is_cancelled_and_the_model_is_told():
    clock = stop_clock()

    @tool(timeout=90)
    async def hang() -> str:
        """Hang."""
        clock.advance(90)
        await asyncio.Event().wait()
        return ""

    agent, endpoint = agent_for([call("hang"), "ok"], hang)
    events = [event async for event in agent.stream("go")]
    assert events[-1].result.text == "ok"
    assert endpoint.requests[1]["input"][-1]["output"] == "hang did not return within 90 s and was stopped."
    assert [event.seconds for event in events if isinstance(event, ToolFinished)] == [90]


async def test_a_tool_that_returns_in_the_last_second_is_not_too_late():
    clock = stop_clock()

    @tool(timeout=90)
    async def hurry() -> str:
        """Hurry."""
        clock.advance(89)
        await asyncio.sleep(88)
        return "just so"

    agent, endpoint = agent_for([call("hurry"), "ok"], hurry)
    assert (await agent.run("go")).tally.seconds == 89
    assert endpoint.requests[1]["input"][-1]["output"] == "just so"


async def test_a_timeout_of_the_tools_own_is_its_failure_not_ours():
    @tool(timeout=90)
    async def slow() -> str:
        """Be slow."""
        raise TimeoutError("the database is slow")

    agent, endpoint = agent_for([call("slow"), "ok"], slow)
    await agent.run("go")
    assert endpoint.requests[1]["input"][-1]["output"] == "slow failed: TimeoutError: the database is slow"


async def test_a_sync_tool_that_takes_too_long_is_abandoned_and_everyone_is_told():
    clock, release = stop_clock(), threading.Event()

    @tool(timeout=90)
    def hang() -> str:
        """Hang."""
        clock.advance(90)
        release.wait(PATIENCE_SECONDS)
        return "too late"

    agent, endpoint = agent_for([call("hang", {}, "c9"), "ok"], hang)
    events = [event async for event in agent.stream("go")]
    release.set()
    assert "could not be stopped" in endpoint.requests[1]["input"][-1]["output"]
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert notice.topic == "abandoned"
    assert "agentloop-hang-c9" in notice.text


async def test_an_async_tool_that_cancels_itself_fails_and_the_run_goes_on():
    @tool
    async def give_up() -> str:
        """Give up."""
        raise asyncio.CancelledError

    agent, endpoint = agent_for([call("give_up"), "ok"], give_up)
    assert (await agent.run("go")).text == "ok"
    assert endpoint.requests[1]["input"][-1]["output"] == "give_up cancelled itself."


async def test_a_tool_is_stopped_when_the_runs_time_is_up_and_the_model_lands():
    clock = stop_clock()

    @tool
    async def hang() -> str:
        """Hang."""
        clock.advance(90)
        await asyncio.Event().wait()
        return ""

    agent, endpoint = agent_for([call("hang"), "so far"], hang, limits=Limits(seconds=90))
    result = await agent.run("go")
    assert (result.text, result.stop_reason, result.tally.seconds) == ("so far", "time_limit", 90)
    assert endpoint.requests[1]["tool_choice"] == "none"


async def test_the_shorter_of_a_tools_timeout_and_the_runs_time_counts():
    clock = stop_clock()

    @tool(timeout=90)
    async def hang() -> str:
        """Hang."""
        clock.advance(90)
        await asyncio.Event().wait()
        return ""

    agent, endpoint = agent_for([call("hang"), "ok"], hang, limits=Limits(seconds=100))
    assert (await agent.run("go")).stop_reason == "answered"
    assert "within 90 s" in endpoint.requests[1]["input"][-1]["output"]


class StalledEndpoint(ScriptedEndpoint):
    """Answers the first request from a script, then never; whoever waits for that has waited for so long."""

    def __init__(self, script, seconds=0.0):
        super().__init__(script)
        self.stalled = asyncio.Event()
        self._clock, self._seconds = stop_clock(), seconds

    async def send(self, path, body):
        if len(self.requests) == 1:
            self.stalled.set()
            self._clock.advance(self._seconds)
            await asyncio.Event().wait()
        return await super().send(path, body)


async def test_a_model_that_does_not_answer_in_its_last_turn_either_ends_the_run_with_everything_done():
    endpoint = StalledEndpoint([call("add", {"a": 1, "b": 2})], seconds=90)
    agent = Agent("scripted", endpoint=endpoint, tools=[add], limits=Limits(seconds=90))
    result = await agent.run("go")
    assert (result.stop_reason, result.tally.seconds) == ("time_limit", 180)
    assert result.run.stop_note.endswith("the model gave no last answer in time")
    assert result.items[-1].content == "3"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(tool_calls=0, seconds=90), "tool_call_limit"), (Limits(seconds=90), "time_limit")],
    ids=["with time left", "with none"],
)
async def test_the_last_turn_may_take_a_tenth_more_than_the_runs_time(limits, reason):
    clock = stop_clock()

    @tool
    async def hang() -> str:
        """Hang."""
        clock.advance(90)
        await asyncio.Event().wait()
        return ""

    agent, endpoint = agent_for([call("hang"), "so far"], hang, limits=limits)
    send = endpoint.send

    async def send_slowly(path, body):
        if endpoint.requests:
            clock.advance(8)
            await asyncio.sleep(8)  # by the stopped clock
        return await send(path, body)

    endpoint.send = send_slowly
    result = await agent.run("go")
    assert (result.text, result.stop_reason) == ("so far", reason)


async def test_a_request_that_the_time_limit_stops_is_followed_by_a_last_turn():
    clock = stop_clock()
    agent, endpoint = agent_for([call("add", {"a": 1, "b": 2}), "so far"], add, limits=Limits(seconds=20))
    send = endpoint.send

    async def send_slowly(path, body):
        if len(endpoint.requests) == 1 and clock() < start + 20:
            clock.advance(20)
            await asyncio.Event().wait()
        return await send(path, body)

    start = clock()
    endpoint.send = send_slowly
    result = await agent.run("go")
    assert (result.text, result.stop_reason, result.tally.turns) == ("so far", "time_limit", 3)


# --- cancelling ---


async def test_a_cancelled_run_is_on_the_error_with_its_calls_answered():
    started = asyncio.Event()

    @tool
    async def hang() -> str:
        """Hang."""
        started.set()
        await asyncio.Event().wait()
        return ""

    agent, _ = agent_for([[call("add", {"a": 1, "b": 2}, "x"), call("hang", {}, "y")], "so far"], add, hang)
    task = asyncio.create_task(agent.run("go"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    run = caught.value.run
    assert (run.stop_reason, run.waiting_for) == ("cancelled", "model")
    assert {item.call_id for item in run.items if isinstance(item, ToolResult)} == {"x", "y"}
    assert (await agent.resume(Run.from_json(run.to_json()))).text == "so far"


async def test_a_timeout_around_a_run_is_a_plain_timeout_with_the_run_on_its_context():
    endpoint = StalledEndpoint([call("add", {"a": 1, "b": 2})], seconds=90)
    agent = Agent("scripted", endpoint=endpoint, tools=[add])
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(90):
            await agent.run("go")
    run = caught.value.__context__.run  # not its cause, which the first releases of Python 3.11 leave out
    assert run.items[-1].content == "3"


async def test_a_cancelled_stream_has_the_run_on_the_very_error():
    endpoint = StalledEndpoint([])

    async def consume():
        async for _ in Agent("scripted", endpoint=endpoint).stream("go"):
            pass

    endpoint.requests.append({})
    endpoint.stream = lambda path, body: _never(endpoint)
    task = asyncio.create_task(consume())
    await endpoint.stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.run.stop_reason == "cancelled"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _never(endpoint):
    endpoint.stalled.set()
    await asyncio.Event().wait()
    yield b""


async def test_a_cancelled_sync_tool_is_abandoned_and_named():
    started, release = threading.Event(), threading.Event()

    @tool
    def hang() -> str:
        """Hang."""
        started.set()
        release.wait(PATIENCE_SECONDS)
        return ""

    agent, _ = agent_for([call("hang", {}, "c3")], hang)
    events = []

    async def consume():
        async for event in agent.stream("go"):
            events.append(event)
            if isinstance(event, ToolStarted):
                asyncio.get_running_loop().run_in_executor(None, _wait_then, started, task.cancel, loop)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(consume())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    release.set()
    assert "may or may not have taken effect" in caught.value.run.items[-1].content


def _wait_then(event, action, loop):
    assert event.wait(PATIENCE_SECONDS)
    loop.call_soon_threadsafe(action)


# --- people ---


ASK_ADD = Policy(ask=("add",))


async def test_without_an_approver_the_run_pauses_and_goes_on_in_another_process():
    agent, _ = agent_for(ONE_CALL, policy=ASK_ADD)
    events = [event async for event in agent.stream("go")]
    assert kinds(events)[-2:] == ["ApprovalAsked", "Finished"]
    result = events[-1].result
    assert result.stop_reason == "approval"
    run = Run.from_json(result.run.to_json())
    assert run.approvals == result.approvals == (events[-2].request,)
    done = await agent.resume(run, decisions={run.approvals[0].id: Approve()})
    assert (done.text, done.stop_reason) == ("It is 3.", "answered")


async def test_an_approver_decides_while_the_run_goes_on():
    asked = []

    async def approver(request):
        asked.append((request.tool, request.arguments, request.reason))
        return Reject("not today")

    agent, endpoint = agent_for(ONE_CALL, policy=Policy(ask=("add",), approver=approver))
    assert (await agent.run("go")).stop_reason == "answered"
    assert asked == [("add", {"a": 1, "b": 2}, "the policy asks about add")]
    assert endpoint.requests[1]["input"][-1]["output"] == "This call was declined: not today"


async def test_what_an_approver_raises_ends_the_run_which_is_on_the_error():
    async def approver(_):
        raise ToolError("no terminal to ask on")

    agent, _ = agent_for(ONE_CALL, policy=Policy(ask=("add",), approver=approver))
    with pytest.raises(ToolError, match="no terminal") as caught:
        await agent.run("go")
    assert caught.value.run.waiting_for == "human"


async def test_a_denied_tool_is_not_offered():
    agent, endpoint = agent_for(["hi"], policy=Policy(deny=("add",)))
    await agent.run("go")
    assert "tools" not in endpoint.requests[0]


def test_resuming_in_sync_code():
    agent, _ = agent_for(ONE_CALL, policy=ASK_ADD)
    paused = agent.run_sync("go")
    assert agent.resume_sync(paused.run, decisions={paused.approvals[0].id: Approve()}).text == "It is 3."


async def test_resuming_a_run_that_has_ended_says_what_to_do():
    agent, _ = agent_for(["hi"])
    result = await agent.run("go")
    with pytest.raises(RunStateError, match=r"history=result\.items"):
        await agent.resume(result.run)


# --- the model ---


async def test_a_failing_endpoint_loses_nothing_and_the_run_resumes():
    agent, endpoint = agent_for([*ONE_CALL[:1], ServerError("HTTP 500", status=500), "It is 3."])
    clock, send = stop_clock(), endpoint.send

    async def send_slowly(path, body):
        clock.advance(30)
        await asyncio.sleep(30)
        return await send(path, body)

    endpoint.send = send_slowly
    with pytest.raises(ServerError) as caught:
        await agent.run("What is 1 and 2?")
    run = caught.value.run
    assert run.items[-1] == ToolResult("c1", "3")
    assert run.tally.seconds == 60
    assert (await agent.resume(run)).text == "It is 3."


async def test_an_error_of_a_stream_comes_after_its_events():
    agent, _ = agent_for([*ONE_CALL[:1], ServerError("HTTP 500", status=500)])
    seen = []

    async def watch():
        async for event in agent.stream("What is 1 and 2?"):
            seen.append(event)  # noqa: PERF401 - a comprehension would lose what came before the error

    with pytest.raises(ServerError):
        await watch()
    assert kinds(seen)[-1] == "TurnStarted"


def test_an_error_of_a_sync_stream_is_raised_too():
    agent, _ = agent_for([ServerError("HTTP 500", status=500)])
    with pytest.raises(ServerError):
        list(agent.stream_sync("go"))


async def test_an_empty_reply_twice_is_an_error_with_the_run():
    agent, _ = agent_for(["", " ", "here"])
    with pytest.raises(EmptyReplyError) as caught:
        await agent.run("go")
    assert (await agent.resume(caught.value.run)).text == "here"


async def test_a_result_has_no_text_when_the_model_gave_none():
    agent, _ = agent_for([call("add", {"a": 1, "b": 2}), ""], limits=Limits(turns=1))
    result = await agent.run("go")
    assert (result.text, result.stop_reason) == ("", "turn_limit")


def test_a_run_that_goes_on_has_no_stop_reason():
    with pytest.raises(RunStateError, match="has not ended"):
        _ = RunResult(Run(run_id="r")).stop_reason


async def test_tool_choice_holds_until_the_first_tool_has_run():
    agent, endpoint = agent_for(ONE_CALL, settings=ModelSettings(tool_choice="required"))
    await agent.run("go")
    assert [request.get("tool_choice") for request in endpoint.requests] == ["required", None]


async def test_the_agents_settings_and_the_endpoints_fields_are_sent():
    agent, endpoint = agent_for(["hi"], settings=ModelSettings(temperature=0, extra_body={"seed": 1}))
    await agent.run("go")
    assert endpoint.requests[0]["temperature"] == 0
    assert endpoint.requests[0]["seed"] == 1


async def test_what_was_shown_is_not_asked_for_again_though_a_shorter_request_might_fit():
    agent, endpoint = agent_for([])
    shown = events_of(text_body("It is 3."))[:4]

    async def stream(path, body):
        endpoint.requests.append(json.loads(body))
        for name, data in shown:
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        yield b'event: error\ndata: {"code": "context_length_exceeded", "message": "context length is 1000"}\n\n'

    endpoint.stream = stream
    history = [Message(role, "word " * 2_000) for role in ("user", "assistant") * 4]
    seen = []

    async def watch():
        async for event in agent.stream("What is 1 and 2?", history=history):
            seen.append(event)  # noqa: PERF401 - a comprehension would lose what came before the error

    with pytest.raises(ContextOverflowError):
        await watch()
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["It"]
    assert len(endpoint.requests) == 1


# --- the user's own mistakes ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Agent("gpt-oss-20b"), "no provider prefix"),
        (lambda: Agent("acme:model"), "names no known provider"),
        (lambda: Agent("ovh:"), "has no name after the colon"),
        (lambda: Agent("ovh:m", settings=ModelSettings(tool_choice="add")), "is no tool of this agent"),
        (lambda: Limits(tool_calls=-1), "tool_calls=-1"),
        (lambda: Limits(turns=0), "turns=0"),
        (lambda: Limits(repeats=True), "repeats=True"),
        (lambda: Limits(per_tool={"add": -1}), "per_tool"),
        (lambda: Limits(per_tool=3), "is not a mapping"),
        (lambda: Limits(tool_calls=1.5), "tool_calls=1.5"),
        (lambda: Limits(seconds=float("nan")), "seconds=nan"),
        (lambda: Endpoint("http://x y/v1"), "not an http"),
        (lambda: Endpoint("127.0.0.1:8000"), "not an http"),
        (lambda: Endpoint("http://x:99999/v1"), "not an http"),
        (lambda: Endpoint("http://[/v1"), "not an http"),
        (lambda: Endpoint("http://x/v1", api_key=" "), "api_key is empty"),
        (lambda: Endpoint("http://x/v1", timeout_seconds=0), "timeout_seconds"),
    ],
)
def test_a_mistake_raises_at_once_with_what_to_do(make, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        make()
    assert caught.value.hint


def test_a_key_does_not_show_in_a_repr():
    assert "secret" not in repr(Endpoint("http://x/v1", api_key="secret", headers={"X-Key": "secret"}))


async def test_the_connections_are_freed_at_the_end_of_the_block():
    async with agent_for(["hi"])[0] as agent:
        assert (await agent.run("go")).text == "hi"
    await Agent("local:smollm2").aclose()
    Agent("ovh:any").close()


def test_a_registry_of_tools_is_taken_as_it_is():
    registry = ToolRegistry()
    registry.tool(add.function, name="plus")
    agent, endpoint = agent_for(["hi"], registry)
    agent.run_sync("go")
    assert [offered["name"] for offered in endpoint.requests[0]["tools"]] == ["plus"]


async def test_a_profile_decides_how_results_are_written():
    endpoint = ScriptedEndpoint(["ok"], profile=Profile(tool_items="message"))
    history = [Message("user", "1+2?"), ToolCall("c", "add", '{"a":1,"b":2}'), ToolResult("c", "3")]
    await Agent("scripted", endpoint=endpoint, tools=[add]).run([], history=history)
    assert [item.get("role") for item in endpoint.requests[0]["input"]] == ["user", "assistant", "tool"]


def test_a_finished_event_is_the_last_and_has_the_result():
    agent, _ = agent_for(["hi"])
    *_, last = agent.stream_sync("go")
    assert isinstance(last, Finished)
    assert json.loads(last.result.run.to_json())["stop_reason"] == "answered"


def test_turns_are_counted_from_one():
    agent, _ = agent_for(ONE_CALL)
    events = list(agent.stream_sync("go"))
    assert [event.turn for event in events if isinstance(event, (TurnStarted, TurnFinished))] == [1, 1, 2, 2]
    assert not any(isinstance(event, ApprovalAsked) for event in events)
