"""Reads and signs the JSON of a stored run.

A signature is the HMAC-SHA256 of the content. It does not depend on blanks and on the order of fields, so that a column
for JSON may write the text anew. What is returned is what the signature was checked for, not the text.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from hashlib import sha256
from math import inf
from typing import Any, TypeAlias, cast

from agentloop.errors import ConfigurationError, RunStateError
from agentloop.items import JsonObject

Key: TypeAlias = str | bytes | Sequence[str | bytes]
"""A secret text, or several: the first one signs, and each of them is accepted."""

_SIGNATURE = "signature"
_PURPOSE = b"agentloop stored run 1\n"  # so that a signature for another purpose, with the same key, is none here
_FORMER_FIELDS = {"landing": "final_turn_reason", "misfits": "output_failures", "unfit": "output_invalid"}
_FORMER_FLAGS = {"nudged": "empty_reply", "pressed": "tool_choice", "forming": "output_format"}


def sign_json(text: str, key: Key) -> str:
    """Return the JSON text of an object with its signature.

    Raises:
        ConfigurationError: the key is empty.
    """
    stored: JsonObject = json.loads(text)
    return json.dumps({**stored, _SIGNATURE: _sign(stored, _read_keys(key)[0])}, ensure_ascii=False)


def parse_stored(data: str | bytes, key: Key | None) -> JsonObject:
    """Return the fields of a stored run with their present names.

    Raises:
        ConfigurationError: the key is empty.
        RunStateError: the text is not a JSON object, or a key was given and the object is not signed with it.
    """
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise refuse_stored("the text", error) from None
    if not isinstance(parsed, dict):
        raise refuse_stored("the text", "it is not a JSON object")
    stored = cast("JsonObject", parsed)
    signature = stored.pop(_SIGNATURE, None)
    if key is not None:
        try:
            _check(stored, signature, _read_keys(key))
        except RecursionError as error:  # Python reads deeper JSON than it can write
            raise refuse_stored("the text", error) from None
    return _rename(stored)


def refuse_stored(where: str, why: object) -> RunStateError:
    """Return the error about a text that is not a stored run."""
    return RunStateError(
        f"this is not a stored run: {where}: {why}", hint="pass the complete text that run.to_json() returned"
    )


def find_false_number(*holders: Any) -> str | None:
    """Return the name of a field of these dataclasses that is a number, but no count and no time, or None."""
    for name, value in ((each.name, getattr(holder, each.name)) for holder in holders for each in fields(holder)):
        numbers = cast("Mapping[str, object]", value).values() if isinstance(value, Mapping) else (value,)
        if any(isinstance(number, (int, float)) and not 0 <= number < inf for number in numbers):
            return name
    return None


def _check(stored: JsonObject, signature: object, keys: Iterable[bytes]) -> None:
    if not isinstance(signature, str):
        raise RunStateError(
            "this stored run is not signed",
            hint="store it with run.to_json(key=...); a run from before you had a key is read once without one",
        )
    given = signature.encode(errors="replace")
    if not any(hmac.compare_digest(given, _sign(stored, key).encode()) for key in keys):
        raise RunStateError(
            "this stored run was changed, or it was signed with another key",
            hint="don't resume it; if you have replaced the key, give both: key=[new, old]",
        )


def _sign(stored: JsonObject, key: bytes) -> str:
    content = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, _PURPOSE + content.encode(), sha256).hexdigest()


def _read_keys(key: Key) -> list[bytes]:
    given = [key] if isinstance(key, (str, bytes)) else list(key)
    keys = [each.encode() if isinstance(each, str) else each for each in given]
    if not keys or not all(keys):
        raise ConfigurationError(
            "the key of a stored run is empty", hint="give a secret text, such as that of secrets.token_hex(32)"
        )
    return keys


def _rename(stored: JsonObject) -> JsonObject:
    """Return a stored run with the present names of its fields."""
    if not stored.keys() & {*_FORMER_FIELDS, *_FORMER_FLAGS}:
        return stored
    flags = [turn for flag, turn in _FORMER_FLAGS.items() if stored.pop(flag, False)]
    named = {_FORMER_FIELDS.get(name, name): value for name, value in stored.items()}
    return {"extra_turns": flags, **named}
