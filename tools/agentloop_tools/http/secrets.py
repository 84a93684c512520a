"""Secrets: values of environment variables that are put into requests, and removed from answers and errors."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

from agentloop import ConfigurationError
from agentloop_tools.http.config import NAMES, names_in

_LEAST_CHARACTERS = 6


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
        longest_first = sorted(self._values.items(), key=lambda item: -len(item[1]))
        self._patterns = [
            (re.compile(_match_encodings(value), re.IGNORECASE), f"[{name}]") for name, value in longest_first
        ]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def fill(self, template: str) -> str:
        """Return a template with its secrets."""
        return NAMES.sub(lambda found: self._values.get(found[1], found[0]), template)

    def redact(self, text: str) -> str:
        """Return a text with the names of secrets in their place, also where a secret is escaped or in base64."""
        for pattern, name in self._patterns:
            text = pattern.sub(name, text)
        return text


def _match_encodings(value: str) -> str:
    """Return a pattern that matches a secret as it may be written in JSON, URLs, HTML and base64."""
    return "|".join(("".join(map(_match_character, value)), *(_match_base64(value.encode(), n) for n in range(3))))


def _match_base64(value: bytes, before: int) -> str:
    """Return a pattern of the value in base64, after so many other bytes.

    The characters at its two ends are left out, because they depend on the bytes beside the value.
    """
    first, end = -(-8 * before // 6), 8 * (before + len(value)) // 6
    encoded = base64.b64encode(bytes(before) + value).decode()[first:end]
    return re.escape(encoded).replace(r"\+", "[+-]").replace("/", "[/_]")


def _match_character(character: str) -> str:
    code = ord(character)
    plus = r"|\+" if character == " " else ""
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;"}.get(character, "")
    return rf"(?:\\?{re.escape(character)}|\\u00{code:02x}|%{code:02x}|&#0*{code};|&#x0*{code:x};{plus}{named})"
