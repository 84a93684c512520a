"""The table of the formats in which models write tool calls, and of the tags in which they think.

A new format is a row: the mark that opens a call, how its name and its arguments are written, and the mark that closes
it. `leaked_calls` reads all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from agentloop.wire.leaks.literals import GEMMA, Notation


@dataclass(frozen=True, slots=True)
class Attribute:
    """A part of a tag that may be left out: what opens and what closes it."""

    opening: str
    closing: str = '"'


@dataclass(frozen=True, slots=True)
class Tags:
    """Arguments as elements with a key and a value, which is plain text.

    Attributes:
        key: What opens an element, up to its key.
        key_end: What ends the key.
        value: What opens the value after that; "" for nothing.
        value_end: What closes the value. It counts only before the next element or the end of the call, because a
            value may contain it.
        kind: What says of which type the value is.
        lines: The value stands between line breaks that are not part of it.
        outer: What comes after the end of the call. Where it is known, a value may lack its own end.
    """

    key: str
    key_end: str
    value: str
    value_end: str
    kind: Attribute | None = None
    lines: bool = False
    outer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """The name of the tool, then its arguments.

    Attributes:
        arguments: How the arguments are written; `json` is a JSON object.
        before: What comes before the name.
        after: What comes after the name, one of these; "" if it may be left out.
        empty: What comes after the name if the call has neither arguments nor a closing mark.
        extra: What may come before `after`, and is not used.
    """

    arguments: Literal["json"] | Tags | Notation
    before: str = ""
    after: tuple[str, ...] = ("",)
    empty: str = ""
    extra: Attribute | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Calls of the formats with this opening mark, up to the closing mark; one call if there is no closing mark."""

    of: str


@dataclass(frozen=True, slots=True)
class Format:
    """How a family of models writes a call.

    Attributes:
        opening: The mark that opens it.
        body: What comes next: `json` is an object that contains the name and the arguments, or a list of them; `python`
            is a list of calls in Python; `harmony` is a header that contains the name, and a JSON object.
        closing: The mark that must close it; "" if its end is clear without one.
        token: The opening mark is a token of the model that people hardly ever write. So it may follow a word directly,
            and an answer may follow the call.
        alone: The format counts only at the beginning of a reply.
        is_part: The opening mark is also the beginning of the body.
    """

    opening: str
    body: Literal["json", "python", "harmony"] | Named | Section
    closing: str = ""
    token: bool = False
    alone: bool = False
    is_part: bool = False


def _deepseek(bar: str, gap: str) -> Iterable[Format]:
    """Yield the formats of DeepSeek V3 and R1, and of V3.1; models also write the marks with other bars and gaps."""
    begin, end = f"<{bar}tool{gap}call{gap}begin{bar}>", f"<{bar}tool{gap}call{gap}end{bar}>"
    separator = f"<{bar}tool{gap}sep{bar}>"
    calls, calls_end = f"<{bar}tool{gap}calls{gap}begin{bar}>", f"<{bar}tool{gap}calls{gap}end{bar}>"
    yield Format(calls, Section(begin), calls_end, token=True)
    fenced = Named("json", before=f"function{separator}", after=("```json\n",))
    yield Format(begin, fenced, f"```{end}", token=True)
    yield Format(begin, Named("json", after=(separator,)), end, token=True)


def _dsml(bar: str, gap: str, *sections: str) -> Iterable[Format]:
    """Yield the formats of DeepSeek V3.2 to V4.1."""
    mark = f"{bar}DSML{bar}{gap}"
    invoke = f'<{mark}invoke name="'
    for section in sections:
        yield Format(f"<{mark}{section}>", Section(invoke), f"</{mark}{section}>", token=True)
    kind = Attribute(' string="')
    tags = Tags(f'<{mark}parameter name="', '"', ">", f"</{mark}parameter>", kind)
    yield Format(invoke, Named(tags, after=('">',), empty='"/>'), f"</{mark}invoke>", token=True)


_PARAMETERS: Final = Tags(
    "<parameter=", ">", "", "</parameter>", lines=True, outer=("</tool_call>", "</seed:tool_call>")
)
_INVOKE: Final = '<invoke name="'
_NAMED_PARAMETERS: Final = Tags(
    '<parameter name="', '"', ">", "</parameter>", lines=True, outer=(_INVOKE, "</minimax:tool_call>")
)
_KIMI_ARGUMENT: Final = Tags('<|open|>argument key="', '"', "<|sep|>", "<|close|>argument<|sep|>", Attribute(' type="'))
_KIMI_CALL: Final = "<|tool_call_begin|>"
_KIMI_3_CALL: Final = '<|open|>call tool="'

_ROWS: Final = (
    # Hermes and Qwen, then Qwen-Coder in the same tag, then GLM 4.5 and later.
    Format("<tool_call>", "json"),
    Format("<tool_call>", Section("<function=")),
    Format("<tool_call>", Named(Tags("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")), "</tool_call>"),
    # Llama 3, which may leave out the bracket, and Qwen-Coder.
    Format("<function=", Named("json", after=(">", "")), "</function>"),
    Format("<function=", Named(_PARAMETERS, after=(">",)), "</function>"),
    Format("<seed:tool_call>", Section("<function="), "</seed:tool_call>"),
    # Llama 3 and 4.
    Format("<|python_tag|>", "json", token=True),
    Format("<|python_start|>", "json", token=True),
    Format("<|python_start|>", "python", "<|python_end|>", token=True),
    # LFM 2.
    Format("<|tool_call_start|>", "json", "<|tool_call_end|>", token=True),
    Format("<|tool_call_start|>", "python", "<|tool_call_end|>", token=True),
    # Mistral: a list, then the newer form.
    Format("[TOOL_CALLS]", "json", token=True),
    Format("[TOOL_CALLS]", Named("json", after=("[ARGS]", ""), extra=Attribute("[CALL_ID]", "[ARGS]")), token=True),
    *_deepseek("\uff5c", "▁"),
    *_deepseek("\uff5c", "_"),
    *_deepseek("|", "▁"),
    *_deepseek("|", "_"),
    *_dsml("\uff5c", "", "function_calls", "tool_calls"),
    *_dsml("\uff5c", " ", "calls"),
    *_dsml("|", "", "function_calls", "tool_calls"),
    # Kimi K2.
    Format("<|tool_calls_section_begin|>", Section(_KIMI_CALL), "<|tool_calls_section_end|>", token=True),
    Format("<|tool_call_section_begin|>", Section(_KIMI_CALL), "<|tool_call_section_end|>", token=True),
    Format(_KIMI_CALL, Named("json", after=("<|tool_call_argument_begin|>",)), "<|tool_call_end|>", token=True),
    # Kimi K3.
    Format("<|open|>tools<|sep|>", Section(_KIMI_3_CALL), "<|close|>tools<|sep|>", token=True),
    Format(
        _KIMI_3_CALL,
        Named(_KIMI_ARGUMENT, after=("<|sep|>", '"<|sep|>'), extra=Attribute('" index="')),
        "<|close|>call<|sep|>",
        token=True,
    ),
    # MiniMax M2, and models that imitate Claude.
    Format("<minimax:tool_call>", Section(_INVOKE), "</minimax:tool_call>"),
    Format("<function_calls>", Section(_INVOKE), "</function_calls>"),
    Format(_INVOKE, Named(_NAMED_PARAMETERS, after=('">',), empty='"/>'), "</invoke>"),
    # Gemma 4, FunctionGemma.
    Format("<|tool_call>call:", Named(GEMMA), token=True),
    Format("<start_function_call>call:", Named(GEMMA), token=True),
    # gpt-oss. Servers may cut off the beginning of the header.
    Format("<|start|>assistant", "harmony", token=True, is_part=True),
    Format("<|channel|>", "harmony", token=True, is_part=True),
    Format("assistant<|channel|>", "harmony", alone=True, is_part=True),
    Format("to=", "harmony", alone=True, is_part=True),
    Format("assistant to=", "harmony", alone=True, is_part=True),
    Format("analysis to=", "harmony", alone=True, is_part=True),
    Format("commentary to=", "harmony", alone=True, is_part=True),
    # Cohere, Granite and Phi, Hunyuan and xLAM, Nemotron, InternLM, LongCat.
    Format("<|START_ACTION|>", "json", "<|END_ACTION|>", token=True),
    Format("<|tool_call|>", "json", token=True),
    Format("<tool_calls>", "json", "</tool_calls>"),
    Format("<TOOLCALL>", "json", "</TOOLCALL>"),
    Format("<|action_start|><|plugin|>", "json", "<|action_end|>", token=True),
    Format("<longcat_tool_call>", "json", "</longcat_tool_call>"),
    Format("```tool_call\n", "json", "```"),
    Format("```json\n", "json", "```", alone=True),
    Format("```\n", "json", "```", alone=True),
    # Llama 3 without its tag, and Llama 4.
    Format("{", "json", alone=True, is_part=True),
    Format("[", "json", alone=True, is_part=True),
    Format("[", "python", alone=True, is_part=True),
)

FORMATS: Final[Mapping[str, tuple[Format, ...]]] = {
    row.opening: tuple(each for each in _ROWS if each.opening == row.opening) for row in _ROWS
}
"""The formats by their opening marks. Those with the same mark are tried one after the other."""
MARKED: Final = tuple(mark for mark, rows in FORMATS.items() if not rows[0].alone)
"""The opening marks that count behind other text."""
TOKENS: Final = tuple(mark for mark, rows in FORMATS.items() if rows[0].token)
"""The opening marks that are tokens."""

CALL_ENDS: Final = (
    "</tool_call>",
    "[/TOOL_CALLS]",
    "<|python_end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|call|>",
    "<|end|>",
    "<|return|>",
    "<tool_call|>",
    "<|tool_response>",
    "<turn|>",
    "<end_function_call>",
    "<start_function_response>",
    "<|/tool_call|>",
    "<\uff5cend▁of▁sentence\uff5c>",
    "<|close|>message<|sep|>",
    "</s>",
    ";",
)
"""Marks that templates put after a call or between two calls, and that servers may leave in the text."""

THINKING: Final[Mapping[str, str]] = {
    "<think>": "</think>",  # Qwen, DeepSeek and most others
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini's compatible endpoint, EXAONE
    "<reasoning>": "</reasoning>",  # gpt-oss on Bedrock
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "<mm:think>": "</mm:think>",  # MiniMax
    "[THINK]": "[/THINK]",  # Magistral
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere
    "◁think▷": "◁/think▷",  # Kimi-VL
    "<|open|>think<|sep|>": "<|close|>think<|sep|>",  # Kimi K3
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker, Sky-T1
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<unused94>thought": "<unused95>",  # MedGemma
}
"""The tags in which models think."""

ANSWERS: Final[Mapping[str, str]] = {
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",  # Cohere
    "<|START_TEXT|>": "<|END_TEXT|>",
    "<|open|>response<|sep|>": "<|close|>response<|sep|>",  # Kimi K3
    "<|begin_of_solution|>": "<|end_of_solution|>",  # OpenThinker, Sky-T1
}
"""The tags in which models answer. An end counts also where its beginning is missing."""
