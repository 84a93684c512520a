"""Reads an error body of any shape: the words, the codes and the waits in it, however deep they are nested.

A server may be hostile, so what is read has a limit: bytes, levels, parts, and characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from agentloop.items import JsonObject
from agentloop.wire.payload import dump, load, mapping, mappings

_LARGEST_BYTES = 65_536
_LONGEST_WORDS = 4000
_LONGEST_CODE = 200
_DEEPEST = 8
_MOST_PARTS = 200
_MOST_ENTRIES = 10

# The names of fields, as `squeeze` writes them. Words stand under these names, themselves or deeper:
_WORDS = (
    *("error", "message", "msg", "detail", "errormessage", "errormsg", "errmsg", "errordescription", "statusmsg"),
    *("statusmessage", "errorreason", "failurereason"),
    *("title", "errors", "details", "description", "baseresp", "choices", "metadata", "raw", "reasons"),
    *("cause", "causes", "innererror", "upstreamerror", "originalerror", "exception"),
    *("err", "fault", "faultstring"),
)
# Where one of them stands beside nothing of a reply, the body is an error. A `message` that is an object is a reply.
_ALONE = frozenset(
    {
        *("message", "detail", "msg", "error", "errors", "errormsg", "errormessage", "errmsg", "err", "fault"),
        *("exception", "errorreason", "failurereason"),
    }
)
_REASON = "reason"  # words or a code: Google's is one word
_CODES = ("statuscode", "errcode", "errorcode", "code")  # the last one outweighs the others
_KINDS = ("errortype", "type")
_OTHER_CODES = ("status", "reason")  # Google
_WAITS = re.compile(
    r"retry(?:after|delay|in|at)|estimatedtime|(?:resets?|wait)(?:at|after|in|time|seconds|ms)|ratelimit.{0,20}reset"
)
_HOLD_WAITS = ("headers", "metadata", "parameters", "data", "extra")
_FINE = (0, 200, "0", "200")  # codes that gateways send with every reply
_NOTHING = frozenset({"", "null", "{}", "[]", '""'})
_FAILED = ("error", "failed", "failure")
_BAD_REQUEST = 400
_SAYS_ERROR = re.compile(r"error|fail|exception|invalid|denied|exceeded|limit|missing|forbidden", re.IGNORECASE)
_HTML_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_EVENT_FIELD = re.compile(r"(?:event: ?\w{0,20}\s{1,4})?(?:data|error):?", re.IGNORECASE)
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body says.

    Attributes:
        message: The server's own words, the outermost first; "" if it gave none.
        code: The innermost code, or "".
        kind: The innermost type of error, or "".
        codes: Every code, type, status and reason, as `squeeze` writes them, the innermost last.
        waits: Every field that says how long to wait, by its name as `squeeze` writes it.
        is_page: Whether it is a web page; its title is the message.
    """

    message: str
    code: str = ""
    kind: str = ""
    codes: tuple[str, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict[str, str])
    is_page: bool = False


def read_error_body(payload: object) -> ErrorBody:
    """Return what an error body says.

    Args:
        payload: The bytes of a body, or a JSON value. Known shapes are `{"error": {...}}`, `{"error": "..."}`,
            `{"message": ...}`, `{"detail": ...}`, `{"code": ..., "msg": ...}`, `{"errors": [...]}`,
            `{"base_resp": {...}}`, each of them in an array, in JSON text or inside another one; web pages; and text.
    """
    if isinstance(payload, (bytes, bytearray)):
        payload = payload[:_LARGEST_BYTES].decode("utf-8", "replace")
    reading = _Reading()
    reading.take(payload)
    return reading.finish(payload)


def is_failure(payload: JsonObject) -> bool:
    """Return whether a body or event that came with the status 200 has the shape of an error."""
    if payload.get("error"):
        return True
    if "base_resp" in payload and mapping(payload["base_resp"]).get("status_code") not in (None, *_FINE):
        return True  # MiniMax sends it with every reply
    return not payload.get("choices") and _has_words_alone(payload)


def first_object(value: object) -> JsonObject:
    """Return the JSON object in a body or event: the value itself, the first of an array, or what a text holds.

    Google's gateway puts errors into an array, and others encode them twice. An empty object stands for anything else.
    """
    if isinstance(value, dict):  # nearly always
        return cast("JsonObject", value)
    if isinstance(value, list):
        return next(iter(mappings(cast("object", value))), JsonObject())
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return mapping(load(value.encode()))
        except ValueError:
            pass
    return {}


def squeeze(name: str) -> str:
    """Return the letters and digits of a name in lower case, because servers write `retry_after` and `retryAfter`."""
    return "".join(filter(str.isalnum, name[:_LONGEST_CODE])).lower()


class _Reading:
    """What has been read of one body so far."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._code = self._kind = ""
        self._codes: list[str] = []
        self._waits: dict[str, str] = {}
        self._is_page = False
        self._parts_left = _MOST_PARTS

    def take(self, value: object, depth: int = 0, where: str = "") -> None:
        """Take a JSON value, and what is nested in it; `where` comes before its words."""
        self._parts_left -= 1
        if self._parts_left < 0 or depth > _DEEPEST:
            return
        if isinstance(value, str):
            self._take_text(value.strip(), depth, where)
        elif isinstance(value, list):
            self._take_list(cast("list[object]", value), depth)
        elif isinstance(value, dict):
            self._take_fields(cast("JsonObject", value), depth)

    def finish(self, payload: object) -> ErrorBody:
        """Return all that was read."""
        words: list[str] = []
        for word in self._words:
            if not any(word in other for other in words):
                words = [*(other for other in words if other not in word), word]
        message = ": ".join(words)
        if not words and payload and not isinstance(payload, str):
            message = dump(mapping(payload).get("error") or payload).decode()
        return ErrorBody(
            message[:_LONGEST_WORDS], self._code, self._kind, tuple(self._codes), self._waits, self._is_page
        )

    def _take_fields(self, fields: JsonObject, depth: int) -> None:
        by_name: dict[str, object] = {squeeze(name): fields[name] for name in fields if not name.startswith("@")}
        self._code = self._take_codes(by_name, _CODES) or self._code
        self._kind = self._take_codes(by_name, _KINDS) or self._kind
        self._take_codes(by_name, _OTHER_CODES)
        self._take_waits(by_name)
        for name in _HOLD_WAITS:
            self._take_waits(mapping(by_name.get(name)))
        where = _location(by_name)
        named = [by_name[name] for name in _WORDS if name in by_name]
        if _is_prose(by_name.get(_REASON)):
            named.append(by_name[_REASON])
        # What stands here is further out than what is nested in it.
        for value in sorted(named, key=_is_nested):
            self.take(value, depth + 1, where)

    def _take_list(self, entries: list[object], depth: int) -> None:
        # FastAPI sends a list of faults, of which the words of the first one are enough. Google's list has the wait in
        # one entry and the words in another.
        begin = len(self._words)
        for entry in entries[:_MOST_ENTRIES]:
            before = len(self._words)
            self.take(entry, depth + 1)
            if before > begin:
                del self._words[before:]

    def _take_text(self, text: str, depth: int, where: str) -> None:
        if _is_page(text) and text[0] not in "{[":  # JSON may quote the page of another server
            self._is_page = True
            title = _HTML_TITLE.search(text[:_LARGEST_BYTES])
            words = " ".join(title[1].split()) if title else ""
            self._add(f"a web page, {words!r}" if words else "a web page")
        elif text not in _NOTHING and not self._take_json(text, depth):
            self._add(where + text)

    def _take_json(self, text: str, depth: int) -> bool:
        """Take a text that is JSON or holds a JSON object; return whether it holds words."""
        text = text[:_LARGEST_BYTES]
        start = 0 if text[:1] in ("[", '"') else max(text.find("{"), 0)
        try:
            value, end = cast("tuple[object, int]", _DECODER.raw_decode(text, start))
        except (ValueError, RecursionError):
            return False
        if not mapping(value) and (start, end) != (0, len(text)):
            return False
        before, after = text[:start].strip(" \n:-["), text[end:].strip(" \n:.-]")
        count = len(self._words)
        self.take(value, depth + 1)
        found = len(self._words) > count
        if found and before and not _EVENT_FIELD.fullmatch(before):
            self._words.insert(count, _clean(before))
        if found and after:
            self._add(after)
        return found

    def _take_codes(self, by_name: Mapping[str, object], names: tuple[str, ...]) -> str:
        """Take the codes under these names, and return the last one."""
        last = ""
        for name in names:
            code = by_name.get(name)
            # "error" is the type of an event, not of an error.
            if code and isinstance(code, (str, int)) and code is not True and code != "error":
                last = _clean(str(code))[:_LONGEST_CODE]
                self._codes.append(squeeze(last))
        return last

    def _take_waits(self, fields: Mapping[str, object]) -> None:
        for name, value in fields.items():
            if isinstance(value, (str, int, float)) and _WAITS.search(squeeze(name)):
                self._waits[squeeze(name)] = str(value)[:_LONGEST_CODE]

    def _add(self, text: str) -> None:
        self._words.append(_clean(text))


def _is_prose(value: object) -> bool:
    return isinstance(value, str) and " " in value.strip()


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list))


def _is_page(text: str) -> bool:
    start = text[:1000].lower()
    return "<html" in start or "<!doctype" in start


def _has_words_alone(payload: JsonObject) -> bool:
    # Other events may have the status of a step, such as a search.
    names = ("type", "object") if payload.get("type") else ("object", "status")
    if any(payload.get(name) in _FAILED for name in names):
        return True
    code = payload.get("code")
    if code in _FINE:
        return False
    if payload.get("success") is False or (type(code) is int and code >= _BAD_REQUEST):
        return True
    has_words = any(
        payload[name] and isinstance(payload[name], (str, list) if squeeze(name) == "message" else (str, list, dict))
        for name in payload
        if squeeze(name) in _ALONE
    )
    has_words = has_words or _is_prose(payload.get(_REASON))
    # Gateways report their progress in events with a type and a message.
    return has_words and (not payload.get("type") or _SAYS_ERROR.search(str(payload["type"])) is not None)


def _location(fields: Mapping[str, object]) -> str:
    """Return the path to the field in which FastAPI found a fault, such as `body.input.0: `, or ""."""
    where = fields.get("loc")
    steps = cast("list[object]", where) if isinstance(where, list) else []
    return ".".join(str(step) for step in steps if isinstance(step, (str, int))) + ": " if steps else ""


def _clean(text: str) -> str:
    """Return a text without halves of surrogate pairs, which can't be written to a file or a terminal."""
    return text[:_LONGEST_WORDS].encode("utf-8", "replace").decode()
