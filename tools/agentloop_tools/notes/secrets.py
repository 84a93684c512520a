"""Removes texts that look like secrets. It finds the usual forms, and is not a security boundary. Pure."""

from __future__ import annotations

import re

REMOVED = "[secret removed]"

_KEY_BLOCK = r"PRIVATE KEY(?: BLOCK)?-----"
_NAME = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
_FORMS = (
    rf"-----BEGIN [A-Z ]{{0,30}}{_KEY_BLOCK}[\s\S]*?(?:-----END [A-Z ]{{0,30}}{_KEY_BLOCK}|\Z)",
    r"\b(?:sk|pk|rk)[-_](?:[A-Za-z]{2,10}[-_]){0,3}[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, Stripe
    r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|pypi-|xox[abeprs]-|shpat_|dop_v1_|lin_api_)[A-Za-z0-9_-]{10,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",  # JSON web tokens
)
# The text after such a name is a secret, whatever it looks like. The name is kept.
_NAMED = (
    rf"(?i)(\b(?:[A-Z0-9]{{0,40}}[_-])?{_NAME}[\"']?\s{{0,5}}[:=]\s{{0,5}}[\"']?)(?!\[secret rem)[^\s\"',;]{{6,}}",
    r"(?i)(\b(?:bearer|basic)\s{1,5})[A-Za-z0-9._~+/=-]{16,}",
    r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,100}:)[^\s/@]{1,200}(?=@)",  # an address with a password
)
_SECRET = re.compile("|".join(_FORMS))
_AFTER_NAME = tuple(map(re.compile, _NAMED))


def remove_secrets(text: str) -> tuple[str, int]:
    """Return the text without keys, tokens and passwords, and how many of them were found."""
    text, found = _SECRET.subn(REMOVED, text)
    for form in _AFTER_NAME:
        text, count = form.subn(rf"\g<1>{REMOVED}", text)
        found += count
    return text, found
