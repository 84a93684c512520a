"""Requests of a run that its user has left, or whose time is up, are not sent again."""

import asyncio

import pytest

from agentloop import Agent, Endpoint, Finished, Limits, Notice, TextDelta, UnreachableError
from clock import stop_clock
from loopback import Gate, Loopback, sse_reply, stream_of, text_body
from ways import PROFILES


class Stubborn:
    """A transport that makes an error of a cancellation, as some clients do."""

    def __init__(self):
        self.endpoint, self.started, self.sent = Endpoint("http://127.0.0.1:1/v1"), asyncio.Event(), 0

    async def send(self, path, body):
        self.sent += 1
        self.started.set()
        if self.sent > 1:
            raise UnreachableError("it was sent again")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise UnreachableError("the connection was closed") from None

    async def stream(self, path, body):
        await self.send(path, body)
        yield b""

    async def aclose(self):
        pass


@pytest.mark.parametrize("streams", [False, True])
async def test_a_request_that_makes_an_error_of_a_cancellation_is_not_sent_again(streams):
    transport = Stubborn()
    agent = Agent("m", endpoint=transport)

    async def run():
        if streams:
            return [event async for event in agent.stream("go")]
        return await agent.run("go")

    task = asyncio.create_task(run())
    await transport.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert transport.sent == 1
    assert cancelled.value.run.stop_reason == "cancelled"


@pytest.mark.parametrize("dialect", ["native", "message", "chat"])
async def test_a_stream_in_which_the_time_is_up_is_followed_by_a_last_turn(dialect):
    clock, gate = stop_clock(), Gate()
    events = stream_of(text_body("It was a dark and stormy night"), dialect)
    shown = 1 + next(at for at, (_, data) in enumerate(events) if "stormy" in str(data))
    first = sse_reply([*events[:shown], gate, *events[shown:]])
    async with (
        Loopback([first, text_body("The end.")], dialect) as server,
        Agent("m", endpoint=Endpoint(server.base_url, profile=PROFILES[dialect]), limits=Limits(seconds=60)) as agent,
    ):
        seen = []
        async for event in agent.stream("Tell a story."):
            seen.append(event)
            if isinstance(event, TextDelta) and "stormy" in event.text:
                clock.advance(61)
        await gate.was_left()
    said = "".join(event.text for event in seen if isinstance(event, (TextDelta, Notice)))
    assert said.startswith("It was a dark and stormy")
    assert said.endswith("the model has its last turn, without toolsThe end.")
    assert isinstance(seen[-1], Finished)
    assert (seen[-1].result.stop_reason, seen[-1].result.text) == ("time_limit", "The end.")
