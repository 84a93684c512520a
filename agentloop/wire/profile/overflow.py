"""Tells from a server's words whether a request was too long for the model's context window, and by how much.

The tables are the only place that knows the wordings. `failures` asks whether it was an overflow; the figures say how
much of the conversation to leave out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from agentloop.wire.rare_pattern import RarePattern

_SMALLEST_WINDOW = 256  # a smaller figure is wrong: vLLM 0.15 subtracts the tokens reserved for the reply


def _patterns(*texts: str) -> tuple[RarePattern, ...]:
    return tuple(RarePattern(text.replace("<N>", r"(\d[\d,]{0,20})")) for text in texts)


_CONTEXT = r"context[ _-]?(?:length|size|window|limit)"
_TOO_MUCH = r"(?:exceed\w{0,3}|overflow\w{0,3}|longer|larger|greater|too (?:long|large)|max(?:imum)?|only|reduce)"
_INPUT = r"(?:input|prompt)(?:[ _](?:length|tokens?|size)){0,2}(?: count)?"

# What servers say about a request that is too long.
_SIGNS: Final = _patterns(
    rf"{_TOO_MUCH}\b.{{0,120}}\b{_CONTEXT}|\b{_CONTEXT}.{{0,120}}\b{_TOO_MUCH}",  # most servers
    r"exceed_context_size|context_(?:length|window)_exceeded|model_max_prompt_tokens|tokens_limit_reached|too_many_prompt_tokens",
    r"max_tokens must be at least 1, got -",  # vLLM behind OVHcloud's gateway
    r"(?:prompt|input|messages|conversation) (?:is |are )?too (?:long|large)|prompt ?超长",  # Anthropic, Bedrock, Z.ai
    r"too large for [\w.:/-]{1,80} model\b.{0,40} tokens",  # GitHub Models
    rf"{_INPUT}\b.{{0,60}}(?:exceeds?|is (?:longer|greater|more) than|must (?:be (?:<|less)|have less)|should be \[)",
    r"maximum (?:allowed )?(?:model|sequence|prompt|input) length|max_seq_len",  # vLLM, xAI, SGLang
    r"too many (?:input |prompt )?tokens in (?:the |your )?prompt|too many (?:input|prompt) tokens",
    r"number of tokens (?:allowed|in the prompt cannot)|number of input tokens",  # Google, Cohere, watsonx
    r"token count exceeds|exceeded model token limit|tokens in request more than|exceed max message tokens",
    r"token limit exceeded|input token count is [\d,]{1,20} but",  # Vertex AI
    r"reduce the length of (?:the |your )?(?:messages|prompt|input)",  # Groq, Cerebras
    r"prompt exceeds max length|out of context|`inputs` tokens \+",  # Z.ai, llama.cpp, TGI
    r"tokens to keep from the initial prompt",  # LM Studio
    r"message size \d{1,20} exceeds limit|configured context size",  # Moonshot, DS4
    r"\bcontext (?:window )?(?:is )?full\b",
    r"(?:longer than|greater than|exceed\w{0,3}|>)(?: the)? ?(?:n_ctx|max_model_len|max_input_(?:length|tokens))\b",
    r"\b(?:sequence length|tokens: total|input tokens|prompt tokens|prompt) \d{1,20} ?>|max(?:imum)? context is \d",
    r"exceed\w{0,3} (?:the )?(?:model'?s? )?(?:max\w{0,4} )?(?:sequence length|input (?:length|limit|size)|window)",
    r"\d tokens\b,? (?:but (?:the )?(?:context|window|limit)|limit\b|more than the \d|> max)",
    r"too large: [\d,]{1,20} tokens|\bexceeds? the .{0,30}\bwindow of \d|tokens\) \+ .{0,40} > max",
    r"(?:上下文|输入|提示词).{0,20}(?:超过|超出|过长|太长)",
)
# What they say about something else that counts tokens: a crash, a rate limit, or a reply that may be too long.
_CRASH: Final = RarePattern(
    r"crash|timed? ?out|time-out|traceback|out of memory|cuda error"
    r"|tokeni[sz]er\b.{0,20}\b(?:fail|error|exception|panic)",
)
_RATE: Final = RarePattern(
    r"rate[ _-]?limit|per[ -](?:minute|hour|day)|\b[TR]PM\b|too many requests|throttl|please wait"
)
_LONG_REPLY: Final = RarePattern(
    r"(?<!and )(?<!and [`'\"])(?<!\+ )(?<!\+ [`'\"])max_(?:completion_|output_|new_)?tokens\b[`'\")]{0,2}"
    r"(?: \(?\d{1,15}\)?| value| parameter)? (?:is |was |are )?"
    r"(?:too (?:large|high|big)|exceeds?|cannot exceed|(?:must|should) (?:not exceed|be (?:<|less|at most|between)))"
    r"|tokens you requested exceed"  # Bedrock
    r"|\brange of max_tokens|\bmax_tokens: \d{1,15} >",  # DashScope, DeepSeek; Anthropic
)

# The figures. If several patterns match, the first one counts.
_WINDOW: Final = _patterns(
    r"context (?:length|size|window) (?:is|of) (?:only )?<N>",  # OpenAI, vLLM, SGLang, OpenRouter, LM Studio
    r"context (?:length|size|window)(?: limit)? \(<N>",  # llama.cpp, SGLang, Cloudflare
    r"maximum context length: <N>",  # Fireworks
    r"maximum (?:model|prompt|sequence) length (?:of|is) <N>",  # vLLM, xAI
    r"> <N> maximum",  # Anthropic
    r"context limit: \d+ \+ \d+ > <N>",  # Anthropic
    r"with <N> maximum context length",  # Mistral
    r"tokens allowed:? \(?<N>",  # Google
    r"(?:configured|exceeds the) limit of <N>",  # OpenAI, newer messages; Copilot
    r"allowed (?:input )?length (?:of )?\(?<N>",  # SGLang, Poolside
    r"must have less than <N>",  # older TGI
    r"must be <= <N>",  # TGI
    r"max_seq_len \(?<N>",
    r"input length should be \[\d{1,9}, ?<N>\]",  # DashScope
    r"token limit: <N>",  # Moonshot
    r"max size: <N> tokens",  # GitHub Models
    r"(?:input tokens exceeds|prompt cannot exceed|tokens limit|limit is|max input tokens:) <N>",  # Perplexity, Cohere
    r"supports (?:only )?up to <N>",  # Vertex AI
)
_TOKENS: Final = _patterns(
    r"\(<N> in (?:the|your) (?:messages|prompt)",  # OpenAI, older vLLM
    r"(?:requested|resulted in|passed|has|contains|too long:) (?:about |a total of |at least )?<N> (?:input )?tokens",
    r"(?:request|input|prompt|input length|requested tokens|token count|prompt_tokens) \((?:length )?<N>",
    r"(?:input length|token count(?: of| is|:)|input tokens|current length is|requested:|received) <N>",
    r"context limit: <N>",  # Anthropic
    r"given: <N>(?: `inputs`|$)",  # TGI
    r"maximum output tokens \(<N>",  # Cloudflare
)
_REPLY: Final = _patterns(
    r"<N> in the (?:completion|output)",  # OpenAI, OpenRouter
    r"tokens[`'\"]? is too large: <N>",  # vLLM
    r"requested <N> output tokens",  # vLLM
    r"context limit: \d{1,20} \+ <N>",  # Anthropic
    r"and <N> `max_new_tokens`",  # TGI
)
_EXCESS: Final = _patterns(
    r"max_tokens must be at least 1, got -<N>",  # vLLM behind OVHcloud's gateway
    r"context length by <N> tokens",  # Ollama
)


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


def find_excess(message: str) -> Literal["conversation", "reply"] | None:
    """Return what is too long for the model's context window, as a message says, or None.

    It is the reply if so much room is asked for it that hardly any conversation is short enough. A message about a rate
    limit on tokens, or about a server that failed, says nothing about the window.
    """
    if _RATE.search(message) or _CRASH.search(message):
        return None
    is_long_reply = _LONG_REPLY.search(message) is not None
    if not any(sign.search(message) for sign in _SIGNS):
        return "reply" if is_long_reply else None
    window, reply = _find(_WINDOW, message), _find(_REPLY, message)
    if window is not None and reply is not None:
        is_long_reply = reply * 4 > window * 3
    return "reply" if is_long_reply else "conversation"


def is_overflow(message: str) -> bool:
    """Return whether a message says that the conversation is too long for the model's context window."""
    return find_excess(message) == "conversation"


def read_overflow(message: str) -> Overflow:
    """Return the figures in an error message about the context window and the request."""
    window, tokens, excess = (_find(patterns, message) for patterns in (_WINDOW, _TOKENS, _EXCESS))
    if window is not None and window < _SMALLEST_WINDOW:
        window = None
    return Overflow(window, tokens, excess)


def _find(patterns: tuple[RarePattern, ...], message: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(message))), None)
    return None if found is None else int(found[1].replace(",", ""))
