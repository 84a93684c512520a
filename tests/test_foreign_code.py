"""What code of the user does that an agent calls: it keeps cancellations, and raises what can't be read."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest

from agentloop import (
    Agent,
    Approve,
    Effects,
    Policy,
    Reject,
    RunStateError,
    ToolContext,
    ToolError,
    ToolFailedError,
    ToolPack,
    ToolResult,
    ToolStarted,
    UnreachableError,
    tool,
)
from agentloop.testing import ScriptedEndpoint, call

PATIENCE_SECONDS = 60  # for what would never end


# --- cancellations that foreign code keeps to itself ---


async def keep(begun, then):
    """Wait until this is cancelled, and do something else about it."""
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if isinstance(then, Exception):
            raise then from None
        return then


class Scene:
    """An agent whose code keeps a cancellation, and a tool that must not run after it."""

    def __init__(self):
        self.begun, self.paid = asyncio.Event(), []

    def agent(self, script, *tools, **options):
        @tool
        async def pay() -> str:
            """Pay."""
            self.paid.append(1)
            return "paid"

        return Agent("any", endpoint=script, tools=[pay, *tools], **options)


def tool_that(then):
    def make(scene):
        @tool
        async def slow() -> str:
            """Wait."""
            return await keep(scene.begun, then)

        return scene.agent(ScriptedEndpoint([call("slow"), call("pay"), "done"]), slow)

    return make


def tools_side_by_side(scene):
    @tool
    async def slow(number: int) -> str:
        """Wait."""
        return await keep(scene.begun, "late")

    calls = [call("slow", {"number": number}, f"c{number}") for number in range(3)]
    return scene.agent(ScriptedEndpoint([calls, call("pay"), "done"]), slow)


def tool_called_by_a_tool(scene):
    @tool
    async def inner() -> str:
        """Wait."""
        return await keep(scene.begun, "late")

    @tool
    async def outer(context: ToolContext) -> str:
        """Ask the other."""
        try:
            return (await context.call("inner", {})).content
        except asyncio.CancelledError:
            return "whatever"

    return scene.agent(ScriptedEndpoint([call("outer"), call("pay"), "done"]), inner, outer)


def approver_that(then):
    def make(scene):
        async def approve(_request):
            return await keep(scene.begun, then)

        policy = Policy(ask=("pay",), approver=approve)
        return scene.agent(ScriptedEndpoint([call("pay"), "done"]), policy=policy)

    return make


def transport_that(then):
    def make(scene):
        class Slow(ScriptedEndpoint):
            async def send(self, path, body):
                if len(self.requests) == 1:
                    await keep(scene.begun, then)
                return await super().send(path, body)

            async def stream(self, path, body):
                if len(self.requests) == 1:
                    await keep(scene.begun, then)
                async for chunk in super().stream(path, body):
                    yield chunk

        @tool
        async def look() -> str:
            """Look."""
            return "seen"

        return scene.agent(Slow([call("look"), call("pay"), call("pay"), "done"]), look)

    return make


def pack_that_keeps_it_while_it_opens(scene):
    class Slow(ToolPack):
        name = "slow"

        @asynccontextmanager
        async def open(self):
            await keep(scene.begun, None)
            yield []

    return scene.agent(ScriptedEndpoint([call("pay"), "done"]), Slow())


def pack_that_keeps_it_while_it_closes(scene):
    class Slow(ToolPack):
        name = "slow"

        @asynccontextmanager
        async def open(self):
            yield []
            await keep(scene.begun, None)

    return scene.agent(ScriptedEndpoint(["done"]), Slow())


SCENES = {
    "a tool returns": tool_that("it did not work"),
    "a tool raises": tool_that(RuntimeError("stopped")),
    "a tool tells": tool_that(ToolError("stopped")),
    "tools side by side": tools_side_by_side,
    "a tool of a tool": tool_called_by_a_tool,
    "an approver approves": approver_that(Approve()),
    "an approver raises": approver_that(ValueError("no")),
    "a transport answers": transport_that(None),
    "a transport fails": transport_that(UnreachableError("the connection broke")),
    "a pack opens": pack_that_keeps_it_while_it_opens,
    "a pack closes": pack_that_keeps_it_while_it_closes,
}
each_scene = pytest.mark.parametrize("make", SCENES.values(), ids=SCENES)


@each_scene
async def test_a_run_that_was_cancelled_ends_whatever_the_code_does_that_it_waits_for(make):
    scene = Scene()
    task = asyncio.create_task(make(scene).run("go"))
    await asyncio.wait_for(scene.begun.wait(), PATIENCE_SECONDS)
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.run.run_id
    assert not scene.paid


@each_scene
async def test_a_stream_that_was_left_ends_its_run(make):
    scene = Scene()
    stream = make(scene).stream("go")

    async def watch():
        async for _ in stream:
            pass

    task = asyncio.create_task(watch())
    await asyncio.wait_for(scene.begun.wait(), PATIENCE_SECONDS)
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert task.cancelled()
    assert not scene.paid


async def test_a_loop_over_a_stream_that_is_left_ends_the_run():
    scene = Scene()
    async with aclosing(SCENES["a tool returns"](scene).stream("go")) as stream:
        async for event in stream:
            if isinstance(event, ToolStarted):
                break
    assert not scene.paid


async def test_a_timeout_around_a_run_is_a_timeout_though_a_tool_kept_it():
    scene = Scene()
    agent = SCENES["a tool raises"](scene)

    async def run_out_of_time():
        async with asyncio.timeout(None) as limit:
            asyncio.get_running_loop().call_soon(limit.reschedule, 0)
            await agent.run("go")

    with pytest.raises(TimeoutError) as caught:
        await run_out_of_time()
    assert caught.value.__cause__.run.run_id
    assert not scene.paid


async def test_what_a_tool_returned_before_its_run_was_cancelled_is_kept():
    scene = Scene()
    task = asyncio.create_task(SCENES["a tool returns"](scene).run("go"))
    await asyncio.wait_for(scene.begun.wait(), PATIENCE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert [item.content for item in caught.value.run.items if isinstance(item, ToolResult)] == ["it did not work"]


async def test_a_run_in_a_task_that_was_cancelled_before_goes_on():
    """As in the clean-up of a task that is being cancelled."""

    async def clean_up():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return (await tool_that_looks().run("go")).text

    def tool_that_looks():
        @tool
        async def look() -> str:
            """Look."""
            await asyncio.sleep(0)
            return "seen"

        return Agent("any", endpoint=ScriptedEndpoint([call("look"), "done"]), tools=[look])

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "done"


async def test_timeouts_and_groups_of_a_tools_own_do_not_end_the_run():
    async def fail():
        raise ValueError("no")

    @tool
    async def look() -> str:
        """Look."""
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* ValueError:
            pass
        return "seen"

    agent = Agent("any", endpoint=ScriptedEndpoint([call("look"), "done"]), tools=[look])
    assert (await agent.run("go")).text == "done"


# --- exceptions ---


class FailingTextError(Exception):
    def __str__(self):
        raise LookupError


class NumberAsTextError(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307 - that is what it is about


class EndlessError(RecursionError):
    def __str__(self):
        return str(self)


class ForgetfulError(ToolError):
    def __init__(self, code):
        self.code = code


class WordlessError(ToolError):
    def __init__(self):
        super().__init__(None)


class DeepError(ToolError):
    @property
    def message(self):
        raise ValueError

    @message.setter
    def message(self, _):
        pass


def nested(*errors):
    return ExceptionGroup("unhandled errors in a TaskGroup", list(errors))


WORDS = {
    "its text raises": (FailingTextError(), "look failed: FailingTextError"),
    "its text is a number": (NumberAsTextError(), "look failed: NumberAsTextError"),
    "its text is endless": (EndlessError(), "look failed: EndlessError"),
    "a ToolError without its own __init__": (ForgetfulError(4), "ForgetfulError"),
    "a ToolError without a text": (WordlessError(), "WordlessError"),
    "a ToolError whose text raises": (DeepError("x"), "DeepError"),
    "a group": (nested(ValueError("a"), KeyError("b")), "look failed: ValueError: a; KeyError: 'b'"),
    "groups in a group": (
        nested(nested(OSError("a")), nested(nested(EndlessError()))),
        "look failed: OSError: a; EndlessError",
    ),
    "a group with a ToolError": (
        nested(ToolError("No such order."), ValueError("b")),
        "look failed: No such order.; ValueError: b",
    ),
    "a group of ToolErrors": (
        nested(ToolError("No such order."), nested(ToolError("Nor that."))),
        "No such order.; Nor that.",
    ),
    "a large group": (
        nested(*(ValueError(str(number)) for number in range(1_000))),
        "look failed: " + "; ".join(f"ValueError: {number}" for number in range(10)) + "; and more",
    ),
    "a group with a path": (nested(OSError("/home/ada/secret/a.txt")), "look failed: OSError: a.txt"),
}


def agent_that_raises(error, *, is_async, **options):
    def look():
        """Look."""
        raise error

    async def look_slowly():
        """Look."""
        raise error

    made = tool(name="look")(look_slowly if is_async else look)
    endpoint = ScriptedEndpoint([call("look"), "done"])
    return Agent("any", endpoint=endpoint, tools=[made], **options), endpoint


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("error", "told"), WORDS.values(), ids=WORDS)
async def test_whatever_a_tool_raises_the_model_is_told_and_the_run_goes_on(error, told, is_async):
    agent, endpoint = agent_that_raises(error, is_async=is_async)
    assert (await agent.run("go")).text == "done"
    assert endpoint.requests[1]["input"][-1]["output"] == told


@pytest.mark.parametrize("name", ["its text raises", "its text is a number", "a group", "a group with a ToolError"])
async def test_whatever_a_tool_raises_ends_the_run_where_the_policy_says_so(name):
    error, told = WORDS[name]
    agent, _ = agent_that_raises(error, is_async=True, policy=Policy(on_tool_error="raise"))
    with pytest.raises(ToolFailedError, match=told.removeprefix("look failed: ").split(";")[0]):
        await agent.run("go")


async def test_a_group_of_tool_errors_is_told_like_one_whatever_the_policy():
    agent, _ = agent_that_raises(WORDS["a group of ToolErrors"][0], is_async=True, policy=Policy(on_tool_error="raise"))
    assert (await agent.run("go")).text == "done"


def test_a_group_in_which_a_person_pressed_ctrl_c_ends_the_program():
    error = BaseExceptionGroup("unhandled errors", [ValueError("a"), KeyboardInterrupt()])
    agent, _ = agent_that_raises(error, is_async=True)
    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(agent.run("go"))
    assert caught.value is error


def test_an_error_of_a_users_class_can_be_written():
    assert str(ForgetfulError(4)) == "4"
    assert (ForgetfulError(4).hint, ForgetfulError(4).run) == ("", None)


class Unreadable(ToolPack):
    name = "odd"

    def open(self):
        raise FailingTextError


async def test_a_pack_that_raises_what_can_not_be_read_is_named():
    agent = Agent("any", endpoint=ScriptedEndpoint(["done"]), tools=[Unreadable()])
    with pytest.raises(Exception, match="the pack 'odd' can't be opened: FailingTextError"):
        await agent.run("go")


# --- approvers ---


def agent_that_asks(approver):
    @tool(effects=Effects(write=True))
    def save() -> str:
        """Save."""
        return "saved"

    endpoint = ScriptedEndpoint([call("save"), "done"])
    return Agent("any", endpoint=endpoint, tools=[save], policy=Policy(approver=approver)), endpoint


class Yes:
    def __call__(self, request):
        return Approve()


class SlowYes:
    async def __call__(self, request):
        return Approve()


async def approve_later(request):
    return Approve()


def told_of(endpoint):
    return endpoint.requests[1]["input"][-1]["output"]


@pytest.mark.parametrize(
    "approver",
    [lambda _: Approve(), Yes(), SlowYes(), Yes().__call__, approve_later, lambda asked: (approve_later(asked),)[0]],
)
async def test_an_approver_may_be_async_or_not(approver):
    agent, endpoint = agent_that_asks(approver)
    assert (await agent.run("go")).text == "done"
    assert told_of(endpoint) == "saved"


async def test_an_approver_that_waits_for_a_person_does_not_hold_up_other_runs():
    loop, asked, answered = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def ask(_request):
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(PATIENCE_SECONDS)
        return Reject("not today")

    agent, endpoint = agent_that_asks(ask)
    run = asyncio.create_task(agent.run("go"))
    await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
    answered.set()
    await run
    assert told_of(endpoint) == "This call was declined: not today"


def test_an_approver_may_ask_an_agent_in_its_thread():
    expert = Agent("any", endpoint=ScriptedEndpoint(["yes"]))
    agent, endpoint = agent_that_asks(lambda _: Approve() if expert.run_sync("May it?").text == "yes" else Reject())
    assert agent.run_sync("go").text == "done"
    assert told_of(endpoint) == "saved"


async def test_a_run_that_is_cancelled_does_not_wait_for_its_approver():
    loop, asked, answered = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def ask(_request):
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(PATIENCE_SECONDS)
        return Approve()

    run = asyncio.create_task(agent_that_asks(ask)[0].run("go"))
    await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
    run.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await run
    assert caught.value.run.stop_reason == "cancelled"
    answered.set()


@pytest.mark.parametrize("said", [True, None, "yes"])
async def test_an_approver_that_returns_no_decision_is_an_error(said):
    with pytest.raises(RunStateError, match=f"is a {type(said).__name__}"):
        await agent_that_asks(lambda _: said)[0].run("go")


async def test_what_a_sync_approver_raises_is_raised():
    def fail(_request):
        raise ValueError("no terminal")

    with pytest.raises(ValueError, match="no terminal"):
        await agent_that_asks(fail)[0].run("go")
