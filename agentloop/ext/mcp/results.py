"""Turns a server's answer to a call into the value that a tool returns."""

from __future__ import annotations

import base64
import json
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import Any, assert_never, cast

import mcp_types as types

from agentloop.errors import ConfigurationError, ToolError
from agentloop.items import Image

_LONGEST_ERROR = 4_000
_MOST_IMAGES = 20


def read_result(answer: types.CallToolResult, hide: Callable[[str], str] = str) -> str | list[str | Image]:
    """Return a result as text, or as a list of texts and images in their order.

    Args:
        answer: The server's answer.
        hide: Returns a text without what the model may not see.

    Raises:
        ToolError: the server reports that the tool failed.
    """
    parts = _leave_out([_read_block(block) for block in answer.content])
    texts = [part for part in parts if isinstance(part, str)]
    if answer.is_error:
        raise ToolError(hide("\n".join(texts))[:_LONGEST_ERROR] or "The tool failed and does not say why.")
    structured = answer.structured_content
    if structured is not None and not _say(texts, structured):
        texts.append(json.dumps(structured, ensure_ascii=False))
        parts.append(texts[-1])
    if len(texts) == len(parts):
        return hide("\n".join(texts))
    return [hide(part) if isinstance(part, str) else part for part in parts]


def _leave_out(parts: list[str | Image]) -> list[str | Image]:
    """Return the parts without the images over the limit; texts are cut later, but images are not."""
    images = [at for at, part in enumerate(parts) if isinstance(part, Image)]
    more = set(images[_MOST_IMAGES:])
    kept = [part for at, part in enumerate(parts) if at not in more]
    return [*kept, f"[{len(more):,} more images, which are left out]"] if more else kept


def _read_block(block: types.ContentBlock) -> str | Image:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent():
            return _read_image(block.data, block.mime_type)
        case types.AudioContent():
            return f"[{block.mime_type} of {len(block.data):,} characters in base64, which can't be heard here]"
        case types.ResourceLink():
            return f"[resource {block.name}: {block.uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return f"[resource {resource.uri}]\n{resource.text}"
        case types.EmbeddedResource(resource=resource):
            return f"[resource {resource.uri}: {resource.mime_type or 'bytes'}, which is not text]"
        case _:
            assert_never(block)


def _read_image(data: str, media_type: str) -> str | Image:
    try:
        return Image.from_bytes(base64.b64decode(data, validate=True))
    except (Base64Error, ValueError, ConfigurationError):
        return f"[{media_type}, which is not an image that can be shown]"


def _say(texts: Sequence[str], structured: Any) -> bool:
    """Tell whether the texts say what the structured content says.

    Servers wrap a value that is no object into one with a single key: `{"result": "..."}`. They write a list as one
    text for each entry.
    """
    fields = cast("dict[str, Any]", structured) if isinstance(structured, dict) else {}
    values: list[Any] = [structured, *fields.values()] if len(fields) == 1 else [structured]
    return any(_say_value(texts, value) for value in values)


def _say_value(texts: Sequence[str], value: Any) -> bool:
    whole = [*texts, "\n".join(texts), "".join(texts)] if texts else []
    if any(_says(text, value) for text in whole):
        return True
    entries = _flatten(cast("object", value), len(texts)) if isinstance(value, list) else []
    return len(texts) == len(entries) > 0 and all(map(_says, texts, entries))


def _flatten(value: object, most: int) -> list[Any]:
    """Return the entries of a list and of the lists in it, in their order; one more than so many are enough."""
    entries: list[Any] = []
    rest: list[object] = [value]
    while rest and len(entries) <= most:
        each = rest.pop()
        if isinstance(each, list):
            rest += reversed(cast("list[object]", each))
        else:
            entries.append(each)
    return entries


def _says(text: str, value: Any) -> bool:
    if isinstance(value, str) and text.strip() == value.strip():
        return True
    try:
        return bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False
