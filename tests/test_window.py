import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from agentloop import (
    Agent,
    ContextOverflowError,
    Image,
    Message,
    ModelSettings,
    Notice,
    Profile,
    Reasoning,
    RefusedError,
    Text,
    ToolCall,
    ToolResult,
    tool,
)
from agentloop.items import Item
from agentloop.runtime.summary import write_transcript
from agentloop.testing import ScriptedEndpoint, call
from agentloop.wire.profile.failures import read_error
from loopback import call_body, error_reply, text_body
from ways import RUN, both_wires, check_request, ours, serving

DEFAULT = Profile()


@tool
def read(page: int, characters: int) -> str:
    """Read a page of so many characters."""
    return f"{page}:".ljust(characters, "x")


def refusal(words: str) -> ContextOverflowError:
    error = read_error(400, {}, json.dumps({"error": {"message": words}}).encode())
    assert isinstance(error, ContextOverflowError)
    return error


def tokens_of(request: dict[str, Any], rate: float = 1.0) -> int:
    """Count a request's tokens as a server might."""
    return int(len(json.dumps(request["input"])) / 4 * rate)


class Model:
    """Reads `steps` times and then answers; takes at most `window` tokens, and says so in these words.

    Attributes:
        refused: How many tokens the requests took that were refused.
        requests: The inputs of those that were not.
    """

    def __init__(self, steps: int, characters: int, window: int, words: str = "{tokens} > {window}", rate: float = 1.0):
        self.steps, self.characters, self.window, self.words, self.rate = steps, characters, window, words, rate
        self.refused: list[int] = []
        self.requests: list[list[dict[str, Any]]] = []

    def __call__(self, request: dict[str, Any]) -> Any:
        check_request(request)
        tokens = tokens_of(request, self.rate)
        if tokens > self.window:
            self.refused.append(tokens)
            return refusal(self.words.format(tokens=tokens, window=self.window, excess=tokens - self.window))
        self.requests.append(request["input"])
        usage = {"input_tokens": tokens, "output_tokens": 5, "total_tokens": tokens + 5}
        if len(self.requests) > self.steps:
            return text_body("done", usage=usage)
        number = len(self.requests)
        return call_body(("read", {"page": number, "characters": self.characters}), first=number, usage=usage)


def run(model: Model, profile: Profile = DEFAULT, **options: Any):
    endpoint = ScriptedEndpoint(model, profile=profile)
    agent = Agent("m", endpoint=endpoint, tools=[read], **options)
    events = list(agent.stream_sync("go"))
    trimmed = [event.text for event in events if isinstance(event, Notice) and event.topic == "trimmed"]
    return events[-1].result, trimmed, agent


LLAMACPP = "request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
OVH = "max_tokens must be at least 1, got -{excess}."
SILENT = "Your input exceeds the context window of this model."


def test_a_run_longer_than_a_window_that_is_known_is_never_refused_and_its_transcript_is_whole():
    model = Model(steps=25, characters=1000, window=4000)
    result, trimmed, _ = run(model, Profile(context_tokens=4000))
    assert (result.text, model.refused) == ("done", [])
    assert len(result.items) == 2 + 25 * 2
    assert len(model.requests[-1]) < 20
    assert all(sent[0]["content"] == model.requests[0][0]["content"] for sent in model.requests)
    assert trimmed[0].startswith("the conversation takes about ")
    assert "old turns are left out and 0 results of tools are shortened" in trimmed[0]


def test_the_beginning_of_the_requests_stays_the_same_over_many_turns():
    model = Model(steps=25, characters=1000, window=4000)
    _, trimmed, _ = run(model, Profile(context_tokens=4000))
    pairs = list(zip(model.requests, model.requests[1:], strict=False))
    assert sum(after[: len(before)] != before for before, after in pairs) == len(trimmed) <= 6


@pytest.mark.parametrize("words", [LLAMACPP, OVH, SILENT])
@pytest.mark.parametrize("rate", [0.6, 1.0, 2.5])
def test_a_run_survives_an_overflow_whatever_the_server_says_and_however_it_counts(words, rate):
    model = Model(steps=25, characters=1000, window=4000, words=words, rate=rate)
    result, trimmed, _ = run(model)
    assert result.text == "done"
    assert len(result.items) == 2 + 25 * 2
    assert trimmed
    assert len(model.refused) <= 4


def test_a_window_that_the_server_names_is_learned_and_later_runs_keep_to_it():
    first, later = (Model(steps=10, characters=2000, window=4000, words=LLAMACPP) for _ in range(2))
    models = [first]
    endpoint = ScriptedEndpoint(lambda body: models[-1](body))  # noqa: PLW0108 - the last one at the time of the request
    agent = Agent("m", endpoint=endpoint, tools=[read])
    agent.run_sync("go")
    assert len(first.refused) == 1
    models.append(later)
    assert agent.run_sync("go").text == "done"
    assert later.refused == []


@pytest.mark.parametrize("words", [LLAMACPP, OVH])
def test_one_refusal_is_enough_where_the_window_is_known_and_the_server_counts_otherwise_than_we_do(words):
    history = [Message("user" if at % 2 == 0 else "assistant", f"{at} " * 100) for at in range(40)]
    model = Model(steps=2, characters=200, window=4000, words=words, rate=2)
    agent = Agent("m", endpoint=ScriptedEndpoint(model, profile=Profile(context_tokens=4000)), tools=[read])
    assert agent.run_sync("go", history=history).text == "done"
    assert len(model.refused) == 1
    assert len(model.requests[0]) > 5, "no more is left out than need be"


def test_large_results_are_shortened_before_any_turn_is_left_out():
    model = Model(steps=3, characters=8000, window=6000)
    result, trimmed, _ = run(model, Profile(context_tokens=6000))
    assert result.text == "done"
    assert len(trimmed) == 1
    assert "0 old turns are left out and 2 results of tools are shortened" in trimmed[0]
    outputs = [len(item["output"]) for item in model.requests[-1] if item["type"] == "function_call_output"]
    assert outputs == [2000, 2000, 8000]


def test_a_window_too_small_for_what_must_stay_leaves_just_that():
    model = Model(steps=4, characters=3000, window=10**6)
    result, trimmed, _ = run(model, Profile(context_tokens=1000))
    assert result.text == "done"
    assert [len(sent) for sent in model.requests] == [1, 3, 3, 3, 3]
    assert len(trimmed) == 3


def test_what_is_left_of_a_long_talk_has_no_two_messages_of_the_user_in_a_row():
    roles: list[list[str]] = []

    def answer(request: dict[str, Any]) -> Any:
        roles.append([item["role"] for item in request["input"]])
        return text_body("well " * 200)

    agent = Agent("m", endpoint=ScriptedEndpoint(answer, profile=Profile(context_tokens=2000)))
    items: Sequence[Item] = ()
    for _ in range(10):
        items = agent.run_sync("and then " * 50, history=items).items
    assert len(items) == 20
    assert max(map(len, roles)) < 12
    assert not [sent for sent in roles if ("user", "user") in pairwise(sent)]
    agent.run_sync("go", history=[Message("user", "one"), Message("user", "two"), *items])
    assert roles[-1][:3] == ["user", "assistant", "user"]


def test_room_is_left_for_as_long_a_reply_as_was_asked_for():
    model = Model(steps=8, characters=1000, window=10_000)
    settings = ModelSettings(max_output_tokens=3000)
    run(model, Profile(context_tokens=4000), settings=settings)
    assert max(map(len, model.requests)) < 10
    model = Model(steps=8, characters=1000, window=10_000)
    run(model, Profile(context_tokens=4000), settings=ModelSettings(max_output_tokens=100))
    assert max(map(len, model.requests)) > 10


@both_wires
def test_a_request_that_can_get_no_shorter_raises_what_the_server_said_with_the_run(way):
    answers = [error_reply(400, SILENT)]
    with serving(answers) as (agent, server), ours(ContextOverflowError, "exceeds the context window") as caught:
        way.ask(agent, "x" * 9000)
    assert len(server.requests) == 1
    assert caught.value.run.items == (Message("user", "x" * 9000),)


def test_a_server_that_refuses_whatever_is_left_is_asked_five_times_at_the_most():
    history = [Message("user" if at % 2 == 0 else "assistant", f"{at}" * 400) for at in range(200)]
    with serving(lambda _: error_reply(400, SILENT)) as (agent, server), ours(ContextOverflowError) as caught:
        RUN.ask(agent, history=history)
    lengths = [len(request.json["input"]) for request in server.requests]
    assert len(lengths) == 5
    assert lengths == sorted(lengths, reverse=True)
    assert len(caught.value.run.items) == 201


def test_a_run_that_was_broken_off_by_an_overflow_goes_on_elsewhere():
    endpoint = ScriptedEndpoint([call("read", {"page": 1, "characters": 10}), refusal(SILENT), "done"])
    agent = Agent("m", endpoint=endpoint, tools=[read])
    with pytest.raises(ContextOverflowError) as caught:
        agent.run_sync("go")
    assert agent.resume_sync(caught.value.run).text == "done"


# --- large bodies ---

SMALL = Profile(body_bytes=20_000)
PICTURE = Image.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes(10_000))


def test_results_are_shortened_where_the_body_would_be_larger_than_the_endpoint_takes():
    model = Model(steps=3, characters=9000, window=10**6)
    result, trimmed, _ = run(model, SMALL)
    assert result.text == "done"
    [trimming] = trimmed
    assert trimming == (
        "the request takes 0.03 MB, and the endpoint takes at most 0.02 MB: in what is sent, results of tools are "
        "shortened to 4000 characters"
    )
    outputs = [len(item["output"]) for item in model.requests[-1] if item["type"] == "function_call_output"]
    assert outputs == [4000, 4000, 4000]
    assert [len(item.content) for item in result.items if item.kind == "result"] == [9000] * 3


@both_wires
def test_a_body_that_stays_too_large_is_refused_before_it_is_sent_and_what_is_large_is_named(way):
    message = Message("user", (Text("look"), PICTURE, PICTURE))
    with serving([], endpoint={"profile": SMALL}) as (agent, server), ours(RefusedError, "takes 0.03 MB") as caught:
        way.ask(agent, message)
    assert server.requests == []
    assert caught.value.status == 413
    assert caught.value.hint.startswith("of 0.03 MB, the largest are: an image of a user message (0.01 MB), an image")


@both_wires
def test_the_hint_of_a_413_says_what_was_large(way):
    answers = [call_body(("read", {"page": 1, "characters": 9000})), error_reply(413, "Request Entity Too Large")]
    with serving(answers, read) as (agent, _), ours(RefusedError, "413") as caught:
        way.ask(agent)
    assert caught.value.hint == (
        "of 0.01 MB, the largest are: the result of read (0.01 MB); send fewer or smaller images and cap tool results"
    )


def test_results_that_are_shortened_already_are_shortened_further_when_more_come():
    model = Model(steps=3, characters=18_000, window=10**6)
    result, trimmed, _ = run(model, Profile(body_bytes=10_000))
    assert result.text == "done"
    assert [text.rpartition("shortened to ")[2] for text in trimmed] == [
        "8000 characters",
        "4000 characters",
        "2000 characters",
    ]


# --- summaries ---


class Summarizing(Model):
    """Answers a request for a summary with these in turn, an error among them."""

    def __init__(self, *summaries: Any, **options: int) -> None:
        super().__init__(**options)
        self.summaries = list(summaries)
        self.asked: list[str] = []

    def __call__(self, request: dict[str, Any]) -> Any:
        said = text_of(request["input"][0])
        if not said.startswith("Summarise"):
            return super().__call__(request)
        assert "tools" not in request
        self.asked.append(said)
        return self.summaries.pop(0)


def text_of(item: dict[str, Any]) -> str:
    content = item.get("content", "")
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def summarize(model: Model, window: int, said: Any = "go", history: Sequence[Item] = ()):
    endpoint = ScriptedEndpoint(model, profile=Profile(context_tokens=window))
    agent = Agent("m", endpoint=endpoint, tools=[read], settings=ModelSettings(summarize_dropped=True))
    return agent.run_sync(said, history=history)


def test_what_is_left_out_is_summarised_and_each_summary_is_built_on_the_one_before():
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    model = Summarizing(
        text_body("pages 1 and 2", usage=usage), "pages 1 to 4", *["more"] * 9, steps=14, characters=1500, window=4000
    )
    result = summarize(model, 4000)
    assert result.text == "done"
    assert [text_of(sent[0]) for sent in model.requests if "pages 1 and 2]" in text_of(sent[0])]
    assert text_of(model.requests[0][0]) == "go"
    assert 'assistant called read: {"page": 1' in model.asked[0]
    assert "read returned: 1:xxx" in model.asked[0]
    assert "Summary of what went before: pages 1 and 2\n\n" in model.asked[1]
    assert 'read: {"page": 1,' not in model.asked[1]
    assert result.items[0] == Message("user", "go")
    assert (result.usage.output_tokens or 0) >= 15 * 5 + 100


def test_a_summary_that_fails_does_not_fail_the_run():
    failure = read_error(500, {}, b"no")
    model = Summarizing(*[failure] * 20, steps=14, characters=1500, window=4000)
    result = summarize(model, 4000)
    assert result.text == "done"
    assert len(model.asked) < 10
    assert all(text_of(sent[0]) == "go" for sent in model.requests)


def test_a_conversation_without_a_word_of_the_user_has_no_place_for_a_summary():
    names = [f"h{number}" for number in range(10)]
    history = [item for name in names for item in (call("read", "{}", name), ToolResult(name, "x" * 1900))]
    model = Summarizing("they said x", *["more"] * 9, steps=1, characters=100, window=4000)
    said = [Message("assistant", "Hello."), call("read", {"page": 1, "characters": 1}, "c"), ToolResult("c", "1")]
    assert summarize(model, 4000, said, history).text == "done"
    assert len(model.asked) == 1
    assert not any("they said" in str(sent) for sent in model.requests)


def test_a_transcript_is_plain_text_of_all_that_was_said_and_done():
    items = [
        Message("user", (Text("look"), PICTURE)),
        Message("assistant", ""),
        Reasoning("hm"),
        ToolCall("a", "read", '{"page": 1}'),
        ToolResult("a", "x" * 5000),
        ToolResult("b", "y"),
    ]
    lines = write_transcript(items, 3000).splitlines()
    assert lines[:2] == ["user: look", 'assistant called read: {"page": 1}']
    assert lines[2].startswith("read returned: xxx")
    assert lines[-1] == "the tool returned: y"
    assert len(write_transcript(items, 300)) == 300
