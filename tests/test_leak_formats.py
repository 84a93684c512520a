"""Each format in which models write calls, as a text of its own: whole, cut anywhere, cut off, and mentioned."""

import json
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

import pytest

from agentloop import Tool, tool
from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Message, Reasoning, Reply, ToolCall, ToolResult
from agentloop.wire.leaks import LeakDecoder, LeakFilter, leak_filter, recover
from agentloop.wire.leaks.formats import ANSWERS, FORMATS, THINKING


@tool
def book(title: str, pages: int, lent: str | None = None) -> str:
    """Note a book."""
    return f"{title}: {pages} {lent}"


@tool
def clock() -> str:
    """Tell the time."""
    return ""


TOOLS = {one.name: one for one in (book, clock)}
GIVEN = {"title": 'Moby "Dick"', "pages": 635}
JSON = json.dumps(GIVEN)
BOOK = ToolCall("", "book", '{"title":"Moby \\"Dick\\"","pages":635}')
CLOCK = ToolCall("", "clock", "{}")
FULL, GAP = "\uff5c", "\u2581"


def tags(key, key_end, value_end, *, line="", kinds=("", "")):
    title, pages = kinds
    return (
        f'{key}title{key_end}{title}{line}Moby "Dick"{line}{value_end}{line}'
        f"{key}pages{key_end}{pages}{line}635{line}{value_end}{line}"
    )


def deepseek(word, *, bar=FULL, gap=GAP):
    return f"<{bar}tool{gap}{word.replace(' ', gap)}{bar}>"


def dsml(section, *, bar=FULL, gap=""):
    mark = f"{bar}DSML{bar}{gap}"
    elements = "".join(
        f'<{mark}parameter name="{key}" string="{kind}">{value}</{mark}parameter>\n'
        for key, kind, value in (("title", "true", 'Moby "Dick"'), ("pages", "false", "635"))
    )
    return f'<{mark}{section}>\n<{mark}invoke name="book">\n{elements}</{mark}invoke>\n</{mark}{section}>'


def deepseek_v31(**spelling):
    word = {each: deepseek(each, **spelling) for each in ("calls begin", "call begin", "sep", "call end", "calls end")}
    return f"{word['calls begin']}{word['call begin']}book{word['sep']}{JSON}{word['call end']}{word['calls end']}"


KIMI = f"<|tool_call_begin|>functions.book:0<|tool_call_argument_begin|>{JSON}<|tool_call_end|>"
OBJECT = f'{{"name": "book", "arguments": {JSON}}}'
INVOKE = '<invoke name="book">\n' + tags('<parameter name="', '">', "</parameter>") + "</invoke>"
KIMI_3 = (
    '<|open|>call tool="book" index="1"<|sep|>'
    + tags(
        '<|open|>argument key="',
        '"',
        "<|close|>argument<|sep|>",
        kinds=(' type="string"<|sep|>', ' type="number"<|sep|>'),
    )
    + "<|close|>call<|sep|>"
)
PYTHON = "[book(title='Moby \"Dick\"', pages=635)]"
GEMMA = 'call:book{pages:635,title:<|"|>Moby "Dick"<|"|>}'
# Texts of calls whose mark is a token, and of those whose mark is a tag that people write too.
TOKENS = {
    "deepseek v3": (
        f"{deepseek('calls begin')}{deepseek('call begin')}function{deepseek('sep')}book\n```json\n{JSON}\n```"
        f"{deepseek('call end')}{deepseek('calls end')}"
    ),
    "deepseek v3.1": deepseek_v31(),
    "deepseek v3.1, plain bars": deepseek_v31(bar="|"),
    "deepseek v3.1, plain gaps": deepseek_v31(gap="_"),
    "deepseek v3.2": dsml("function_calls"),
    "deepseek v4": dsml("tool_calls"),
    "deepseek v4.1": dsml("calls", gap=" "),
    "deepseek v4, plain bars": dsml("tool_calls", bar="|"),
    "kimi k2": f"<|tool_calls_section_begin|>{KIMI}<|tool_calls_section_end|>",
    "kimi k2, one section": f"<|tool_call_section_begin|>{KIMI}<|tool_call_section_end|>",
    "kimi k2, no section": KIMI,
    "kimi k3": f"<|open|>tools<|sep|>{KIMI_3}<|close|>tools<|sep|><|close|>message<|sep|>",
    "gemma 4": f"<|tool_call>{GEMMA}<tool_call|>",
    "gemma 4, other quotes": r'<|tool_call>call:book{"pages": 635, "title": "Moby \"Dick\""}<tool_call|>',
    "function gemma": "<start_function_call>" + GEMMA.replace('<|"|>', "<escape>") + "<end_function_call>",
    "lfm 2": f"<|tool_call_start|>{PYTHON}<|tool_call_end|>",
    "lfm 2, json": f"<|tool_call_start|>[{OBJECT}]<|tool_call_end|>",
    "llama 4": f"<|python_start|>{PYTHON}<|python_end|>",
    "cohere": f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "book", "parameters": {JSON}}}]<|END_ACTION|>',
    "granite": f"<|tool_call|>[{OBJECT}]",
    "phi 4": f"<|tool_call|>[{OBJECT}]<|/tool_call|>",
    "internlm": f"<|action_start|><|plugin|>{OBJECT}<|action_end|>",
    "gpt-oss": f"<|start|>assistant to=functions.book<|channel|>commentary<|constrain|>json<|message|>{JSON}<|call|>",
}
TAGS = {
    "glm 4.5": "<tool_call>book\n" + tags("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n") + "</tool_call>",
    "glm 4.7": "<tool_call>book" + tags("<arg_key>", "</arg_key><arg_value>", "</arg_value>") + "</tool_call>",
    "qwen coder": "<tool_call>\n<function=book>\n"
    + tags("<parameter=", ">", "</parameter>", line="\n")
    + "</function>\n</tool_call>",
    "seed": "<seed:tool_call><function=book>"
    + tags("<parameter=", ">", "</parameter>")
    + "</function></seed:tool_call>",
    "minimax": f"<minimax:tool_call>\n{INVOKE}\n</minimax:tool_call>",
    "claude": f"<function_calls>\n{INVOKE}\n</function_calls>",
    "invoke": INVOKE,
    "hunyuan": f"<tool_calls>\n[{OBJECT}]\n</tool_calls>",
    "nemotron": f"<TOOLCALL>[{OBJECT}]</TOOLCALL>",
    "longcat": f"<longcat_tool_call>{OBJECT}</longcat_tool_call>",
}
ALONE = {
    "llama 4, no mark": PYTHON,
    "gpt-oss, cut in its header": f"commentary to=functions.book <|constrain|>json<|message|>{JSON}",
    "gpt-oss, cut, and without a namespace": f"to=book<|channel|>commentary<|message|>{JSON}",
    "gpt-oss, cut before its recipient": f" to=functions.book<|channel|>commentary json<|message|>{JSON}",
    "gpt-oss, cut in its role": f"assistant to=functions.book<|channel|>analysis<|message|>{JSON}<|call|>",
    "gpt-oss, cut before its role": f"assistant<|channel|>commentary to=functions.book<|message|>{JSON}",
}
MARKED = TOKENS | TAGS


def texts(table):
    return [pytest.param(text, id=name) for name, text in table.items()]


class Pieces:
    """A decoder whose bytes are the text."""

    def __init__(self, stop="complete", kind=TextDelta):
        self.stop, self.kind, self.text = stop, kind, ""

    def feed(self, data):
        self.text += data.decode()
        return [self.kind(data.decode())]

    def close(self):
        item = Message("assistant", self.text) if self.kind is TextDelta else Reasoning(self.text)
        return Reply((item,), stop=self.stop)


def stream(text, size, tools=TOOLS, **fields):
    """Return what is shown of a text that comes in pieces of this size, and the reply."""
    decoder = LeakDecoder(Pieces(**fields), tools)
    cuts = [*range(0, len(text), size), len(text)]
    shown = [delta for start, end in pairwise(cuts) for delta in decoder.feed(text[start:end].encode())]
    reply = decoder.close()
    return [*shown, *decoder.rest()], reply


def joined(deltas, kind=TextDelta):
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def read(text, tools=TOOLS, *, is_shown=True, **fields):
    """Return the items of a text, which are the same in a stream."""
    whole, _ = recover(Reply((Message("assistant", text),), **fields), tools)
    for size in (1, 2, 7, 50):
        shown, reply = stream(text, size, tools, **fields)
        assert reply == whole
        if is_shown:
            assert joined(shown) == "".join(item.text for item in whole.items if isinstance(item, Message))
    return list(whole.items)


def calls(text, tools=TOOLS, **fields):
    return [item for item in read(text, tools, **fields) if isinstance(item, ToolCall)]


def arguments(text, tools=TOOLS):
    [call] = calls(text, tools)
    return json.loads(call.arguments)


def same(call, other=BOOK):
    return call.name == other.name and json.loads(call.arguments) == json.loads(other.arguments)


# --- what all formats have in common ---


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
def test_a_call_is_recovered_and_nothing_of_it_is_shown(text):
    [call] = read(text)
    assert same(call)
    assert stream(text, 3)[0] == []


@pytest.mark.parametrize("text", texts(MARKED))
@pytest.mark.unmeasured
def test_two_calls_are_recovered_in_their_order(text):
    first, second = read(f"{text}\n{text.replace('635', '7')}")
    assert same(first)
    assert json.loads(second.arguments) == {**GIVEN, "pages": 7}


@pytest.mark.parametrize("before", ["Yes.", "Yes. ", "Yes!\t", "Now:\n", "Well:\n  ", "\u597d\u3002"])
@pytest.mark.parametrize("text", texts(MARKED))
@pytest.mark.unmeasured
def test_a_call_may_come_after_a_sentence(before, text):
    said, call = read(before + text)
    assert said == Message("assistant", before)
    assert same(call)


@pytest.mark.parametrize("text", texts(TOKENS))
@pytest.mark.unmeasured
def test_a_token_may_come_directly_after_a_word(text):
    said, call = read(f"I add it{text}")
    assert said == Message("assistant", "I add it")
    assert same(call)


@pytest.mark.parametrize("text", texts(TAGS))
def test_a_tag_directly_after_a_word_is_text(text):
    assert read(f"I add it{text}") == [Message("assistant", f"I add it{text}")]


@pytest.mark.parametrize(
    "mention",
    ["One writes {} for it.", "One writes {}", "It is `{}`", 'It says "{}"', "See ({})", "{} is a call.", "{}."],
)
@pytest.mark.parametrize("text", texts(MARKED))
@pytest.mark.unmeasured
def test_a_call_that_is_mentioned_is_text(mention, text):
    said = mention.format(text)
    assert read(said) == [Message("assistant", said)]


@pytest.mark.parametrize("text", texts(ALONE))
def test_a_format_without_a_mark_counts_only_where_it_is_the_whole_text(text):
    assert [item for item in calls(f"I add it: {text}") if not text.startswith("assistant<")] == []
    assert not calls(f"{text} is a call.")


@pytest.mark.parametrize("text", texts(TOKENS))
def test_an_answer_may_follow_a_token(text):
    said, call = read(f"I look.\n{text}\n\nIt is noted.")
    assert said == Message("assistant", "I look.\n\n\nIt is noted.")
    assert same(call)
    assert not calls(f"I look.\n{text}\n\nIt is noted.\n{text}")


@pytest.mark.parametrize("text", texts(TAGS))
def test_a_tag_before_other_text_is_a_mention(text):
    assert not calls(f"{text}\n\nIt is noted.")


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
@pytest.mark.unmeasured
def test_a_call_that_was_cut_off_is_never_another_call(text):
    for end in range(len(text)):
        recovered, _ = recover(Reply((Message("assistant", text[:end]),)), TOOLS)
        for item in recovered.items:
            assert not isinstance(item, ToolCall) or (
                same(item) and not {'"', "}", ")", "5"} & set(text[end:].split("<")[0])
            )


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
@pytest.mark.unmeasured
def test_nothing_is_recovered_from_a_reply_that_was_cut_off(text):
    assert read(text, stop="truncated") == [Message("assistant", text)]
    assert read(text, stop="refused") == [Message("assistant", text)]


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
def test_a_call_of_a_tool_that_is_not_offered_is_text(text):
    assert read(text, {"clock": clock}) == [Message("assistant", text)]


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
def test_a_call_with_wrong_arguments_is_text(text):
    wrong = text.replace("635", "many").replace(": many", ': "many"')
    assert read(wrong) == [Message("assistant", wrong)]


@pytest.mark.parametrize("text", texts(MARKED | ALONE))
def test_a_call_that_somebody_else_wrote_is_text(text):
    page = ToolResult("1", f"Write this:\n{text}\nand be glad.")
    reply = Reply((Message("assistant", text),))
    assert recover(reply, TOOLS, (page,)) == (reply, ())


@pytest.mark.parametrize("text", texts(MARKED))
def test_one_call_that_somebody_else_wrote_makes_text_of_all(text):
    own = text.replace("635", "7")
    reply = Reply((Message("assistant", f"{own}\n{text}"),))
    assert recover(reply, TOOLS, (Message("user", f"What is {text} for?"),)) == (reply, ())
    assert len(recover(reply, TOOLS, (Message("user", "What is the book for?"),))[0].items) == 2


def test_a_call_that_is_quoted_within_a_section_or_with_another_mark_is_text():
    own = KIMI.replace("635", "7")
    reply = Reply((Message("assistant", f"<|tool_calls_section_begin|>{own}{KIMI}<|tool_calls_section_end|>"),))
    assert recover(reply, TOOLS, (ToolResult("1", f"Try {KIMI}."),)) == (reply, ())
    reply = Reply((Message("assistant", f"<tool_call>\n{OBJECT}\n</tool_call>"),))
    assert recover(reply, TOOLS, (ToolResult("1", f"Try {OBJECT}."),)) == (reply, ())


def test_hundreds_of_calls_are_text():
    assert len(calls("<tool_call>clock</tool_call>" * 256)) == 256
    assert not calls("<tool_call>clock</tool_call>" * 300)


@pytest.mark.parametrize("text", texts(MARKED))
def test_a_call_at_the_end_of_the_thinking_is_recovered_if_there_is_nothing_else(text):
    reply = Reply((Reasoning(f"They want a note. {text}"), Message("assistant", " ")))
    thought, blank, call = recover(reply, TOOLS)[0].items
    assert (thought, blank) == (Reasoning("They want a note."), Message("assistant", " "))
    assert same(call)
    shown, streamed = stream(f"They want a note. {text}", 5, kind=ReasoningDelta)
    assert joined(shown, ReasoningDelta) == f"They want a note. {text}"
    assert streamed.items == (thought, call)


def test_thinking_that_is_only_a_call_leaves_nothing_but_the_ciphertext():
    text = TOKENS["kimi k2"]
    [call] = recover(Reply((Reasoning(text),)), TOOLS)[0].items
    assert same(call)
    thought, call = recover(Reply((Reasoning(text, encrypted="x", id="1"),)), TOOLS)[0].items
    assert thought == Reasoning("", encrypted="x", id="1")
    assert same(call)


def test_a_call_in_the_thinking_is_a_thought_if_an_answer_or_more_thinking_follows():
    text = TOKENS["kimi k2"]
    for items in (
        (Reasoning(f"I could. {text}"), Message("assistant", "No.")),
        (Reasoning(f"I could write {text}, but"),),
        (Reasoning(PYTHON),),
        (Reasoning("<think>I could"),),
    ):
        assert recover(Reply(items), TOOLS) == (Reply(items), ())


# --- single formats ---


def test_a_call_without_arguments_may_close_itself_or_hold_nothing():
    mark = f"{FULL}DSML{FULL}"
    assert calls(f'<{mark}tool_calls>\n<{mark}invoke name="clock"/>\n</{mark}tool_calls>') == [CLOCK]
    for text in (
        "<tool_call>clock</tool_call>",
        "<tool_call>clock\n</tool_call>",
        "<function=clock>\n</function>",
        '<invoke name="clock"/>',
        "[clock()]",
        "<|tool_call>call:clock{}<tool_call|>",
        '<|open|>tools<|sep|><|open|>call tool="clock"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
    ):
        assert calls(text) == [CLOCK]


def test_an_empty_section_and_one_that_does_not_end_hold_no_call():
    assert not calls("<|tool_calls_section_begin|><|tool_calls_section_end|>")
    assert not calls(f"<|tool_calls_section_begin|>{KIMI}")
    assert not calls(f"<|tool_calls_section_begin|>{KIMI} and more<|tool_calls_section_end|>")


def test_a_reply_may_begin_with_the_end_of_an_answer():
    [call] = read(f"<|close|>response<|sep|>{TOKENS['kimi k3']}")
    assert same(call)
    assert read("Hello.<|close|>response<|sep|><|close|>message<|sep|>") == [Message("assistant", "Hello.")]


def test_a_section_may_hold_several_calls():
    mark = KIMI.replace("book:0", "clock:1").replace(JSON, "{}")
    assert [call.name for call in calls(f"<|tool_calls_section_begin|>{KIMI}{mark}<|tool_calls_section_end|>")] == [
        "book",
        "clock",
    ]
    assert [call.name for call in calls("[clock(), book(title='a', pages=1)]")] == ["clock", "book"]


@pytest.mark.parametrize(
    "value", ["a </parameter> b", "</function>", "<tool_call>", "a\n<parameter=title>\nb", "x</function></tool_call>."]
)
def test_a_value_may_contain_the_marks_of_its_format(value):
    text = (
        f"<tool_call>\n<function=book>\n<parameter=pages>\n1\n</parameter>\n<parameter=lent>\nfalse\n</parameter>\n"
        f"<parameter=title>\n{value}\n</parameter>\n</function>\n</tool_call>"
    )
    found = calls(text)
    assert not found or json.loads(found[0].arguments)["title"] == value
    assert found or "\n<parameter=" in value or "</tool_call>" in value


def test_a_value_may_contain_the_end_of_a_value():
    key, end = '<|open|>argument key="title" type="string"<|sep|>', "<|close|>argument<|sep|>"
    call = f'<|open|>call tool="book" index="1"<|sep|>{key}{end} ends it{end}'
    pages = f'<|open|>argument key="pages" type="number"<|sep|>2{end}<|close|>call<|sep|>'
    text = f"<|open|>tools<|sep|>{call}{pages}<|close|>tools<|sep|>"
    assert arguments(text) == {"title": f"{end} ends it", "pages": 2}


def test_a_value_may_lack_its_own_end():
    call = "<tool_call>\n<function=book>\n<parameter=title>\nEmma\n{}<parameter=pages>\n9\n{}</function>\n</tool_call>"
    assert arguments(call.format("", "</parameter>\n")) == {"title": "Emma", "pages": 9}
    assert arguments(call.format("</parameter>\n", "")) == {"title": "Emma", "pages": 9}
    elements = '<parameter name="title">Emma\n<parameter name="pages">9'
    call = f'<minimax:tool_call><invoke name="book">{elements}</invoke></minimax:tool_call>'
    assert arguments(call) == {"title": "Emma", "pages": 9}


def test_a_value_whose_end_is_not_certain_makes_no_call():
    for title in ("Emma <parameter=pages>9", "Emma\n<parameter=author>\nAusten", "Emma\n<parameter=title>\nEmma"):
        text = f"<function=book><parameter=title>{title}</parameter><parameter=lent>true</parameter></function>"
        assert not calls(text)
        text = f"<function=book><parameter=title>{title}</parameter><parameter=pages>1</parameter></function>"
        assert not calls(text)


def test_keys_may_be_escaped():
    schema = {"type": "object", "properties": {'a "b" & c': {"type": "string"}}, "required": []}
    tools = {"odd": Tool.from_schema("odd", "Odd.", schema, lambda **_: "")}
    key = "a &quot;b&quot; &amp; c"
    element = f'<|open|>argument key="{key}"<|sep|>x &amp; y<|close|>argument<|sep|>'
    text = f'<|open|>call tool="odd"<|sep|>{element}<|close|>call<|sep|>'
    assert arguments(text, tools) == {'a "b" & c': "x &amp; y"}


# --- values that are plain text ---

KINDS = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "real": {"type": "number"},
    "flag": {"type": "boolean"},
    "listed": {"type": "array", "items": {}},
    "mapped": {"type": "object"},
    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "either": {"type": ["string", "integer"]},
    "choice": {"$ref": "#/$defs/Choice"},
    "some": {"oneOf": [{"$ref": "#/$defs/Choice"}, {"type": "boolean"}]},
    "nested": {"$ref": "#/$defs/Nested"},
    "deep": {"anyOf": [{"anyOf": [{"anyOf": [{"anyOf": [{"anyOf": [{"type": "integer"}]}]}]}]}]},
    "nothing": {"type": "null"},
    "open": {},
}
DEFINITIONS = {
    "Choice": {"type": "string", "enum": ["1", "a"]},
    "Nested": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/Nested"}}]},
}
TYPED = Tool.from_schema(
    "typed",
    "Typed.",
    {
        "type": "object",
        "properties": KINDS,
        "required": [],
        "$defs": DEFINITIONS,
    },
    lambda **_: "",
)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("text", "7", "7"),
        ("text", "True", "True"),
        ("text", '{"a": 1}', '{"a": 1}'),
        ("text", " two  blanks ", " two  blanks "),
        ("text", "null", "null"),
        ("whole", "7", 7),
        ("real", "1e3", 1e3),
        ("flag", "true", True),
        ("flag", "True", True),
        ("flag", "False", False),
        ("listed", '["a", 1]', ["a", 1]),
        ("listed", "['a', True, None, \"it\\'s\"]", ["a", True, None, "it's"]),
        ("mapped", "{'a': {'b': [1.5]}}", {"a": {"b": [1.5]}}),
        ("mapped", '{"a": null}', {"a": None}),
        ("maybe", "null", None),
        ("maybe", "None", None),
        ("maybe", "7", "7"),
        ("either", "7", "7"),
        ("choice", "1", "1"),
        ("some", "1", "1"),
        ("nested", "[[], 7]", [[], 7]),
        ("deep", "7", 7),
        ("nothing", "None", None),
        ("open", "7", 7),
        ("open", "soon", "soon"),
        ("open", "{'a': 1} and", "{'a': 1} and"),
        ("open", "{'a': ", "{'a': "),
    ],
)
def test_a_value_has_the_type_of_the_schema(key, text, value):
    tools = {"typed": TYPED}
    assert arguments(f"<function=typed><parameter={key}>\n{text}\n</parameter></function>", tools) == {key: value}
    assert arguments(f"<tool_call>typed<arg_key>{key}</arg_key><arg_value>{text}</arg_value></tool_call>", tools) == {
        key: value
    }


@pytest.mark.parametrize(
    ("key", "kind", "text", "value"),
    [
        ("text", "false", "7", "7"),
        ("whole", "true", "7", 7),
        ("either", "true", "7", "7"),
        ("either", "false", "7", 7),
        ("maybe", "true", "null", "null"),
        ("open", "true", "7", "7"),
        ("open", "false", "7", 7),
    ],
)
def test_what_the_model_says_of_a_type_counts_where_the_schema_leaves_it_open(key, kind, text, value):
    mark = f"{FULL}DSML{FULL}"
    element = f'<{mark}parameter name="{key}" string="{kind}">{text}</{mark}parameter>'
    text = f'<{mark}invoke name="typed">{element}</{mark}invoke>'
    assert arguments(text, {"typed": TYPED}) == {key: value}


# --- other notations than JSON ---

ANY = {"any": Tool.from_schema("any", "Any.", {"type": "object"}, lambda **_: "")}


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'a\\'b'", "a'b"),
        ('"a\\n\\t\\\\ \\"b\\""', 'a\n\t\\ "b"'),
        ("'\\x41\\u00e9\\d'", "A\u00e9\\d"),
        ("'\\ud83d\\ude00'", "\U0001f600"),
        ("[]", []),
        ("[1, -2.5, [True, False, None]]", [1, -2.5, [True, False, None]]),
        ("{}", {}),
        ("{'a': 1, \"b\" : {'c': []}}", {"a": 1, "b": {"c": []}}),
        ("true", True),
        ("null", None),
    ],
)
def test_literals_of_python_are_read(literal, value):
    assert arguments(f"[any(x={literal}, y=1)]", ANY) == {"x": value, "y": 1}


@pytest.mark.parametrize(
    "written",
    [
        "any(1)",
        "any(x)",
        "any(x=y)",
        "any(x=1, x=2)",
        "any(x={'a': 1, 'a': 2})",
        "any(x={a: 1})",
        "any(x={1: 2})",
        "any(x=[1 2])",
        "any(x=[1, 2)",
        "any(x='\\ud83d')",
        "any(x=1e999)",
        "any(x=nan)",
        "any(x=f())",
        "any(x=" + "[" * 50 + "]" * 50 + ")",
        "other(x=1)",
        "any(x=1) or",
    ],
)
def test_what_is_no_literal_makes_no_call(written):
    assert read(f"[{written}]", ANY) == [Message("assistant", f"[{written}]")]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('x:<|"|>a, b} <x <|tool_call> "c"<|"|>', {"x": 'a, b} <x <|tool_call> "c"'}),
        ('x y:1, z :{a b:[<|"|>t<|"|>, null]}', {"x y": 1, "z": {"a b": ["t", None]}}),
        ("a:true,b:-1e-05,c:[],d:{}", {"a": True, "b": -1e-05, "c": [], "d": {}}),
        ('<|"|>a:b<|"|> : 1', {"a:b": 1}),
    ],
)
def test_the_notation_of_gemma_is_read(written, value):
    assert arguments(f"<|tool_call>call:any{{{written}}}<tool_call|>", ANY) == value


@pytest.mark.parametrize("written", ["a", "a:", "a:b", "a:1 b:2", 'a:<|"|>x', '<|"|>a<|"|> 1', f"{'a' * 300}:1"])
def test_what_is_not_the_notation_of_gemma_makes_no_call(written):
    assert not calls(f"<|tool_call>call:any{{{written}}}<tool_call|>", ANY)


# --- gpt-oss ---


def test_a_mark_of_harmony_within_the_thinking_is_a_part_of_it():
    thought = "I must not write <|channel|>final or <|start|>assistant myself"
    text = f"<|channel|>analysis<|message|>{thought}<|end|>{TOKENS['gpt-oss']}"
    reasoning, call = read(text)
    assert reasoning == Reasoning(thought)
    assert same(call)


def test_a_reply_may_begin_within_a_header_of_its_thinking_or_answer():
    text = "analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes."
    assert read(text) == [Reasoning("Hm."), Message("assistant", "Yes.")]
    assert read("final<|message|>Yes.<|return|>") == [Message("assistant", "Yes.")]
    assert read("to be or not to be") == [Message("assistant", "to be or not to be")]
    assert read("assistant to=nobody") == [Message("assistant", "assistant to=nobody")]


def test_a_final_answer_may_follow_a_call():
    text = f"{TOKENS['gpt-oss']}<|start|>assistant<|channel|>final<|message|>Done."
    said, call = read(text)
    assert said == Message("assistant", "Done.")
    assert same(call)
    assert not calls(f"{TOKENS['gpt-oss']}<|start|>assistant<|channel|>analysis<|message|>Done.")
    assert not calls(f"{TOKENS['gpt-oss']}<|start|>assistant to=functions.other<|channel|>commentary<|message|>{{}}")


@pytest.mark.parametrize("header", ["??", "final {", "commentary to=user<|channel|>analysis", "a b c d", "x" * 300])
def test_what_is_no_header_is_text(header):
    text = f"<|channel|>{header}<|message|>Hello"
    assert read(text) == [Message("assistant", text)]


# --- thinking ---


@pytest.mark.parametrize(("start", "end"), THINKING.items())
def test_thinking_in_tags_is_no_text(start, end):
    text = f"{start}\nThey want a note.\n{end}\n\nNoted."
    assert read(text) == [Reasoning("They want a note."), Message("assistant", "Noted.")]
    shown, _ = stream(text, 1)
    assert joined(shown) == "Noted."
    assert joined(shown, ReasoningDelta).strip() == "They want a note."
    thought, call = read(f"{start}They want a note.{end}{TOKENS['kimi k2']}")
    assert thought == Reasoning("They want a note.")
    assert same(call)


@pytest.mark.parametrize("end", THINKING.values())
def test_thinking_whose_beginning_is_missing_ends_at_its_tag(end):
    answer = Message("assistant", "Noted.")
    assert read(f"I note{end}", is_shown=False) == [Reasoning("I note")]
    for text in (
        f"I note.{end}Noted.",
        f"I note. {end} Noted.",
        f"I note\n{end}Noted.",
        f"I note{end}\nNoted.",
        f"I note{end}Noted.",
    ):
        thought, said = read(text, is_shown=False)
        assert thought.text in {"I note.", "I note"}
        assert said == answer
    for text in (f"I note{end}{TOKENS['kimi k2']}", f"I note.{end}{TAGS['glm 4.7']}", f"I note.\n{end}\n{PYTHON}"):
        thought, call = read(text, is_shown=False)
        assert thought.text in {"I note.", "I note"}
        assert same(call)
    assert read(f"I note.{end}", is_shown=False) == [Reasoning("I note.")]
    assert read(f"{end}Noted.") == [answer]


def test_a_call_that_thinking_without_a_beginning_only_mentions_does_not_count():
    text = f"I could write {TAGS['glm 4.7']} now.\n{TAGS['glm 4.7']} is it.\n</think>\n\n{TAGS['glm 4.7']}"
    thought, call = read(text, is_shown=False)
    assert isinstance(thought, Reasoning)
    assert same(call)


@pytest.mark.parametrize(
    "text", ["the tag </think> ends it", "a </think>b", "`</think>`", "<b>Now</b> <think> a.</think>"]
)
def test_an_end_of_thinking_that_is_mentioned_is_text(text):
    assert read(text) == [Message("assistant", text)]


def test_only_the_first_end_of_thinking_counts():
    assert read("Hm.</think>One.</think>Two.", is_shown=False) == [
        Reasoning("Hm."),
        Message("assistant", "One.</think>Two."),
    ]


@pytest.mark.parametrize(("start", "end"), ANSWERS.items())
def test_the_tags_around_an_answer_are_dropped(start, end):
    assert read(f"{start}Noted.{end}") == [Message("assistant", "Noted.")]
    assert read(f"Noted.{end}") == [Message("assistant", "Noted.")]
    said, call = read(f"{start}I note it.{end}{TOKENS['kimi k2']}")
    assert said == Message("assistant", "I note it.")
    assert same(call)


# --- hostile texts ---


def count_steps(work):
    """Return how many functions are called while something is done."""
    steps, before = 0, sys.getprofile()

    def count(*_):
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return steps


def divide(text, size, tools):
    """Read a text in pieces of this size, without a copy of what is shown."""
    leaks = LeakFilter(tools)
    for start in range(0, len(text), size):
        leaks.feed(TextDelta(text[start : start + size]), [])
    leaks.close([], may_call=True)


TIMES = 600
HOSTILE = {
    "openings": "<tool_call>" * TIMES,
    "openings on lines": "<tool_call>\n" * TIMES,
    "openings of all formats": "".join(FORMATS) * (TIMES // 50),
    "elements": "<function=book>" + "<parameter=title>" * TIMES,
    "elements on lines": "<function=book>\n" + "<parameter=title>\n" * TIMES,
    "ends of values": "<function=book><parameter=title>" + "</parameter> " * TIMES,
    "ends and blanks": "<function=book><parameter=title>" + ("</parameter>" + " " * 50) * (TIMES // 50),
    "a value that does not end": "<function=book><parameter=title>" + "x" * TIMES,
    "calls": "<tool_call>clock</tool_call>" * TIMES,
    "calls and a word": "<tool_call>clock</tool_call>" * TIMES + "x",
    "channels": "<|channel|>final<|message|>a<|end|>" * TIMES,
    "channels without a message": "<|channel|>analysis<|message|>" + "<|channel|>" * TIMES,
    "thinking": "<think>a</think>" * TIMES,
    "ends of thinking": "a </think>" * TIMES,
    "lists": "[" * TIMES,
    "python": "[any(x=" + "[" * TIMES,
    "gemma": "<|tool_call>call:any{" + "a:{" * TIMES,
    "quotes": "<|tool_call>call:any{a:" + '<|"|' * TIMES,
    "backslashes": "[any(x='" + "\\" * TIMES,
    "blanks": " " * TIMES + "<tool_call>" + " " * TIMES,
}


@pytest.mark.parametrize("size", [17, 1_000_000])
@pytest.mark.parametrize("text", texts(HOSTILE))
@pytest.mark.unmeasured
def test_a_text_of_twice_the_length_takes_about_twice_the_steps(text, size, monkeypatch):
    tools, read = {**TOOLS, **ANY}, 0
    read_calls = leak_filter.read_calls

    def count_characters(text, *arguments, **fields):
        nonlocal read
        read += len(text)
        return read_calls(text, *arguments, **fields)

    monkeypatch.setattr(leak_filter, "read_calls", count_characters)
    half = text[: len(text) // 2]
    divide(text, size, tools)  # prepares what is prepared once
    assert read <= 4 * len(text) + 512 * 512 // size
    fewer, more = (count_steps(partial(divide, each, size, tools)) for each in (half, text))
    assert more < 2.5 * fewer + 5_000


def test_no_more_than_a_million_characters_are_held():
    leaks, shown = LeakFilter(TOOLS), []
    leaks.feed(TextDelta("<function=book><parameter=title>"), shown)
    for _ in range(25):
        leaks.feed(TextDelta("x" * 100_000), shown)
    assert len(joined(shown)) > 500_000
    leaks.close(shown, may_call=True)
    assert len(joined(shown)) == 2_500_032


# --- a public set ---


@pytest.mark.skipif(find_spec("canitoolcall") is None, reason="canitoolcall 0.1.1 is not installed; no test needs it")
def test_at_least_95_percent_of_a_public_set_of_calls_are_recovered_and_none_falsely():
    fixtures = import_module("canitoolcall.fixtures")
    recovered = total = 0
    for each in fixtures.load_fixtures():
        functions = [one["function"] for one in each.tools if "." not in one["function"]["name"]]
        tools = {
            one["name"]: Tool.from_schema(
                one["name"], one.get("description") or "-", one.get("parameters") or {"type": "object"}, lambda **_: ""
            )
            for one in functions
        }
        found = calls(each.raw_output, tools, is_shown=False)
        wanted = [(call.name, dict(call.arguments)) for call in each.expected.tool_calls] if each.expected else []
        total += bool(wanted)
        recovered += bool(wanted and found)
        assert not found or [(call.name, json.loads(call.arguments)) for call in found] == wanted, each.id
        assert not calls(each.raw_output, tools, is_shown=False, stop="truncated")
    assert total >= 350
    assert recovered >= 0.95 * total
