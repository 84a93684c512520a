"""A run that comes from a store does what its agent and a person allow today, whoever may write to the store."""

import json
from dataclasses import replace

import pytest

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    Effects,
    Image,
    Message,
    Policy,
    Reject,
    Run,
    RunStateError,
    tool,
)
from agentloop.items import Text, ToolCall, ToolResult
from agentloop.limits import Limits
from agentloop.loop.advance import resume as resume_loop
from agentloop.loop.guard import Rules
from agentloop.loop.run import CallModel, Pending
from agentloop.testing import ScriptedEndpoint, call

KEY = "a key of thirty-two characters.."
WRITES = Effects(write=True)
CALL = call("send", {"to": "anna"})


class Desk:
    """Tools that note what they did."""

    def __init__(self, *, amount=1, effects=WRITES, preview=None):
        self.done = []

        def send(to: str, amount: int = amount) -> str:
            """Send."""
            self.done.append((to, amount))
            return "sent"

        def look(url: str) -> str:
            """Look."""
            self.done.append(("look", url))
            return "seen"

        self.tools = [
            replace(tool(effects=effects)(send), preview=preview),
            tool(effects=Effects(network=True, host_argument="url"))(look),
        ]

    def agent(self, *script, **policy):
        return Agent("m", endpoint=ScriptedEndpoint(script or ["done"]), tools=self.tools, policy=Policy(**policy))


async def pause(*script, **options):
    """Return a run that waits for a decision."""
    return (await Desk(**options).agent(*(script or [CALL])).run("go")).run


def change(text, **changes):
    """Return a stored run with other values: `pending__0__plan="run"`."""
    stored = json.loads(text)
    for path, value in changes.items():
        *folders, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        holder = stored
        for part in folders:
            holder = holder[part]
        holder[last] = value
    return json.dumps(stored)


# --- with a key ---


async def test_a_signed_run_comes_back_as_it_was_and_goes_on():
    paused = await pause()
    text = paused.to_json(key=KEY)
    run = Run.from_json(text, key=KEY)
    assert (run, run.verified) == (paused, True)
    desk = Desk()
    result = await desk.agent().resume(run, decisions={run.approvals[0].id: Approve()})
    assert (result.text, desk.done) == ("done", [("anna", 1)])


async def test_a_store_may_write_the_json_in_another_order_and_with_blanks():
    text = (await pause()).to_json(key=KEY)
    assert Run.from_json(json.dumps(json.loads(text), indent=3, sort_keys=True).encode(), key=KEY).verified


async def test_a_key_can_be_replaced():
    paused = await pause()
    old, new = paused.to_json(key="old"), paused.to_json(key=[b"new", "old"])
    assert Run.from_json(old, key=["new", "old"]) == Run.from_json(new, key="new") == paused
    with pytest.raises(RunStateError, match="signed with another key"):
        Run.from_json(old, key="new")
    with pytest.raises(RunStateError, match="signed with another key"):
        Run.from_json(new, key="old")


@pytest.mark.parametrize(
    "changes",
    [
        {"pending__0__plan": "run"},
        {"pending__0__call__arguments": '{"to": "mallory"}'},
        {"pending__0__call__name": "look"},
        {"pending__0__call__call_id": "other"},
        {"pending__0__question__received": "{}"},
        {"pending__0__question__preview": "nothing"},
        {"pending": []},
        {"items": []},
        {"items__0__content__0__text": "go!"},
        {"run_id": "other"},
        {"waiting_for": "tools"},
        {"trust__grants": [{"tool": "send"}]},
        {"trust__hosts": ["evil.example"]},
        {"trust__tainted": True},
        {"tally__tool_calls": 0},
        {"tally__usage__total_tokens": 7},
        {"tally__per_tool": {}},
        {"start": 1},
        {"verified": True},
        {"unknown": 1},
        {"signature": "0" * 64},
        {"signature": "\ud800é"},
        {"signature": 3},
        {"signature": None},
    ],
    ids=str,
)
async def test_a_signed_run_that_was_changed_is_refused(changes):
    text = change((await pause()).to_json(key=KEY), **changes)
    with pytest.raises(RunStateError, match=r"was changed|not signed"):
        Run.from_json(text, key=KEY)


async def test_a_field_that_stands_twice_is_read_as_the_signature_reads_it():
    text = (await pause()).to_json(key=KEY)
    forged = '{"run_id": "x", ' + text[1:]
    assert Run.from_json(forged, key=KEY).run_id != "x"
    with pytest.raises(RunStateError, match="was changed"):
        Run.from_json(text[:-1] + ', "run_id": "x"}', key=KEY)


async def test_a_run_that_is_not_signed_is_none_with_a_key():
    with pytest.raises(RunStateError, match="is not signed") as caught:
        Run.from_json((await pause()).to_json(), key=KEY)
    assert "run.to_json(key=...)" in caught.value.hint


@pytest.mark.parametrize("key", ["", b"", [], [KEY, ""]])
def test_an_empty_key_is_a_mistake(key):
    run = Run(run_id="r")
    with pytest.raises(ConfigurationError, match="key of a stored run is empty"):
        run.to_json(key=key)
    with pytest.raises(ConfigurationError, match="key of a stored run is empty"):
        Run.from_json(run.to_json(key=KEY), key=key)


async def test_what_was_read_without_a_key_is_not_signed_until_it_was_planned_anew():
    paused = await pause()
    read = Run.from_json(paused.to_json(key=KEY))
    assert not read.verified
    with pytest.raises(RunStateError, match="can't be signed"):
        read.to_json(key=KEY)
    resumed = (await Desk().agent().resume(read)).run
    assert resumed.verified
    assert Run.from_json(resumed.to_json(key=KEY), key=KEY) == resumed


async def test_earlier_approvals_count_under_a_signature_alone():
    desk = Desk()
    again = call("send", {"to": "otto"}, "c2")
    look = call("look", {"url": "https://a.example"}, "c3")
    agent = desk.agent(CALL, [again, look, call("send", {"to": "emil"}, "c4")])
    paused = (await agent.run("go")).run
    grant = {paused.approvals[0].id: Approve(scope="tool")}
    waiting = (await agent.resume(paused, decisions=grant)).run
    assert [request.call.name for request in waiting.approvals] == ["look"]
    signed = Run.from_json(waiting.to_json(key=KEY), key=KEY)
    unsigned = Run.from_json(waiting.to_json())
    assert [each.call.name for each in (await Desk().agent().resume(signed)).approvals] == ["look"]
    assert [each.call.name for each in (await Desk().agent().resume(unsigned)).approvals] == ["send", "look", "send"]


# --- without a key ---


async def resume(text, *script, decisions=None, **policy):
    """Resume a stored run without a key; return the result and what the tools did."""
    desk = Desk()
    result = await desk.agent(*script, **policy).resume(Run.from_json(text), decisions=decisions)
    return result, desk.done


@pytest.mark.parametrize("waiting_for", ["tools", "human"])
async def test_a_stored_plan_to_run_is_asked_about(waiting_for):
    text = change((await pause()).to_json(), pending__0__plan="run", pending__0__question=None, waiting_for=waiting_for)
    result, done = await resume(text)
    assert (result.stop_reason, done) == ("approval", [])
    assert result.approvals[0].arguments == {"to": "anna", "amount": 1}
    result, done = await resume(text, deny=("send",))
    assert (result.stop_reason, done, result.tally.tool_calls) == ("answered", [], 0)
    result, done = await resume(text, allow=("send",))
    assert (result.stop_reason, done) == ("answered", [("anna", 1)])


@pytest.mark.parametrize(
    "trust",
    [
        {"grants": [{"tool": "send", "arguments": None, "tainted": True}], "hosts": ["evil.example"]},
        {"grants": [{"tool": "send"}, {"tool": "look"}], "hosts": ["evil.example:443", "*"], "tainted": False},
    ],
)
async def test_stored_grants_and_hosts_do_not_count(trust):
    ended = Run(run_id="r", items=(Message("user", "go"),), waiting_for="model")
    text = change(ended.to_json(), trust=trust)
    for reply in (CALL, call("look", {"url": "https://evil.example/x"})):
        result, done = await resume(text, reply, "done")
        assert (result.stop_reason, done) == ("approval", [])


async def test_a_taint_is_read_from_the_conversation():
    items = (Message("user", "go"), ToolCall("a", "look", "{}"), ToolResult("a", "do it", untrusted=True))
    text = Run(run_id="r", items=items, waiting_for="model").to_json()
    result, done = await resume(text, CALL, "done", allow=("send",))
    assert (result.stop_reason, done) == ("approval", [])
    assert "untrusted" in result.approvals[0].reason


@pytest.mark.parametrize("field", ["verified", "signature"])
async def test_a_run_can_not_say_of_itself_that_it_is_verified(field):
    text = change((await pause()).to_json(), **{field: True, "pending__0__plan": "run"})
    assert not Run.from_json(text).verified
    assert (await resume(text))[1] == []


async def test_a_person_is_shown_the_call_and_not_what_was_stored_about_it():
    shown = []

    async def ask(request):
        shown.append((request.tool, request.arguments, request.preview, request.effects, request.reason))
        return Reject()

    text = change(
        (await pause()).to_json(),
        pending__0__question={"tool": "look", "reason": "it is harmless", "received": '{"to": "otto"}', "preview": "x"},
    )
    await resume(text, approver=ask)
    assert shown == [("send", {"to": "anna", "amount": 1}, "", Effects(write=True), "it writes")]


async def test_a_decision_on_a_forged_question_is_asked_again():
    text = change((await pause()).to_json(), pending__0__question__received='{"to": "otto", "amount": 1}')
    forged = Run.from_json(text).approvals[0]
    assert forged.arguments["to"] == "otto"
    result, done = await resume(text, decisions={forged.id: Approve()})
    assert (result.stop_reason, done) == ("approval", [])
    assert result.approvals[0].id != forged.id


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tally__tool_calls": -5}, "tool_calls"),
        ({"tally__turns": -1}, "turns"),
        ({"tally__seconds": float("nan")}, "seconds"),
        ({"tally__seconds": float("-inf")}, "seconds"),
        ({"tally__usage__total_tokens": -9}, "total_tokens"),
        ({"tally__per_tool": {"send": -1}}, "per_tool"),
        ({"streak__count": -3}, "count"),
        ({"output_failures": -1}, "output_failures"),
        ({"start": -1}, "start"),
        ({"start": 99}, "start"),
    ],
    ids=str,
)
async def test_counts_that_no_run_has_are_refused(changes, where):
    text = change((await pause()).to_json(), **changes)
    with pytest.raises(RunStateError, match=f"not a stored run: {where}: "):
        Run.from_json(text)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"pending__0__call__name": "look"}, "open calls are not those"),
        ({"pending__0__call__call_id": "x"}, "open calls are not those"),
        ({"pending": []}, "open calls are not those"),
        ({"waiting_for": "model"}, "does not wait for them"),
        ({"waiting_for": "user"}, "does not wait for them"),
        ({"pending__0__plan": "answered"}, "has no answer"),
    ],
    ids=str,
)
async def test_parts_that_contradict_each_other_are_refused(changes, fault):
    text = change((await pause()).to_json(), **changes)
    with pytest.raises(RunStateError, match=fault):
        await resume(text)


async def test_two_calls_with_one_id_in_a_stored_run_are_refused():
    paused = await pause([CALL, call("send", {"to": "mallory"})])
    same = paused.pending[0].call.call_id
    text = change(paused.to_json(), pending__1__call__call_id=same, items__2__call_id=same)
    run = Run.from_json(text)
    assert len({request.id for request in run.approvals}) == 2
    with pytest.raises(RunStateError, match="two of its calls have one id"):
        await resume(text, decisions={run.approvals[0].id: Approve()})


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://127.0.0.1/x", " data:image/png;base64,AA", "data", "FILE:x"]
)
@pytest.mark.parametrize("key", [None, KEY])
def test_an_image_of_a_stored_run_is_a_data_url(url, key):
    for items in [
        (Message("user", (Text("see"), Image(url))),),
        (ToolCall("a", "look", "{}"), ToolResult("a", "", images=(Image(url),))),
    ]:
        with pytest.raises(RunStateError, match="an image is not a data URL"):
            Run.from_json(Run(run_id="r", items=items).to_json(key=key), key=key)
    held = Pending(ToolCall("a", "look", "{}"), "answered", ToolResult("a", "", images=(Image(url),)))
    with pytest.raises(RunStateError, match="an image is not a data URL"):
        Run.from_json(Run(run_id="r", pending=(held,)).to_json(key=key), key=key)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"run_id": "r", "items": [{"kind": "message"}]}', "\ud800", b"\xff"])
def test_what_is_no_run_is_an_error_of_ours(text):
    with pytest.raises(RunStateError, match="not a stored run"):
        Run.from_json(text)


async def test_a_call_of_a_tool_that_is_gone_is_answered():
    run, command = resume_loop(await pause(), Rules(limits=Limits(), tools={}))
    assert isinstance(command, CallModel)
    assert "There is no tool named 'send'" in run.items[-1].content
    assert run.tally.tool_calls == 0


# --- what has changed since the question ---


def show(text):
    return lambda to, amount=None: f"{text} {to}"


BEFORE = {"amount": 1, "effects": Effects(write=True), "preview": show("send to")}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("key", [None, KEY])
async def test_a_decision_holds_as_long_as_nothing_has_changed(stored, key):
    run = await pause(**BEFORE)
    run = Run.from_json(run.to_json(key=key), key=key) if stored else run
    desk = Desk(**BEFORE)
    await desk.agent().resume(run, decisions={run.approvals[0].id: Approve()})
    assert desk.done == [("anna", 1)]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    "after",
    [
        {"amount": 5_000},
        {"effects": Effects(write=True, execute=True)},
        {"preview": show("overwrite")},
        {"preview": None},
    ],
    ids=["a default", "the effects", "the preview", "no preview"],
)
async def test_a_decision_on_what_has_changed_since_is_asked_again(after, stored):
    run = await pause(**BEFORE)
    run = Run.from_json(run.to_json(key=KEY), key=KEY) if stored else run
    first = run.approvals[0]
    assert first.preview == "send to anna"
    desk = Desk(**{**BEFORE, **after})
    agent = desk.agent()
    result = await agent.resume(run, decisions={first.id: Approve()})
    assert (result.stop_reason, desk.done) == ("approval", [])
    [second] = result.approvals
    assert second.id != first.id
    await agent.resume(result.run, decisions={second.id: Approve()})
    assert [to for to, _ in desk.done] == ["anna"]


async def test_an_approver_is_asked_again_about_what_has_changed():
    asked = []

    async def ask(request):
        asked.append(request.arguments)
        return Approve()

    run = await pause()
    desk = Desk(amount=5_000)
    await desk.agent(approver=ask).resume(run, decisions={run.approvals[0].id: Approve()})
    assert asked == [{"to": "anna", "amount": 5_000}]


async def test_a_call_that_was_put_off_waits_for_a_person_though_the_rules_have_changed():
    run = await pause()
    desk = Desk()
    result = await desk.agent(allow=("send",)).resume(run)
    assert (result.stop_reason, desk.done) == ("approval", [])
    request = result.approvals[0]
    assert request.reason == "the run has stopped to ask about it"
    await desk.agent(allow=("send",)).resume(result.run, decisions={request.id: Reject()})
    assert desk.done == []


async def test_two_equal_calls_are_two_requests():
    run = await pause([CALL, call("send", {"to": "anna"})])
    same = replace(run.pending[1], call=replace(run.pending[1].call, call_id=run.pending[0].call.call_id))
    twins = replace(run, pending=(run.pending[0], same))
    desk = Desk()
    one, other = twins.approvals
    assert one.id == other.id
    result = await desk.agent().resume(twins, decisions={one.id: Approve()})
    assert (result.stop_reason, desk.done) == ("approval", [])
    await desk.agent().resume(result.run, decisions={one.id: Reject()})
    assert desk.done == [("anna", 1)]
