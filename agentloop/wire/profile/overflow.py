"""Reads from an error message the size of the model's context window and of the request that was too long for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SMALLEST_WINDOW = 256  # a smaller figure is wrong: vLLM 0.15 subtracts the tokens reserved for the reply


def _patterns(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text.replace("<N>", r"(\d[\d,]{0,20})"), re.IGNORECASE) for text in texts)


# If several patterns match, the first one counts.
_WINDOW: Final = _patterns(
    r"context (?:length|size|window) (?:is|of) (?:only )?<N>",  # OpenAI, vLLM, SGLang, OpenRouter, LM Studio
    r"context (?:length|size|window) \(<N>",  # llama.cpp, SGLang
    r"maximum (?:model|prompt|sequence) length (?:of|is) <N>",  # vLLM, xAI
    r"> <N> maximum",  # Anthropic
    r"context limit: \d+ \+ \d+ > <N>",  # Anthropic
    r"with <N> maximum context length",  # Mistral
    r"tokens allowed \(<N>",  # Google
    r"configured limit of <N>",  # OpenAI, newer messages
    r"maximum allowed length \(?<N>",  # SGLang
    r"must have less than <N>",  # older TGI
    r"must be <= <N>",  # TGI
    r"max_seq_len <N>",
)
_TOKENS: Final = _patterns(
    r"\(<N> in (?:the|your) (?:messages|prompt)",  # OpenAI, older vLLM
    r"(?:requested|resulted in|passed|has|contains|too long:) (?:about |a total of |at least )?<N> (?:input )?tokens",
    r"(?:request|input|prompt|input length|requested tokens|token count) \((?:length )?<N>",
    r"context limit: <N>",  # Anthropic
    r"given: <N>(?: `inputs`|$)",  # TGI
)
_EXCESS: Final = _patterns(r"max_tokens must be at least 1, got -<N>")  # vLLM behind OVHcloud's gateway


@dataclass(frozen=True, slots=True)
class Overflow:
    """The figures in a server's message about a request that was too long; None for each figure it did not give.

    Attributes:
        window: The size of the model's context window in tokens.
        tokens: The size of the request in tokens. Some servers include the tokens reserved for the reply.
        excess: The number of tokens by which the request was too long.
    """

    window: int | None = None
    tokens: int | None = None
    excess: int | None = None


def read_overflow(message: str) -> Overflow:
    """Return the figures in an error message about the context window and the request."""
    window, tokens, excess = (_find(patterns, message) for patterns in (_WINDOW, _TOKENS, _EXCESS))
    if window is not None and window < _SMALLEST_WINDOW:
        window = None
    return Overflow(window, tokens, excess)


def _find(patterns: tuple[re.Pattern[str], ...], message: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(message))), None)
    return None if found is None else int(found[1].replace(",", ""))
