"""Tool calls for models that have no tool calling, over `/v1/chat/completions`.

The system text describes the tools, and `response_format` holds the model to one of two forms:
`{"tool": ..., "arguments": ...}` or `{"answer": ...}` (llama.cpp, vLLM and OVHcloud accept it there). A
model with `small_model` is held to one sentence after the tools have returned. Calls and results are sent back as
plain messages. `chat` and its modules contain the layout of chat bodies and streams.

The words were chosen by trying them on SmolLM2-135M, where they decide whether it works at all. The hint to use a tool
stands directly before the question, and the question is repeated after each result. Without that the model chats
instead of calling a tool, and then calls tools instead of answering.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, JsonObject, Message, Reply, Text, ToolCall, ToolResult
from agentloop.schema import move_references
from agentloop.tools import Tool
from agentloop.wire.formats.chat import ChatCompletions
from agentloop.wire.formats.dialect import Decoder, ModelRequest
from agentloop.wire.formats.images import place_images
from agentloop.wire.formats.request import write_arguments, write_schema
from agentloop.wire.formats.structured import add_words, needs_words, restrict_form, without_reasoning
from agentloop.wire.payload import dump, mapping, string
from agentloop.wire.profile import Profile
from agentloop.wire.roles import alternate_roles

_USE = "If a tool can find this out, use it: "
_ANSWER = "Answer with the result, in one short sentence."
# A sentence begins with a capital letter, so it is neither JSON nor a list. The limit on its length stops endless text.
_SENTENCE = dump({"type": "string", "pattern": r'^[A-Z][^"{}\\]{1,120}[.]$'})
_DEFINITIONS = "#/$defs/"
_TEXT: JsonObject = {"type": "string"}
_STARTS = ('{"tool":', '{"answer":')


class PromptedChat:
    """A chat format with which a model without tool calling can call tools."""

    path = "/chat/completions"

    def __init__(self) -> None:
        self._chat = ChatCompletions()

    def encode_items(self, items: Sequence[Item], profile: Profile) -> list[bytes]:
        """Return the JSON of the items of one or more whole turns, one fragment per message."""
        return self._chat.encode_items(_write_plainly(items, profile), profile)

    def encode_tools(self, tools: Sequence[Tool], profile: Profile) -> bytes:
        """Return the JSON schema of a reply that calls one of the tools or answers."""
        return dump(_write_reply_schema(tools, profile, _TEXT))

    def encode(self, request: ModelRequest, fragments: Sequence[bytes], tools: bytes) -> bytes:
        """Return the body of a request from the encoded conversation and tools.

        Raises:
            ConfigurationError: a value in `extra_body` is not JSON.
        """
        request, choice = without_reasoning(request), request.settings.tool_choice or "auto"
        is_result = any(isinstance(item, ToolResult) for item in request.items[-1:])
        is_over = request.profile.small_model and is_result and request.output is None
        offered = [] if is_over else [tool for tool in request.tools if choice in {"auto", "required", tool.name}]
        last = self._chat.encode_items(_write_last(request, may_call=bool(offered)), request.profile)
        if last:
            fragments = [*fragments[:-1], *last]
        if request.output or (offered and choice != "auto"):
            answer = restrict_form(request.output, request.profile)["schema"] if request.output else _TEXT
            must_call = offered and choice != "auto"
            tools = dump(_write_reply_schema(offered, request.profile, None if must_call else answer))
        if offered or request.output:
            request, fragments = add_words(request, fragments, _describe(request, offered))
        if offered or request.output or is_over:
            shape = _write_format(request.profile, _SENTENCE if is_over else tools)
            extra = {**shape, **request.settings.extra_body}
            request = replace(request, settings=replace(request.settings, extra_body=extra))
        return self._chat.encode(replace(request, tools=(), output=None), fragments, b"[]")

    def decode(self, body: bytes) -> Reply:
        """Return the reply in a whole body.

        Raises:
            ReplyError: the body is not a reply.
            EndpointError: the body reports that the request failed.
        """
        return _read_reply(self._chat.decode(body))

    def decoder(self) -> PromptedDecoder:
        """Return a decoder for one streamed reply."""
        return PromptedDecoder(self._chat.decoder())


class PromptedDecoder:
    """Shows plain text and the text of an answer as they arrive, without the JSON around the answer.

    Text that begins with a quotation mark is not shown in deltas; only the whole reply has it.
    """

    def __init__(self, chat: Decoder) -> None:
        self._chat = chat
        self.ending = chat.ending
        self._text = ""
        self._shown = 0
        self._is_plain = False

    def feed(self, data: bytes) -> list[TextDelta | ReasoningDelta]:
        """Take the next bytes and return the deltas to show.

        Raises:
            EndpointError: an event says that the response failed.
        """
        shown: list[TextDelta | ReasoningDelta] = []
        for delta in self._chat.feed(data):
            if isinstance(delta, ReasoningDelta):
                shown.append(delta)
            elif text := self._show(delta.text):
                shown.append(TextDelta(text))
        return shown

    def close(self) -> Reply:
        """Return the whole reply after the last bytes.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or the bytes are not a reply.
        """
        return _read_reply(self._chat.close())

    def _show(self, text: str) -> str:
        if self._is_plain:
            return text
        self._text += text
        start = "".join(self._text.split())
        if start.startswith('"'):
            return ""  # only the end tells whether this is text or JSON
        if not any(start.startswith(known) or known.startswith(start) for known in _STARTS):
            self._is_plain = True
            return self._text
        new = (_read_answer(self._text) or "")[self._shown :]
        self._shown += len(new)
        return new


def _write_format(profile: Profile, schema: bytes) -> JsonObject:
    match profile.structured_output:
        case "prompt":
            return {}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case _:
            shape = b'{"type":"json_schema","json_schema":{"name":"reply","strict":true,"schema":%b}}'
            return {"response_format": shape % schema}


def _write_reply_schema(tools: Sequence[Tool], profile: Profile, answer: JsonObject | None) -> JsonObject:
    """Return the schema of a reply that calls one of the tools or answers.

    Args:
        tools: The tools on offer.
        profile: Says which schema keywords the server accepts.
        answer: The schema of the answer; None if the reply must call a tool.
    """
    schemas = {tool.name: write_schema(tool, profile) for tool in tools}
    shapes = [_close({"tool": {"const": name}, "arguments": {"$ref": _DEFINITIONS + name}}) for name in schemas]
    if answer is _TEXT:
        shapes.append(_close({"answer": _TEXT}))
    elif answer is not None:
        schemas["."] = answer  # no tool can have this name
        shapes.append(_close({"answer": {"$ref": f"{_DEFINITIONS}."}}))
    definitions = {name: move_references(schema, _DEFINITIONS + name) for name, schema in schemas.items()}
    return {**({"anyOf": shapes} if tools else shapes[0]), "$defs": definitions}


def _close(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _describe(request: ModelRequest, offered: Iterable[Tool]) -> str:
    """Return the text that describes the tools on offer, and the answer's schema if the server does not accept it."""
    tools = [_describe_tool(tool) for tool in offered]
    lines = ["Tools:", *tools, '{"answer": ...} when the result is known'] if tools else []
    if request.output is not None and needs_words(request):
        lines += [] if tools else ['Reply with {"answer": ...} and nothing else.']
        lines.append(f"The answer is JSON of this schema: {dump(request.output['schema']).decode()}")
    return "\n".join(lines)


def _describe_tool(tool: Tool) -> str:
    properties = mapping(tool.parameters.get("properties"))
    names = ", ".join(f"{json.dumps(name)}: ..." for name in properties)
    descriptions = {name: string(mapping(schema).get("description")) for name, schema in properties.items()}
    notes = [f"{name}: {text}" for name, text in descriptions.items() if text]
    line = " ".join([_write_call(tool.name, f"{{{names}}}"), tool.description, *notes])
    # One line per tool: a stray line break made SmolLM2 repeat its call instead of answering.
    return " ".join(line.split())


def _write_call(name: str, arguments: str) -> str:
    return f'{{"tool": {json.dumps(name)}, "arguments": {arguments}}}'


def _write_plainly(items: Iterable[Item], profile: Profile) -> list[Item]:
    """Return the items with calls as messages of the assistant and results as messages of the user."""
    names: dict[str, str] = {}
    plain: list[Item] = []
    for item in place_images(items, profile, in_results=True):
        match item:
            case ToolCall():
                names[item.call_id] = item.name
                arguments = json.dumps(from_json(write_arguments(item)), ensure_ascii=False)
                plain.append(Message("assistant", _write_call(item.name, arguments)))
            case ToolResult():
                text = f"{names.get(item.call_id, 'The tool')} returned: {item.content}"
                plain.append(Message("user", (Text(text), *item.images)))
            case _:
                plain.append(item)
    return list(alternate_roles(plain, "assistant")) if profile.alternating_roles else plain


def _write_last(request: ModelRequest, *, may_call: bool) -> list[Item]:
    """Return the last item with the text that is added only while it is the last; an empty list if none is added."""
    items = request.items
    match items[-1:]:
        case [Message(role="user", content=(Text(text), *rest))] if may_call:
            return [Message("user", (Text(_USE + text), *rest))]
        case [ToolResult(call_id=call_id) as result]:
            call = [item for item in items if isinstance(item, ToolCall) and item.call_id == call_id]
            returned = _write_plainly([*call, result], request.profile)[-1]
            questions = [item for item in items if isinstance(item, Message) and item.role == "user"]
            texts = [item.text for item in (returned, *questions[-1:]) if isinstance(item, Message)]
            images = result.images if request.profile.images else ()
            words = f"\n{_ANSWER}" if request.output is None else ""
            return [Message("user", (Text("\n\n".join(texts) + words), *images))]
        case _:
            return []


def _read_reply(reply: Reply) -> Reply:
    items = tuple(_read_message(item) if isinstance(item, Message) else item for item in reply.items)
    return replace(reply, items=items, dialect="prompted")


def _read_message(message: Message) -> Message | ToolCall:
    fields = mapping(_read(message.text))
    name = fields.get("tool")
    if isinstance(name, str) and isinstance(fields.get("arguments"), dict):
        return ToolCall("", name, dump(mapping(fields["arguments"])).decode())
    if isinstance(fields.get("answer"), dict):
        return replace(message, content=(Text(dump(fields["answer"]).decode()),))
    answer = _read_answer(message.text)
    return message if answer is None else replace(message, content=(Text(answer),))


def _read_answer(text: str) -> str | None:
    """Return the text of an answer, as far as it has come; None if the text is not an answer."""
    sentence = _read(text)
    answer = sentence if isinstance(sentence, str) else mapping(_read(text, cut_off=True)).get("answer")
    return answer if isinstance(answer, str) else None


def _read(text: str, *, cut_off: bool = False) -> Any:
    try:
        return from_json(text, allow_partial="trailing-strings" if cut_off else False)
    except ValueError:
        return None
