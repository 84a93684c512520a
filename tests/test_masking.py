"""What a cassette does not show: keys, headers and the fields that a test names."""

import json

import pytest

from agentloop import Agent, AuthenticationError, Endpoint, ModelSettings, Profile, ReplyError, tool
from agentloop.testing import assert_called, use_cassette
from agentloop.testing.masking import Mask
from loopback import Loopback, Reply, call_body, error_reply, text_body

KEY = "sk-live-0123456789abcdef"
NOWHERE = "http://127.0.0.1:9/v1"


@tool
def find_customer(email: str, number: int = 0) -> str:
    """Find a customer."""
    return f"customer {number}"


def ask(agent, *, stream):
    if stream:
        *_, last = agent.stream_sync("Where is my order?")
        return last.result
    return agent.run_sync("Where is my order?")


def record(path, script, *, stream=False, masked_fields=(), dialect="native", **options):
    """Return the text of the file, and the result."""
    with Loopback.in_thread(script, dialect) as server:
        agent = Agent("m", endpoint=Endpoint(server.base_url, **options), tools=[find_customer])
        with use_cassette(path, record=True, masked_fields=masked_fields):
            result = ask(agent, stream=stream)
        agent.close()
        assert server.requests
    return path.read_text("utf-8"), result


def replay(path, *, stream=False, masked_fields=(), **options):
    agent = Agent("m", endpoint=Endpoint(NOWHERE, **options), tools=[find_customer])
    with use_cassette(path, masked_fields=masked_fields):
        return ask(agent, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_neither_keys_nor_headers_nor_cookies_are_in_the_file(tmp_path, stream):
    headers = {"X-Tenant-Token": "tenant-token-4711", "Cookie": "session=cookie-4711"}
    reply = Reply(
        (json.dumps(text_body(f"Your key is {KEY}, your token tenant-token-4711.")).encode(),),
        headers={"Set-Cookie": "session=new-cookie-4711"},
    )
    text, _ = record(tmp_path / "x.json", [reply], stream=stream, api_key=KEY, headers=headers)
    assert "4711" not in text
    assert "0123456789" not in text
    assert "Authorization" not in text
    assert "Your key is ***, your token ***." in text


def test_a_key_in_the_question_is_masked_and_the_replay_finds_the_request(tmp_path):
    with Loopback.in_thread([text_body("hi")]) as server, use_cassette(tmp_path / "x.json", record=True):
        agent = Agent("m", endpoint=Endpoint(server.base_url, api_key=KEY))
        agent.run_sync(f"Is {KEY} my key?")
        agent.close()
    assert "0123456789" not in (tmp_path / "x.json").read_text("utf-8")
    with use_cassette(tmp_path / "x.json"):
        agent = Agent("m", endpoint=Endpoint(NOWHERE, api_key="another-key-012345"))
        assert agent.run_sync("Is another-key-012345 my key?").text == "hi"


def test_a_word_that_is_the_key_of_the_replay_does_no_harm(tmp_path):
    for record_it, key in ((True, None), (False, "sunflowers")):
        with Loopback.in_thread([text_body("Yellow.")]) as server:
            agent = Agent("m", endpoint=Endpoint(server.base_url, api_key=key))
            with use_cassette(tmp_path / "x.json", record=record_it):
                assert agent.run_sync("What colour have sunflowers?").text == "Yellow."
            agent.close()
    assert server.requests == []


def test_a_key_in_an_error_is_masked(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(AuthenticationError, match="wrong"):
        record(path, [error_reply(401, f"the key {KEY} is wrong")], api_key=KEY)
    assert "0123456789" not in path.read_text("utf-8")
    assert "the key *** is wrong" in path.read_text("utf-8")


def test_a_key_in_two_chunks_is_masked_and_the_stream_is_replayed(tmp_path):
    body = json.dumps(text_body(f"Your key is {KEY}.")).encode()
    at = body.index(b"0123") + 3
    text, _ = record(tmp_path / "x.json", [Reply((body[:at], body[at:]))], stream=True, api_key=KEY)
    assert "012" not in text
    assert "3456789" not in text
    assert replay(tmp_path / "x.json", stream=True).text == "Your key is ***."


def test_words_of_headers_and_short_keys_stay(tmp_path):
    headers = {"X-Title": "My shop", "X-Version": "v1 2.0", "X-Api-Key": "lamp"}
    text, result = record(
        tmp_path / "x.json", [text_body("My test shop has a lamp, 2.0.")], api_key="test", headers=headers
    )
    assert "My test shop has a ***, 2.0." in text
    assert result.text == "My test shop has a lamp, 2.0."
    assert replay(tmp_path / "x.json").text == "My test shop has a ***, 2.0."


@pytest.mark.parametrize("value", ["tenant 4711083", "a" * 16, "abc123def"])
def test_a_header_that_may_be_a_secret_is_masked(value):
    mask = Mask.of(Endpoint(NOWHERE, headers={"X-Tenant": value}))
    assert value.split()[-1] not in mask.mask({"text": f"You are {value}."})["text"]


SCRIPT = [call_body(("find_customer", {"email": "ada@example.org", "number": 4})), text_body("Found.")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["native", "chat"])
def test_named_fields_are_masked_in_requests_replies_and_arguments(tmp_path, stream, dialect):
    path, options = tmp_path / "x.json", {"profile": Profile(route="chat" if dialect == "chat" else "responses")}
    options |= {"stream": stream, "masked_fields": ["email", "total_tokens"]}
    text, recorded = record(path, SCRIPT, dialect=dialect, **options)
    assert "ada" not in text.replace("metadata", "")
    assert "example.org" not in text
    assert_called(recorded, "find_customer", email="ada@example.org")
    replayed = replay(path, **options)
    assert_called(replayed, "find_customer", email="***", number=4)
    assert replayed.text == recorded.text == "Found."


def test_a_field_of_the_request_can_be_masked(tmp_path):
    path = tmp_path / "x.json"
    for record_it, user in ((True, "ada"), (False, "bob")):
        with Loopback.in_thread([text_body("hi")]) as server:
            agent = Agent("m", endpoint=Endpoint(server.base_url), settings=ModelSettings(user=user))
            with use_cassette(path, record=record_it, masked_fields={"user"}):
                assert agent.run_sync("go").text == "hi"
            agent.close()
    assert '"user": "***"' in path.read_text("utf-8")


def test_a_stream_without_anything_to_mask_keeps_its_chunks(tmp_path):
    record(tmp_path / "x.json", SCRIPT, stream=True, masked_fields=["telephone"])
    record(tmp_path / "y.json", SCRIPT, stream=True)
    first, second = (json.loads((tmp_path / name).read_text("utf-8"))["interactions"] for name in ("x.json", "y.json"))
    joined = ["".join(each["reply"]["chunks"]) for each in first]
    assert joined == ["".join(each["reply"]["chunks"]) for each in second]


DEEP = '{"a": ' * 700 + "1" + "}" * 700
MASK = Mask(Endpoint(NOWHERE, api_key=KEY), {"email"})


@pytest.mark.parametrize(
    ("given", "masked"),
    [
        ("plain", "plain"),
        (f"key {KEY}", "key ***"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"email":"x",  "b": 1.50}', '{"email": "***", "b": 1.5}'),
        ('[{"email": {"deep": 1}}]', '[{"email": "***"}]'),
        ('{"arguments": "{\\"email\\": \\"x\\"}"}', '{"arguments": "{\\"email\\": \\"***\\"}"}'),
        (f'{{"arguments": "{{\\"a\\": \\"{KEY}\\"}}"}}', '{"arguments": "{\\"a\\": \\"***\\"}"}'),
        ('{"email": "x"', '{"email": "x"'),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
        ('event: x\ndata:{"email":"x"}\n\n', 'event: x\ndata:{"email": "***"}\n\n'),
        (": still here\n\n", ": still here\n\n"),
        ('data: {"choices": [{"delta": null}, 3]}\n\n', 'data: {"choices": [{"delta": null}, 3]}\n\n'),
        ('data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}\n\n',) * 2,
        ('data: {"type": "x.arguments.delta", "delta": 3}\n\n', 'data: {"type": "x.arguments.delta", "delta": 3}\n\n'),
        ("[" * 100_000, "[" * 100_000),
        (DEEP, DEEP),
    ],
)
def test_a_body_is_masked_as_what_it_is(given, masked):
    assert MASK.mask_body(given) == masked


def test_calls_in_pieces_that_alternate_are_told_apart():
    def chunk(index, piece):
        return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}}]}

    pieces = [(0, '{"em'), (1, '{"number"'), (0, 'ail": "a'), (1, ": 4}"), (0, 'da"}')]
    stream = "".join(f"data: {json.dumps(chunk(*each))}\n\n" for each in pieces)
    masked = "".join(MASK.mask_chunks([stream]))
    said = [json.loads(line[6:])["choices"][0]["delta"]["tool_calls"][0] for line in masked.splitlines() if line]
    assert [(each["index"], each["function"]["arguments"]) for each in said] == [
        (0, '{"email": "***"}'),
        (1, '{"number": 4}'),
        (0, ""),
        (1, ""),
        (0, ""),
    ]


def test_what_is_masked_is_cut_after_each_event():
    stream = ['data: {"em', 'ail": "x"}\r\n\r', "\ndata: 1\n\nda", "ta: rest"]
    assert MASK.mask_chunks(stream) == ['data: {"email": "***"}\r\n\r\n', "data: 1\n\n", "data: rest"]


def test_replies_that_are_no_json_are_kept_as_text(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(ReplyError):
        record(path, [Reply((b"<p>\xff</p>",), content_type="text/html")], retries=0)
    assert json.loads(path.read_text("utf-8"))["interactions"][0]["reply"] == {"text": "<p>\udcff</p>"}
    with pytest.raises(ReplyError):
        replay(path, retries=0)
