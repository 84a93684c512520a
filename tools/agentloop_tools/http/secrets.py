"""Secrets: values of environment variables, put in when a request is sent and taken out of whatever comes back."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

from agentloop import ConfigurationError
from agentloop_tools.http.config import NAMES, names_in

_LEAST_CHARACTERS = 6


class Secrets:
    """The secrets of an API, as they are at this moment. What is shown of them is their names.

    Args:
        templates: What they are put into, `Bearer {MY_TOKEN}`.
        environment: Where they are.

    Raises:
        ConfigurationError: one is not set, or can't be one.
    """

    def __init__(self, templates: Iterable[str], environment: Mapping[str, str]) -> None:
        names = dict.fromkeys(name for template in templates for name in names_in(template))
        self._values = {name: environment.get(name, "").strip() for name in names}
        for name, value in self._values.items():
            if not value:
                raise ConfigurationError(f"the environment variable {name} is not set", hint=f"export {name}=...")
            if len(value) < _LEAST_CHARACTERS or not value.isascii() or not value.isprintable():
                raise ConfigurationError(
                    f"the environment variable {name} is no secret of one line of ASCII, {_LEAST_CHARACTERS} or longer"
                )
        longest_first = sorted(self._values.items(), key=lambda item: -len(item[1]))
        self._patterns = [(re.compile(_spellings(value), re.IGNORECASE), f"[{name}]") for name, value in longest_first]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def fill(self, template: str) -> str:
        """Return a template with its secrets put in."""
        return NAMES.sub(lambda found: self._values.get(found[1], found[0]), template)

    def redact(self, text: str) -> str:
        """Return a text with names in place of secrets, also where those are escaped or in base64."""
        for pattern, name in self._patterns:
            text = pattern.sub(name, text)
        return text


def _spellings(value: str) -> str:
    """Return a pattern of a secret as JSON, URLs, HTML and base64 may spell it."""
    return "|".join(("".join(map(_spell, value)), *(_pack(value.encode(), before) for before in range(3))))


def _pack(value: bytes, before: int) -> str:
    """Return a pattern of base64 with so many bytes before the value; its ends depend on what stands beside it."""
    first, end = -(-8 * before // 6), 8 * (before + len(value)) // 6
    packed = base64.b64encode(bytes(before) + value).decode()[first:end]
    return re.escape(packed).replace(r"\+", "[+-]").replace("/", "[/_]")


def _spell(character: str) -> str:
    code = ord(character)
    plus = r"|\+" if character == " " else ""
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;"}.get(character, "")
    return rf"(?:\\?{re.escape(character)}|\\u00{code:02x}|%{code:02x}|&#0*{code};|&#x0*{code:x};{plus}{named})"
