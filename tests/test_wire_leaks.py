import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentloop import Tool, tool
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Image, Message, Reasoning, Reply, Text, ToolCall, ToolResult
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.leaks import LeakDecoder, LeakFilter, is_like_a_call, recover
from agentloop.wire.leaks.formats import THINKING
from agentloop.wire.payload import dump


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def write_file(path: str, text: str) -> str:
    """Write a file."""
    return f"{path}: {len(text)}"


@tool
def search(words: list[str], limit: int | None = None, language: str | None = None) -> str:
    """Search."""
    return ""


@tool
def now() -> str:
    """Return the time."""
    return ""


SCHEMA = {"type": "object", "properties": {"city": {"type": ["string", "null"]}, "days": {}}, "required": ["city"]}
weather = Tool.from_schema("weather", "The weather.", SCHEMA, lambda city, days=1: "")

TOOLS = {one.name: one for one in (add, write_file, search, now, weather)}
SUM = '{"a": 1, "b": 2}'
CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
ADDED = ToolCall("", "add", '{"a":1,"b":2}')

# How models write a call: what it is marked by, and the call itself, from a name and JSON.
MARKED = {
    "hermes": lambda name, json: f'<tool_call>\n{{"name": "{name}", "arguments": {json}}}\n</tool_call>',
    "hermes parameters": lambda name, json: f'<tool_call>{{"name": "{name}", "parameters": {json}}}</tool_call>',
    "hermes in a list": lambda name, json: f'<tool_call>[{{"name": "{name}", "arguments": {json}}}]</tool_call>',
    "hermes without its end": lambda name, json: f'<tool_call>{{"name": "{name}", "arguments": {json}}}',
    "llama function": lambda name, json: f"<function={name}>{json}</function>",
    "llama function without a bracket": lambda name, json: f"<function={name}{json}</function>",
    "llama tag": lambda name, json: f'<|python_tag|>{{"name": "{name}", "parameters": {json}}}<|eom_id|>',
    "llama 4": lambda name, json: f'<|python_start|>{{"name": "{name}", "parameters": {json}}}<|python_end|>',
    "mistral": lambda name, json: f'[TOOL_CALLS] [{{"name": "{name}", "arguments": {json}}}]',
    "mistral object": lambda name, json: f'[TOOL_CALLS]{{"name": "{name}", "arguments": {json}}}</s>',
    "mistral arguments": lambda name, json: f"[TOOL_CALLS]{name}[ARGS]{json}",
    "mistral id": lambda name, json: f"[TOOL_CALLS]{name}[CALL_ID]a1B2c3D4e[ARGS]{json}",
    "devstral": lambda name, json: f"[TOOL_CALLS]{name}{json}",
    "harmony": lambda name, json: (
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{json}<|call|>"
    ),
    "harmony start": lambda name, json: (
        f"<|start|>assistant to=functions.{name}<|channel|>commentary json<|message|>{json}"
    ),
    "fence": lambda name, json: f'```tool_call\n{{"name": "{name}", "arguments": {json}}}\n```',
}
WHOLE = {
    "json fence": lambda name, json: f'```json\n{{"name": "{name}", "arguments": {json}}}\n```',
    "plain fence": lambda name, json: f'```\n[{{"name": "{name}", "arguments": {json}}}]\n```',
    "bare": lambda name, json: f'{{"name": "{name}", "arguments": {json}}}',
    "bare llama": lambda name, json: f'{{"type": "function", "name": "{name}", "parameters": {json}}}',
    "bare list": lambda name, json: f'[{{"id": "1", "name": "{name}", "arguments": {json}}}]',
    "bare tool": lambda name, json: f'{{"tool": "{name}", "input": {json}}}',
    "bare function": lambda name, json: f'{{"function": "{name}", "arguments": {json}}}',
    "arguments first": lambda name, json: f'{{"arguments": {json}, "name": "{name}"}}',
    "openai": lambda name, json: f'{{"type": "function", "function": {{"name": "{name}", "arguments": {json}}}}}',
    "openai string": lambda name, json: (
        f'{{"type": "function", "function": {{"name": "{name}", "arguments": {quote(json)}}}}}'
    ),
}
FORMATS = MARKED | WHOLE


def quote(text):
    return json.dumps(text)


def formats(table=FORMATS):
    return [pytest.param(write, id=name) for name, write in table.items()]


def said(text, **fields):
    return Reply((Message("assistant", text),), **fields)


def read(text, tools=TOOLS, **fields):
    """Return the items that are recovered from a text, which are the same when it comes letter by letter."""
    reply, told = recover(said(text, **fields), tools)
    calls = [item for item in reply.items if isinstance(item, ToolCall)]
    assert len(told) == len(calls)
    shown, streamed = stream(text, tools=tools, **fields)
    assert streamed == reply
    if "</think>" not in text or "<think>" in text:
        assert joined(shown) == spoken(reply)
    return list(reply.items)


def spoken(reply):
    return "".join(item.text for item in reply.items if isinstance(item, Message))


def joined(deltas, kind=TextDelta):
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


class Pieces:
    """A decoder whose bytes are the text."""

    def __init__(self, **fields):
        self.fields = fields
        self.text = ""

    def feed(self, data):
        self.text += (text := data.decode("utf-8", "surrogatepass"))
        return [TextDelta(text)]

    def close(self):
        return said(self.text, **self.fields)


def stream(text, cuts=None, tools=TOOLS, **fields):
    """Return what a stream of the text shows, and its reply."""
    guard = LeakDecoder(Pieces(**fields), tools)
    cuts = range(len(text) + 1) if cuts is None else sorted({0, *cuts, len(text)})
    shown = [
        delta for start, end in pairwise(cuts) for delta in guard.feed(text[start:end].encode(errors="surrogatepass"))
    ]
    reply = guard.close()
    return [*shown, *guard.rest()], reply


# --- calls ---


@pytest.mark.parametrize("write", formats())
def test_a_call_that_is_the_whole_text_is_recovered_and_nothing_of_it_is_shown(write):
    text = write("add", SUM)
    assert read(text) == [ADDED]
    assert read(f"\n {text}\n\n") == [ADDED]
    assert stream(text)[0] == []


@pytest.mark.parametrize("write", formats(MARKED))
def test_a_marked_call_is_recovered_behind_a_text_which_is_kept(write):
    assert read(f"Let me see.\n{write('add', SUM)}") == [Message("assistant", "Let me see.\n"), ADDED]
    assert read(f"Let me see.{write('add', SUM)}") == [Message("assistant", "Let me see."), ADDED]


@pytest.mark.parametrize("write", formats(WHOLE))
def test_a_call_without_a_mark_is_left_alone_behind_a_text(write):
    text = f"Let me see:\n{write('add', SUM)}"
    assert read(text) == [Message("assistant", text)]


@pytest.mark.parametrize("write", formats())
def test_several_calls_are_recovered_in_their_order(write):
    text = f"{write('add', SUM)}\n{write('now', '{}')}"
    assert read(text) == [ADDED, ToolCall("", "now", "{}")]


def test_only_the_first_of_several_calls_has_to_be_marked():
    again = '{"name": "now", "parameters": {}}'
    assert read(f"Well.\n<|python_tag|>{CALL}; {again}") == [
        Message("assistant", "Well.\n"),
        ADDED,
        ToolCall("", "now", "{}"),
    ]
    assert read(f"<tool_call>\n{CALL}\n{again}\n</tool_call>") == [ADDED, ToolCall("", "now", "{}")]


def test_what_was_recovered_is_said():
    assert recover(said(f"[TOOL_CALLS][{CALL}]"), TOOLS)[1] == ("a call of add that came as text",)
    assert recover(said("Hello"), TOOLS)[1] == ()


@pytest.mark.parametrize("name", ["functions.add", "Add", "default_api:add"])
def test_a_name_that_is_nearly_right_is_the_tools(name):
    assert read(f"[TOOL_CALLS]{name}[ARGS]{SUM}") == [ADDED]
    assert read(f'{{"name": "{name}", "arguments": {SUM}}}') == [ADDED]


ELEMENTS = """<tool_call>
<function=write_file>
<parameter=path>
12
</parameter>
<parameter=text>
{"tag": "</tool_call>"}

<b>"quoted"</b>

</parameter>
</function>
</tool_call>"""


@pytest.mark.parametrize(
    "text", [ELEMENTS, ELEMENTS.removeprefix("<tool_call>\n"), ELEMENTS.removesuffix("\n</tool_call>")]
)
def test_the_elements_of_qwen_coder_are_read_without_the_line_breaks_of_their_layout(text):
    [call] = read(text)
    assert call.name == "write_file"
    assert json.loads(call.arguments) == {"path": "12", "text": '{"tag": "</tool_call>"}\n\n<b>"quoted"</b>\n'}


@pytest.mark.parametrize(
    ("elements", "arguments"),
    [
        ({"words": '["a", "b"]', "limit": "3"}, {"words": ["a", "b"], "limit": 3}),
        ({"words": "[]", "limit": "null", "language": "null"}, {"words": [], "limit": None, "language": None}),
        ({"words": "[]", "language": "7"}, {"words": [], "language": "7"}),
    ],
)
def test_an_element_is_text_where_the_schema_says_so_and_json_elsewhere(elements, arguments):
    written = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in elements.items())
    [call] = read(f"<function=search>\n{written}</function>")
    assert json.loads(call.arguments) == arguments


def test_an_element_of_a_raw_schema_is_text_or_json_by_what_it_holds():
    [call] = read("<function=weather><parameter=city>7</parameter><parameter=days>soon</parameter></function>")
    assert json.loads(call.arguments) == {"city": "7", "days": "soon"}
    [call] = read("<function=weather><parameter=city>null</parameter><parameter=days>3</parameter></function>")
    assert json.loads(call.arguments) == {"city": None, "days": 3}


HARMONY = (
    "<|channel|>analysis<|message|>Add them.<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>I add.<|end|>"
    f"<|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{SUM}<|call|>"
)


def test_the_channels_of_harmony_become_thinking_text_and_calls():
    assert read(HARMONY) == [Reasoning("Add them."), Message("assistant", "I add."), ADDED]
    assert stream(HARMONY, [3, 30, 60])[0] == [
        ReasoningDelta("Add them."),
        TextDelta("I add."),
    ]


def test_the_final_channel_of_harmony_is_the_text():
    final = "<|start|>assistant<|channel|>final<|message|>\nThree <b>.<|return|>"
    assert read(f"<|channel|>analysis<|message|>Hm<|end|>{final}") == [
        Reasoning("Hm"),
        Message("assistant", "Three <b>."),
    ]
    assert read(f"<|channel|>analysis<|message|>Hm<|end|>{final}", {}) == read(f"<think>Hm</think>{final}")
    assert read(f"<|channel|>analysis<|message|>{final}") == [Message("assistant", "Three <b>.")]


def test_a_header_that_never_ends_is_text():
    text = f"<|channel|>{'x' * 300}<|message|>Hello"
    assert read(text) == [Message("assistant", text)]
    assert read("<|start|>assistant<|chan") == [Message("assistant", "<|start|>assistant<|chan")]


def test_a_call_for_somebody_else_is_text_and_so_is_every_call_without_tools():
    text = f"<|channel|>commentary to=browser.search<|message|>{SUM}<|call|>"
    assert read(text) == [Message("assistant", text)]
    for write in FORMATS.values():
        text = write("add", SUM)
        assert read(text, {}) == [Message("assistant", text)]


# --- talk of calls ---

TALK = {
    "inline code": f"Write `<tool_call>{CALL}</tool_call>`",
    "inline code at the start": f"`<tool_call>{CALL}</tool_call>` is how.",
    "quotation": f'It says: "<tool_call>{CALL}</tool_call>"',
    "within a sentence": f"One writes <tool_call>{CALL}</tool_call>",
    "prose behind": f"<tool_call>{CALL}</tool_call>\nThat is how one calls it.",
    "prose behind a tag": f"<|python_tag|>{CALL} calls it",
    "example in a fence": f"Here is an example:\n```json\n{CALL}\n```",
    "example and prose": f"```json\n{CALL}\n```\nis an example.",
    "fence of another language": f"```xml\n<tool_call>{CALL}</tool_call>\n```",
    "fence in python": f"```python\n{CALL}\n```",
    "fence with more in it": f"```json\n{CALL} // add\n```",
    "tool_call fence and prose": f"Now:\n```tool_call\n{CALL}\n```\nlike this",
    "unknown tool": f'<tool_call>{{"name": "subtract", "arguments": {SUM}}}</tool_call>',
    "unknown bare": f'{{"name": "subtract", "arguments": {SUM}}}',
    "unknown function": f"<function=subtract>{SUM}</function>",
    "unknown mistral": f"[TOOL_CALLS]subtract[ARGS]{SUM}",
    "one of two unknown": f'[TOOL_CALLS] [{CALL}, {{"name": "subtract", "arguments": {SUM}}}]',
    "a known one behind an unknown": f"<function=subtract>{SUM}</function>\n<tool_call>{CALL}</tool_call>",
    "wrong arguments": '<tool_call>{"name": "add", "arguments": {"a": "x", "b": 2}}</tool_call>',
    "missing arguments": '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>',
    "no arguments": '{"name": "now"}',
    "null arguments": '{"name": "now", "arguments": null}',
    "a list of arguments": '{"name": "now", "arguments": []}',
    "broken string arguments": '{"name": "add", "arguments": "{\\"a\\": 1"}',
    "arguments and parameters": f'{{"name": "add", "arguments": {SUM}, "parameters": {SUM}}}',
    "two names": f'{{"name": "add", "tool": "add", "arguments": {SUM}}}',
    "no name": f'{{"arguments": {SUM}}}',
    "name of a wrong type": f'{{"name": 1, "arguments": {SUM}}}',
    "another key": f'{{"name": "add", "arguments": {SUM}, "why": "to know"}}',
    "another key in openai's": f'{{"function": {{"name": "add", "arguments": {SUM}}}, "why": "to know"}}',
    "a name twice": f'{{"name": "add", "name": "add", "arguments": {SUM}}}',
    "infinity": '{"name": "add", "arguments": {"a": Infinity, "b": 1e999}}',
    "no number": '{"name": "weather", "arguments": {"city": "Bern", "days": 1e999}}',
    "python": "{'name': 'add', 'arguments': {'a': 1, 'b': 2}}",
    "half a surrogate pair": r'{"name": "write_file", "arguments": {"path": "a", "text": "\ud800!"}}',
    "json of the user's": '{"answer": 4}',
    "list of numbers": "[1, 2, 3]",
    "empty list": "[]",
    "list in a list": f"[[{CALL}]]",
    "link": "[here](https://example.org) it is",
    "template": "{{name}} is a name",
    "tag that is not ours": "<table><tr></table>",
    "name of a tag": "<tool_call> is a tag",
    "words behind mistral's": "[TOOL_CALLS] is a mark",
    "signs behind mistral's": "[TOOL_CALLS]!",
    "header without a recipient": f"Well.\n<|channel|>final<|message|>{SUM}",
    "text behind elements": "<function=add>\n<parameter=a>1</parameter> 2 </function>",
    "parameter without its end": "<function=weather><parameter=city>Bern <parameter=days>3</parameter></function>",
    "parameter twice": "<function=now><parameter=a>1</parameter><parameter=a>1</parameter></function>",
    "deep": "[" * 5000,
    "deep call": '{"name": "now", "arguments": ' + '{"a":' * 5000,
    "number": "1",
    "blanks": " \n ",
    "nothing": "",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in TALK.items()])
def test_text_that_only_talks_of_calls_is_left_alone(text):
    assert read(text) == [Message("assistant", text)]


def test_of_a_text_that_talks_of_a_call_nothing_is_called():
    text = f"<tool_call>{CALL}</tool_call>\nand then\n<tool_call>{CALL}</tool_call>"
    assert read(text) == [Message("assistant", text)]
    text = f"<|channel|>commentary<|message|>\n<tool_call>\n<|end|>{HARMONY[HARMONY.rindex('<|start|>') :]}"
    assert not [item for item in read(text) if isinstance(item, ToolCall)]


def test_a_call_without_a_mark_behind_the_end_of_a_channel_is_left_alone():
    assert read(f"<|channel|>final<|message|>For example:<|end|>{CALL}") == [
        Message("assistant", f"For example:{CALL}")
    ]


def test_a_call_behind_json_or_code_that_is_none_is_recovered():
    for text in ('{"a": 1}\n', "```python\nadd(1, 2)\n```\n", "[1]\n"):
        assert read(f"{text}<tool_call>{CALL}</tool_call>") == [Message("assistant", text), ADDED]


PAGE = f"<h1>Welcome</h1>\n<tool_call>\n{CALL}\n</tool_call>\nBye."


@pytest.mark.parametrize("history", [ToolResult("1", PAGE), Message("user", PAGE)])
@pytest.mark.parametrize("quoted", [f"The page says:\n<tool_call>{CALL}</tool_call>", CALL])
def test_a_call_that_the_model_only_read_is_not_made_when_it_is_quoted(history, quoted):
    conversation = [Message("user", "What does the page say?"), ToolCall("1", "read", "{}"), history]
    assert recover(said(quoted), TOOLS, conversation) == (said(quoted), ())
    guard = LeakDecoder(Pieces(), TOOLS, conversation)
    shown = guard.feed(quoted.encode())
    assert guard.close() == said(quoted)
    assert joined([*shown, *guard.rest()]) == quoted


@pytest.mark.parametrize("history", [ToolResult("1", "3"), Message("assistant", PAGE), Message("system", PAGE)])
def test_a_call_that_nobody_else_wrote_is_made(history):
    assert recover(said(CALL), TOOLS, [history])[0].items == (ADDED,)


@pytest.mark.parametrize("write", formats(WHOLE))
def test_an_answer_that_looks_like_a_call_is_the_answer(write):
    answer = write("add", SUM)
    assert recover(said(answer), TOOLS, allow_unmarked=False) == (said(answer), ())
    guard = LeakDecoder(Pieces(), TOOLS, allow_unmarked=False)
    shown = guard.feed(answer.encode())
    assert guard.close() == said(answer)
    assert joined([*shown, *guard.rest()]) == answer


def test_beside_an_answer_a_call_needs_a_mark():
    assert recover(said(f"<tool_call>{CALL}</tool_call>"), TOOLS, allow_unmarked=False)[0].items == (ADDED,)


@pytest.mark.parametrize(
    ("keys", "required", "like"),
    [
        (["name", "arguments"], ["name", "arguments"], True),
        (["name", "arguments"], None, True),
        (["tool", "input", "why"], ["tool"], True),
        (["tool", "input", "why"], ["tool", "why"], False),
        (["name", "age"], ["name"], False),
        (["arguments"], [], False),
        ([], None, False),
    ],
)
def test_which_answers_could_be_taken_for_calls(keys, required, like):
    schema = {"type": "object", "properties": {key: {} for key in keys}, "required": required}
    assert is_like_a_call(schema) is like


@pytest.mark.parametrize("stop", ["truncated", "refused"])
@pytest.mark.parametrize("write", formats())
def test_nothing_is_called_from_a_reply_that_is_not_whole(stop, write):
    text = write("add", SUM)
    assert read(text, stop=stop) == [Message("assistant", text)]


@pytest.mark.parametrize("write", formats())
def test_nothing_is_called_beside_a_call_that_the_server_read(write):
    called = ToolCall("call_1", "now", "{}")
    reply = Reply((Message("assistant", write("add", SUM)), called))
    assert recover(reply, TOOLS) == (reply, ())


@pytest.mark.parametrize("write", formats())
@pytest.mark.unmeasured
def test_a_call_that_was_cut_off_is_never_another_call(write):
    text = write("write_file", '{"path": "a.txt", "text": "one \\" two"}')
    [whole] = read(text)
    for end in range(len(text)):
        calls = [item for item in read(text[:end]) if isinstance(item, ToolCall)]
        # What is missing may be an end mark, but nothing of the arguments.
        assert calls == [] or (calls == [whole] and not {"{", "}", '"', "[", "]"} & set(text[end:]) - {"]"})
    assert not any(isinstance(item, ToolCall) for item in read(text[: text.rindex("}")]))


# --- thinking ---


@pytest.mark.parametrize("tag", ["<{}think>", "<{}thinking>", "<{}thought>", "<{}seed:think>", "[{}THINK]"])
def test_thinking_in_tags_becomes_an_item_of_its_own(tag):
    text = f"\n{tag.format('')}\nI <b> [think] \n{tag.format('/')}\n\nAnswer </b> [here]"
    assert read(text) == [Reasoning("I <b> [think]"), Message("assistant", "Answer </b> [here]")]
    shown, _ = stream(text)
    assert joined(shown, ReasoningDelta) == "I <b> [think] \n"


def test_no_thinking_between_the_tags_leaves_nothing():
    assert read("<think>\n\n</think>\n\nAnswer") == [Message("assistant", "Answer")]
    assert read("<think></think>") == []
    assert stream("<think>\n\n</think>\n\nAnswer", [10])[0] == [TextDelta("Answer")]


@pytest.mark.parametrize("stop", ["complete", "truncated"])
def test_thinking_that_does_not_end_is_all_thinking(stop):
    assert read("<think>I wonder </thi", stop=stop) == [Reasoning("I wonder </thi")]


def test_thinking_may_come_more_than_once_and_before_a_call():
    text = f"<think>One. </think>\n<think>Two.</think>\n{CALL}"
    assert read(text) == [Reasoning("One. Two."), ADDED]


def test_a_call_that_is_only_thought_of_is_not_made():
    assert read(f"<think>\n<tool_call>{CALL}</tool_call>") == [Reasoning(f"<tool_call>{CALL}</tool_call>")]


def test_a_tag_within_the_text_is_text():
    for text in ("Use\n<think>\nfor thinking</think>", "`<think>` opens", "a</think>b", "use `</think>` here"):
        assert read(text) == [Message("assistant", text)]


@pytest.mark.parametrize(
    "text", ["I wonder.\n</think>\n\nAnswer", "I wonder.</think>\n\nAnswer", "I wonder.\n</think>Answer"]
)
def test_thinking_whose_beginning_is_missing_ends_at_its_tag(text):
    assert read(text) == [Reasoning("I wonder."), Message("assistant", "Answer")]
    assert read(f"{text[: text.index('>') + 1]}\n{CALL}") == [Reasoning("I wonder."), ADDED]


def test_an_end_of_thinking_in_the_arguments_of_a_call_ends_nothing():
    text = FORMATS["bare"]("write_file", '{"path": "a", "text": "</think>"}').replace("</think>", "</think>\\n")
    [call] = read(text)
    assert json.loads(call.arguments) == {"path": "a", "text": "</think>\n"}
    elements = "<parameter=path>a</parameter><parameter=text>\n\n</think>\n\n</parameter>"
    [call] = read(f"<function=write_file>{elements}</function>")
    assert json.loads(call.arguments) == {"path": "a", "text": "\n</think>\n"}


# --- replies ---


def test_what_is_not_the_models_text_stays_as_it_is():
    thought, picture = Reasoning("Hm", encrypted="x"), Image("data:image/png;base64,AA==")
    echo = Message("user", CALL)
    message = Message("assistant", (Text("<think>So</think>"), Text("Look"), picture), phase="commentary")
    reply, _ = recover(Reply((thought, echo, message), response_id="r"), TOOLS)
    spoken = Message("assistant", (Text("Look"), picture), phase="commentary")
    assert reply == Reply((thought, echo, Reasoning("So"), spoken), response_id="r")
    empty = Reply((thought,))
    assert recover(empty, TOOLS) == (empty, ())


def test_a_leak_may_come_in_a_message_of_its_own():
    first = Message("assistant", "I add.\n", phase="commentary")
    reply = Reply((first, Message("assistant", f"<tool_call>{CALL}</tool_call>")))
    assert recover(reply, TOOLS)[0].items == (first, ADDED)


# --- streams ---


def chat_stream(text, reason="stop"):
    deltas = [{"reasoning": "Hm"}, *({"content": letter} for letter in text)]
    events = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [b"data: " + dump(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def test_a_decoders_reply_is_recovered_and_its_reasoning_is_shown():
    guard = LeakDecoder(ChatCompletions().decoder(), TOOLS)
    shown = [delta for data in chat_stream(f"I add.\n<tool_call>{CALL}</tool_call>") for delta in guard.feed(data)]
    assert joined(shown) == "I add.\n"
    assert joined(shown, ReasoningDelta) == "Hm"
    assert guard.recovered == ()
    assert guard.close().items == (Reasoning("Hm"), Message("assistant", "I add.\n"), ADDED)
    assert guard.rest() == []
    assert guard.recovered == ("a call of add that came as text",)


def test_what_was_held_back_of_a_reply_that_was_cut_off_is_given_once_it_is_closed():
    guard = LeakDecoder(ChatCompletions().decoder(), TOOLS)
    shown = [delta for data in chat_stream(CALL, reason="length") for delta in guard.feed(data)]
    assert joined(shown) == ""
    assert guard.close().items == (Reasoning("Hm"), Message("assistant", CALL))
    assert guard.rest() == [TextDelta(CALL)]
    assert guard.rest() == []


def test_a_whole_body_in_place_of_a_stream_is_recovered():
    guard = LeakDecoder(ChatCompletions().decoder(), TOOLS)
    assert guard.feed(dump({"choices": [{"message": {"content": CALL}}]})) == []
    assert guard.close().items == (ADDED,)
    assert guard.rest() == []


def test_what_is_known_to_be_no_call_is_shown_at_once():
    leaks = LeakFilter(TOOLS)
    shown = []
    for text, seen in [
        ('{"', ""),
        ("answer", ""),
        ('": "', '{"answer": "'),
        ("yes", '{"answer": "yes'),
        ('"}\n', '{"answer": "yes"}\n'),
        ("<", '{"answer": "yes"}\n'),
        ("b", '{"answer": "yes"}\n<b'),
        (">\n```tool", '{"answer": "yes"}\n<b>\n'),
        ("box", '{"answer": "yes"}\n<b>\n```toolbox'),
        ("\n<function=subt", '{"answer": "yes"}\n<b>\n```toolbox\n'),
        ("ract>", '{"answer": "yes"}\n<b>\n```toolbox\n<function=subtract>'),
    ]:
        leaks.feed(TextDelta(text), shown)
        assert joined(shown) == seen


def test_a_long_call_that_turns_out_to_be_talk_is_shown_before_the_reply_ends():
    call = FORMATS["hermes"]("write_file", json.dumps({"path": "a", "text": "x" * 2000}))
    leaks, shown = LeakFilter(TOOLS), []
    for letter in call:
        leaks.feed(TextDelta(letter), shown)
    assert shown == []
    for letter in " would be the call. " * 200:
        leaks.feed(TextDelta(letter), shown)
    assert joined(shown).startswith(f"{call} would be the call.")


def test_json_with_the_name_of_no_tool_is_shown_before_it_ends():
    leaks, shown = LeakFilter(TOOLS), []
    leaks.feed(TextDelta(start := '{"name": "Alice", "input": "a long'), shown)
    assert joined(shown) == start


class Counted(dict):
    """Tools that count how often they are looked up."""

    lookups = 0

    def __contains__(self, name):
        self.lookups += 1
        return super().__contains__(name)


def test_a_long_call_is_not_read_anew_for_each_letter():
    tools, shown = Counted(TOOLS), []
    leaks = LeakFilter(tools)
    for letter in FORMATS["mistral arguments"]("write_file", json.dumps({"path": "a", "text": "x" * 20_000})):
        leaks.feed(TextDelta(letter), shown)
    assert shown == []
    assert 0 < tools.lookups < 1000


# --- properties ---

ordinary = st.text(st.characters(exclude_characters="<[{`"))
MARKS = [
    "<tool_call>",
    "</tool_call>",
    "<function=add>",
    "<function=",
    "<parameter=a>",
    "</parameter>",
    "</function>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "<|python_tag|>",
    "<|channel|>",
    "<|channel|>analysis<|message|>",
    "<|channel|>commentary to=functions.add<|message|>",
    "<|start|>assistant",
    "<|message|>",
    "<|end|>",
    "<|call|>",
    "```",
    "```json\n",
    "```tool_call\n",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "add",
    CALL,
    SUM,
    '{"name": ',
    '"add", ',
    '"arguments": {"a": 1, ',
    "[",
    "]",
    "{",
    "}",
    "; ",
    "\n",
    " ",
    ".",
    "\ud83d",
    "1",
]
texts = st.lists(st.sampled_from(MARKS) | st.text(max_size=3), max_size=12).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
anything = Tool.from_schema("anything", "", {"type": "object"}, lambda **values: "")
JSON_FORMATS = [write for name, write in FORMATS.items()]


@settings(max_examples=300)
@given(text=texts, data=st.data(), stop=st.sampled_from(["complete", "truncated"]))
@example(text='[{"name": "add", "arguments": {"a": 1, "b": 2}}]\n<|', data=None, stop="complete")
def test_a_stream_shows_the_text_of_the_reply_however_it_is_cut(text, data, stop):
    cuts = data.draw(st.sets(st.integers(0, len(text)), max_size=20)) if data else None
    shown, reply = stream(text, cuts, stop=stop)
    assert reply == recover(said(text, stop=stop), TOOLS)[0]
    thought = "".join(item.text for item in reply.items if isinstance(item, Reasoning))
    if not any(end in text for end in THINKING.values()):
        assert joined(shown) == spoken(reply)
        assert joined(shown, ReasoningDelta).strip() == thought
    for item in reply.items:
        if isinstance(item, ToolCall):
            assert stop == "complete"
            assert item.name in TOOLS
            assert item.name in text


@given(texts=st.lists(ordinary))
def test_ordinary_text_passes_letter_by_letter_without_delay(texts):
    leaks, shown = LeakFilter(TOOLS), []
    for text in ["Well", *texts]:
        leaks.feed(delta := TextDelta(text), shown)
        assert shown[-1:] == [delta] or not text
    assert joined(shown) == "".join(["Well", *texts])


@given(text=ordinary)
def test_a_reply_without_marks_is_returned_as_it_is(text):
    assert recover(said(text), TOOLS) == (said(text), ())


@settings(max_examples=200)
@given(
    write=st.sampled_from(JSON_FORMATS),
    arguments=st.dictionaries(st.text(max_size=5), values, max_size=3),
    ascii_only=st.booleans(),
    data=st.data(),
)
def test_any_arguments_are_recovered_as_they_were_written_and_nothing_of_them_is_shown(
    write, arguments, ascii_only, data
):
    arguments = json.loads(dump(arguments))  # without half surrogate pairs, which are no text
    text = write("anything", json.dumps(arguments, ensure_ascii=ascii_only))
    cuts = data.draw(st.sets(st.integers(0, len(text)), max_size=20))
    shown, reply = stream(text, cuts, tools={"anything": anything})
    assert shown == []
    [call] = reply.items
    assert json.loads(call.arguments) == arguments
    for cut in cuts - {len(text)}:
        calls = [item for item in recover(said(text[:cut]), {"anything": anything})[0].items if item.kind == "call"]
        assert calls in ([], [call])


@settings(max_examples=100)
@given(path=st.text(max_size=20), text=texts, data=st.data())
def test_elements_hold_any_text_but_their_own_end(path, text, data):
    if "parameter" in path + text:
        return
    path, text = (value.encode("utf-8", "replace").decode() for value in (path, text))
    written = f"<function=write_file>\n<parameter=path>\n{path}\n</parameter>\n<parameter=text>\n{text}\n</parameter>\n"
    leak = f"<tool_call>\n{written}</function>\n</tool_call>"
    shown, reply = stream(leak, data.draw(st.sets(st.integers(0, len(leak)), max_size=20)))
    assert shown == []
    assert [json.loads(call.arguments) for call in reply.items] == [{"path": path, "text": text}]
