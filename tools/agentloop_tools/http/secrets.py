"""Secrets: values of environment variables that are put into requests, and removed from answers and errors."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import unquote

from agentloop import ConfigurationError
from agentloop_tools.http.config import NAMES, names_in

_LEAST_CHARACTERS = 6
_BASE64 = {"+": "[+-]", "/": "[/_]"}
_URL_SAFE = str.maketrans("-_", "+/")


class Secrets:
    """The current secrets of an API. Only their names are shown.

    Args:
        templates: The texts that they are put into, such as `Bearer {MY_TOKEN}`.
        environment: The variables with the secrets.

    Raises:
        ConfigurationError: a secret is not set, or is not valid.
    """

    def __init__(self, templates: Iterable[str], environment: Mapping[str, str]) -> None:
        names = dict.fromkeys(name for template in templates for name in names_in(template))
        self._values = {name: environment.get(name, "").strip() for name in names}
        for name, value in self._values.items():
            if not value:
                raise ConfigurationError(f"the environment variable {name} is not set", hint=f"export {name}=...")
            if len(value) < _LEAST_CHARACTERS or not value.isascii() or not value.isprintable():
                raise ConfigurationError(
                    f"the environment variable {name} is not a valid secret: it must be one line of ASCII, at least "
                    f"{_LEAST_CHARACTERS} characters long"
                )
        readings = [(name, reading) for name, value in self._values.items() for reading in _read(value)]
        self._patterns = [
            (pattern, f"[{name}]")
            for name, reading in sorted(readings, key=lambda item: -len(item[1]))
            for pattern in _match_encodings(reading)
        ]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def fill(self, template: str) -> str:
        """Return a template with its secrets."""
        return NAMES.sub(lambda found: self._values.get(found[1], found[0]), template)

    def redact(self, text: str) -> str:
        """Return a text with the names of secrets in their place.

        A secret is found as it is, escaped for JSON, URLs or HTML, in base64 and in hexadecimal. So is what it decodes
        to: the password in the token of `Basic`. Any other form of it is not found, such as a hash, a part of it, or a
        compressed or encrypted text.
        """
        for pattern, name in self._patterns:
            text = pattern.sub(name, text)
        return text


def _read(value: str) -> set[str]:
    """Return a secret and the texts that it decodes to, with the parts between colons that are long enough."""
    decoded = {value, unquote(value)}
    for decode in (_decode_base64, bytes.fromhex):
        with suppress(ValueError):  # it is not written so, or does not decode to text
            decoded.add(decode(value).decode())
    texts = {part for text in decoded if text.isprintable() for part in (text, *text.split(":"))}
    return {text for text in texts if len(text) >= _LEAST_CHARACTERS}


def _decode_base64(value: str) -> bytes:
    plain = value.rstrip("=").translate(_URL_SAFE)
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _match_encodings(value: str) -> Iterator[re.Pattern[str]]:
    """Yield patterns that match a secret as it may be written in JSON, URLs, HTML, base64 and hexadecimal.

    They are not joined into one, which would take several times as long.
    """
    data = value.encode()
    yield re.compile("".join(map(_match_character, value)), re.IGNORECASE)
    yield from (re.compile(_match_base64(data, before)) for before in range(3))
    yield re.compile(_match_hex(data), re.IGNORECASE)


def _match_hex(value: bytes) -> str:
    """Return a pattern of the value in hexadecimal, with or without something between the bytes."""
    return r"(?:[ :,-]?(?:0x|\\x)?)".join(f"{byte:02x}" for byte in value)


def _match_base64(value: bytes, before: int) -> str:
    """Return a pattern of the value in base64, after so many other bytes.

    The characters at its two ends are left out, because they depend on the bytes beside the value.
    """
    first, end = -(-8 * before // 6), 8 * (before + len(value)) // 6
    encoded = base64.b64encode(bytes(before) + value).decode()[first:end]
    # Long base64 may be folded, and a line end may be escaped.
    return r"(?:\s|\\r|\\n){0,4}".join(_BASE64.get(character, character) for character in encoded)


def _match_character(character: str) -> str:
    code = ord(character)
    plus = r"|\+" if character == " " else ""
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;"}.get(character, "")
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode())
    return rf"(?:\\?{re.escape(character)}|\\u{code:04x}|{percent}|&#0*{code};|&#x0*{code:x};{plus}{named})"
