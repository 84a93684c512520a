"""One of those that are compared, at one kind of work: `measure.py CLIENT SCENARIO BASE_URL`.

It warms up, and then measures once for each line that it reads, and prints each figure as JSON. So two of these can
take turns, and whatever slows the machine down for a moment slows both.
"""

import asyncio
import json
import resource
import sys
import time

import clients


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


async def add_async(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def add_slowly(a: int, b: int) -> int:
    """Add two integers in 50 ms."""
    time.sleep(0.05)
    return a + b


async def add_slowly_async(a: int, b: int) -> int:
    """Add two integers in 50 ms."""
    await asyncio.sleep(0.05)
    return a + b


add_async.__name__ = add_slowly.__name__ = add_slowly_async.__name__ = "add"


async def cpu_per_request(client, model, runs, requests):
    """Milliseconds of CPU for one request with what belongs to it."""
    before = time.process_time()
    for _ in range(runs):
        assert await client.run(model) == f"done {requests - 1}"
    return (time.process_time() - before) / (runs * requests) * 1e3


async def cpu_per_delta(client, model, runs, deltas):
    """Microseconds of CPU for one text delta."""
    before = time.process_time()
    for _ in range(runs):
        assert len([_ async for _ in client.stream(model)]) == deltas
    return (time.process_time() - before) / (runs * deltas) * 1e6


async def delay_of_first_delta(client, model):
    """The median, over some streams, of milliseconds from sending the first delta to seeing it."""
    delays = []
    for _ in range(15):
        seen = [(time.monotonic(), text) async for text in client.stream(model)]
        delays.append((seen[0][0] - float(seen[0][1])) * 1e3)
    return sorted(delays)[len(delays) // 2]


async def wall_of_batch(client, calls):
    """Milliseconds from asking to the answer, with tools of 50 ms in one turn."""
    started = time.perf_counter()
    assert await client.run(f"batch-{calls}") == f"done {calls}"
    return (time.perf_counter() - started) * 1e3


async def many_at_once(client, runs):
    """Runs of 5 steps a second, all at a time, and the megabytes that the first go of them took on top."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    texts = await asyncio.gather(*(client.run("steps-5") for _ in range(runs)))
    seconds = time.perf_counter() - started
    assert texts == ["done 5"] * runs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"runs_per_second": runs / seconds, "megabytes": (peak - before) / 1024}


async def encode_of_step(client, megabytes):
    """The median, over some steps, of milliseconds to write the request of a step after so long a history."""
    from agentloop import Message, ModelSettings, ToolCall, ToolResult  # noqa: PLC0415 - the other client must not pay for this import
    from agentloop.wire.conversation import Conversation  # noqa: PLC0415 - as above
    from agentloop.wire.model_target import ModelTarget  # noqa: PLC0415 - as above

    endpoint = client.endpoint
    subject = ModelTarget(
        base_url=endpoint.base_url,
        model="m",
        instructions=None,
        tools=(),
        settings=ModelSettings(),
        profile=endpoint.profile,
    )
    conversation = Conversation(subject)
    items = [Message("user", "x" * 10_000) for _ in range(megabytes * 100)]
    taken = []
    for number in range(41):
        items += [ToolCall(f"call_{number}", "add", '{"a": 1, "b": 2}'), ToolResult(f"call_{number}", "3")]
        before = time.perf_counter()
        body = conversation.encode(tuple(items), tools=False, stream=False)
        taken.append((time.perf_counter() - before) * 1e3)
        assert len(body) > megabytes * 1e6
    return sorted(taken[1:])[20]  # the first step writes the history


def run(model):
    return lambda client: client.run(model)


def stream(model):
    async def consume(client):
        return [_ async for _ in client.stream(model)]

    return consume


# The tool, the warm-up, the measurement.
SCENARIOS = {
    "steps20": (add, run("steps-20"), lambda client: cpu_per_request(client, "steps-20", 10, 21)),
    "steps20_async": (add_async, run("steps-20"), lambda client: cpu_per_request(client, "steps-20", 10, 21)),
    "steps200": (add_async, run("steps-20"), lambda client: cpu_per_request(client, "steps-200", 1, 201)),
    "text": (add, run("text"), lambda client: cpu_per_request(client, "text", 200, 1)),
    "stream": (add, stream("stream-200"), lambda client: cpu_per_delta(client, "stream-2000", 2, 2000)),
    "delay": (add, stream("trickle-10"), lambda client: delay_of_first_delta(client, "trickle-10")),
    "batch_sync": (add_slowly, run("batch-8"), lambda client: wall_of_batch(client, 8)),
    "batch_async": (add_slowly_async, run("batch-8"), lambda client: wall_of_batch(client, 8)),
    "long": (add, run("text"), lambda client: encode_of_step(client, 4)),
    "many": (add_async, run("steps-5"), lambda client: many_at_once(client, 200)),
}


def main():
    name, scenario, base_url = sys.argv[1:]
    function, warm_up, measure = SCENARIOS[scenario]

    async def go():
        client = clients.CLIENTS[name](base_url, function)
        for _ in range(3):
            await warm_up(client)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await measure(client)), flush=True)

    asyncio.run(go())


if __name__ == "__main__":
    main()
