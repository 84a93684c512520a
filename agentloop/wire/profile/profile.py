"""Describes an endpoint or a model as data: Profile, ModelSettings, Endpoint.

A quirk of a server is a documented field here, never an `if` elsewhere. `providers` says which provider has which
quirk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from agentloop.errors import ConfigurationError
from agentloop.options import FIELDS, FLAG, HEADERS, TEXT, check_options, instance_of, number, one_of, whole_number
from agentloop.schema import DISPENSABLE

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high"]
Route: TypeAlias = Literal["responses", "chat"]
HttpClient: TypeAlias = Literal["auto", "httpx", "aiohttp"]
StructuredOutput: TypeAlias = Literal["text_format", "response_format", "json_object", "prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one kind of server, or one model on it, can and can't do.

    The defaults are right for an unknown OpenAI-compatible server. A lesson from a server's refusal replaces a field
    for that base URL and model.

    Attributes:
        route: The API to use: `/v1/responses` or `/v1/chat/completions`.
        tool_calling: `native` if the server accepts `tools`. `prompted` if the model has no tool calling: the tools are
            then described in its system text, and `structured_output` says how its output is held to a JSON schema.
        small_model: The model is so small that it repeats its call while tools are on offer, and otherwise rambles or
            writes calls as text. In `prompted` calling it is offered tools once after a question, and then held to
            one short sentence (measured on SmolLM2-135M).
        tool_items: How calls and results are written on `/v1/responses`: `native` `function_call` items, or the
            `message` items with `tool_calls` and `role: "tool"` of OVHcloud's guide. A reply in the other dialect, or
            a 400, changes it for the run.
        system: Where the system text goes: `instructions`, a `message` with `role: "system"` at the top, or before
            the first `user` message, for a model without a system role. On chat the first two are the same.
        strict_tools: Send `strict: true` with a tool (vLLM turns on constrained decoding for it; others ignore it).
        schema_keywords: JSON-schema keywords that the server accepts in a schema, of those that a schema can do
            without. Others are put into the description in words. All are enforced locally in any case.
        tool_choice: Values of `tool_choice` that the server obeys. The other values are enforced locally. With `none`
            among them, the last turn at a limit keeps its `tools`, so that the server finds its beginning in its cache.
        history_needs_tools: A history that holds calls must come with `tools` (Bedrock, Anthropic): the last turn has
            them also where `tool_choice: "none"` is not obeyed, and an agent without tools sends a stand-in. A call in
            the reply does not run.
        structured_output: The best working way to ask for JSON that follows a schema: `text_format` as in the
            Responses API, a top-level `response_format` (llama.cpp; the only field on chat), `json_object` without
            a schema, or text in the `prompt`. The schema is enforced locally in any case.
        streaming: Which replies are asked for as streams: those that the user watches (`optional`), all (`always`),
            none (`never`), or none where there are native tools (`without_tools`). The user sees the same events.
        structured_stream: A reply that is held to a schema may be streamed; if False it is requested in one piece.
        structured_apart: The model confuses a schema with tools or reasoning. It works with tools first, and one
            further request puts the answer into the schema's form.
        images: The model accepts images.
        image_models: Models of the same provider that accept images, for the error message when this one does not.
        tool_images: Where the images of a tool's result go: into the `result`, or into a user `message` after it.
        reasoning: How `reasoning_effort` is sent: `standard` (`reasoning.effort` on responses, `reasoning_effort` on
            chat), as an `object` on both routes (OpenRouter), as the chat template's switch `enable_thinking`
            (`template`: Qwen on vLLM), or not at all (`none`).
        efforts: Values of `reasoning_effort` that the server accepts; any other value is replaced by the nearest.
        reasoning_replay: Which earlier reasoning is sent back: the server's own ciphertext (`encrypted`), readable
            `text` too, or `none`. With `required`, it is as with `text`, and on chat each message with calls has
            `reasoning_content`, an empty one if the model did not reason (DeepSeek, Moonshot).
        state_replay: Fields of calls and messages that only the server understands, such as Gemini's
            `thought_signature`, are sent back to it.
        text_leaks: Calls and thinking may leak into the text, and are recovered from it.
        leaks_calls: The server is known to leave calls in the text, so that a recovered call is taken like any other.
            If False, a recovered call needs approval if it writes, executes or connects to other hosts.
        short_call_ids: Ids of calls must be nine letters or digits (Mistral's templates).
        legal_call_ids: Ids of calls must be at most 40 letters, digits, `_` or `-` (OpenAI, Anthropic). If False, they
            are sent as the server wrote them, because some models read them (Kimi's `functions.add:0`).
        alternating_roles: A `user` message must follow a message of the assistant (templates of Mistral and Gemma).
            After a tool's result or another `user` message, a short message of the assistant is put before it.
        call_content: The content of a message on chat that holds calls but no text: `null`, `empty` text, or `absent`.
        empty_results: The result of a tool may be an empty text. If False, `(empty)` is sent in its place.
        refused: Fields of the request's body that the server refuses or ignores; they are not sent.
        stream_usage: A chat stream reports its tokens when `stream_options` asks for them.
        max_tokens_field: The name of the limit on a reply on chat (OpenAI's reasoning models refuse the old name).
        context_tokens: The size of the model's context window in tokens; None if unknown.
        body_bytes: The size of the largest body that the server accepts; None if unknown.
        requests_per_minute: The rate limit with a key; None if no limit is known.
        anonymous_requests_per_minute: The rate limit without a key; None if no limit is known.
    """

    route: Route = "responses"
    tool_calling: Literal["native", "prompted"] = "native"
    small_model: bool = False
    tool_items: Literal["native", "message"] = "native"
    system: Literal["instructions", "message", "user"] = "instructions"
    strict_tools: bool = True
    schema_keywords: frozenset[str] = DISPENSABLE
    tool_choice: frozenset[str] = frozenset({"auto", "none", "required", "named"})
    history_needs_tools: bool = False
    structured_output: StructuredOutput = "text_format"
    streaming: Literal["optional", "always", "never", "without_tools"] = "optional"
    structured_stream: bool = True
    structured_apart: bool = False
    images: bool = True
    image_models: tuple[str, ...] = ()
    tool_images: Literal["result", "message"] = "message"
    reasoning: Literal["standard", "object", "template", "none"] = "standard"
    efforts: frozenset[str] = frozenset({"none", "minimal", "low", "medium", "high"})
    reasoning_replay: Literal["encrypted", "text", "required", "none"] = "encrypted"
    state_replay: bool = True
    text_leaks: bool = True
    leaks_calls: bool = False
    short_call_ids: bool = False
    legal_call_ids: bool = False
    alternating_roles: bool = False
    call_content: Literal["null", "empty", "absent"] = "null"
    empty_results: bool = True
    refused: frozenset[str] = frozenset()
    stream_usage: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    context_tokens: int | None = None
    body_bytes: int | None = None
    requests_per_minute: float | None = None
    anonymous_requests_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name in ("context_tokens", "body_bytes", "requests_per_minute", "anonymous_requests_per_minute"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(
                    f"Profile({name}={value!r}) is not above 0", hint=f"leave {name} out if it is not known"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Settings for the model.

    A field that is not set is not sent. A field that the endpoint refuses is left out, and a notice says so.

    Attributes:
        temperature: 0 to 2.
        top_p: 0 to 1.
        max_output_tokens: The number of tokens that the model may write in one turn.
        reasoning_effort: How much the model reasons, if it can.
        tool_choice: `auto`, `none`, `required`, or a tool's name; the last two hold until the model has called a tool
            after the last question.
        parallel_tool_calls: False for one call at a time. If the endpoint can't do that, the calls of a turn run
            one after the other.
        verbosity: How long the answers are (OpenAI).
        service_tier: Which class of service to use (OpenAI).
        user: An id of your own user, for the provider.
        safety_identifier: The same under its newer name.
        summarize_dropped: If True, the model summarises the part of the conversation that no longer fits into its
            context window before that part is left out; if False, the part is left out without a summary.
        prompt_cache_key: Sends requests with the same beginning to the same cache (OpenAI).
        extra_body: Further fields of the request body, sent as they are.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Effort | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    summarize_dropped: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        check_options("ModelSettings", self, _SETTINGS)


_SETTINGS = {
    "temperature": number(0).or_none(),
    "top_p": number(0, most=1).or_none(),
    "max_output_tokens": whole_number(1).or_none(),
    "reasoning_effort": one_of(*get_args(Effort)).or_none(),
    "tool_choice": TEXT.or_none(),
    "parallel_tool_calls": FLAG.or_none(),
    "verbosity": one_of("low", "medium", "high").or_none(),
    **dict.fromkeys(("service_tier", "user", "safety_identifier", "prompt_cache_key"), TEXT.or_none()),
    "summarize_dropped": FLAG,
    "extra_body": FIELDS,
}


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """The address of a server of models, and how to send requests to it.

    Attributes:
        base_url: The URL up to and including `/v1`. The paths of requests go before its query, if it has one.
        api_key: The key; None for anonymous use, without an Authorization header.
        profile: What the server can and can't do.
        headers: Headers that are sent with every request.
        timeout_seconds: The time limit for one request, from sending it to the last byte of the reply.
        idle_timeout_seconds: The longest silence within a reply, after its first byte. Anything that the server sends
            ends a silence, also a comment that only keeps the connection alive.
        retries: How often a failed request is sent again at most.
        give_up_after_seconds: No retry starts later than this after the first failure; waits that the server asked
            for are not counted.
        extra_body: Fields that are added to every request body.
        http: The HTTP client that sends the requests: `aiohttp` (the extra of this name), `httpx`, or `auto`, which is
            aiohttp where it is installed. A request over aiohttp takes about half the CPU time, and many requests at
            once are several times as fast.
        proxy: The URL of the proxy that the requests go through. If it is None, the proxy is the one that the
            environment names for the host (HTTPS_PROXY, NO_PROXY and so on), and none for an address of this machine.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    profile: Profile = Profile()
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout_seconds: float = 600.0
    retries: int = 4
    give_up_after_seconds: float = 30.0
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    http: HttpClient = "auto"
    idle_timeout_seconds: float = 60.0
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, kind in _SECRETS.items():  # the value itself may be a secret
            if not kind.fits(value := getattr(self, name)):
                raise ConfigurationError(
                    f"Endpoint: {name} can't be a {type(value).__name__}", hint=f"give {name} {kind.words}"
                )
        check_options("Endpoint", self, _ENDPOINT)
        if not _is_http(self.base_url):
            raise ConfigurationError(
                f"base_url {hide_credentials(self.base_url)!r} is not an http or https URL",
                hint='give it with its scheme and path, such as "http://127.0.0.1:8000/v1"',
            )
        if self.api_key is not None and not self.api_key.strip():
            raise ConfigurationError("api_key is empty", hint="give a key, or None to call the endpoint anonymously")
        if self.http not in get_args(HttpClient):
            raise ConfigurationError(
                f"http={self.http!r} is not an HTTP client that is known", hint='give "auto", "httpx" or "aiohttp"'
            )

    def __repr__(self) -> str:
        """Show all fields that hold no secret."""
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        shown["base_url"] = hide_credentials(self.base_url)
        return f"Endpoint({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def hide_credentials(url: str) -> str:
    """Return a URL, which may be invalid, without its user, password, query and fragment."""
    start = _START.match(url) if _is_http(url) else _ODD_START.match(url)
    shown = url if start is None else f"{start['scheme'] or ''}{HIDDEN}@{url[start.end() :]}"
    plain = re.split(r"[?#]", shown, maxsplit=1)[0]
    return plain if plain == shown else f"{plain}?{HIDDEN}"


HIDDEN: Final = "***"
_START = re.compile(r"(?P<scheme>\w+://)[^/?#]*@")
_ODD_START = re.compile(r"(?P<scheme>[\w+.-]+://)?.*@", re.DOTALL)  # a password may hold any character


def add_path(base_url: str, path: str) -> str:
    """Return the URL of a path below a base URL. The base URL's query is kept, behind the path."""
    base, mark, query = base_url.partition("?")
    return f"{base.rstrip('/')}{path}{mark}{query}"


_SECRETS = {
    "base_url": TEXT,
    "api_key": TEXT.or_none(),
    "proxy": TEXT.or_none(),
    "headers": HEADERS,
}
_ENDPOINT = {
    "profile": instance_of(Profile, "a Profile"),
    "timeout_seconds": number(above=0),
    "idle_timeout_seconds": number(above=0),
    "retries": whole_number(0),
    "give_up_after_seconds": number(0),
    "extra_body": FIELDS,
}


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is not a valid port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", url)
