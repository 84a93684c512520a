"""What is known about endpoints and models, as data: Profile, Endpoint, ModelSettings, the built-in table.

No other file names a provider. A quirk of a server is a documented field here, never an `if` elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from agentloop.errors import ConfigurationError

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one kind of server, or one model on it, can and can't do.

    The defaults are right for an unknown OpenAI-compatible server.

    Attributes:
        route: The path that is spoken: `/v1/responses` or `/v1/chat/completions`.
        tool_calling: `native` where the server knows `tools`; `prompted` where the model has no tool calling and its
            output is constrained by a JSON schema in `response_format` (llama.cpp, vLLM, OVHcloud).
        small_model: The model is so small that it repeats its call while tools are on offer, and rambles or writes
            calls while it is free. In `prompted` calling it is offered tools once after a question, and then held to
            one short sentence (measured on SmolLM2-135M).
        tool_items: How calls and results are written on `/v1/responses`: `native` `function_call` items, or the
            `message` items with `tool_calls` and `role: "tool"` of OVHcloud's guide. A reply in the other dialect, or
            a 400, changes it for the run.
        system: Where the system text goes: `instructions`, or a `message` with `role: "system"` at the top.
        strict_tools: Send `strict: true` with a tool (vLLM turns on constrained decoding for it; others ignore it).
        schema_keywords: JSON-schema keywords for ranges, patterns and counts that the server takes in a tool's
            schema; others are told in the description. All are enforced locally in any case.
        tool_choice: Values of `tool_choice` that the server obeys.
    """

    route: Literal["responses", "chat"] = "responses"
    tool_calling: Literal["native", "prompted"] = "native"
    small_model: bool = False
    tool_items: Literal["native", "message"] = "native"
    system: Literal["instructions", "message"] = "instructions"
    strict_tools: bool = True
    schema_keywords: frozenset[str] = frozenset(
        {
            "pattern",
            "format",
            "multipleOf",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "minItems",
            "maxItems",
        }
    )
    tool_choice: frozenset[str] = frozenset({"auto", "none", "required", "named"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What the model is asked for; an unset field is not sent.

    Attributes:
        temperature: 0 to 2.
        top_p: 0 to 1.
        max_output_tokens: Tokens the model may write in one turn.
        reasoning_effort: How long to think, where the model can.
        tool_choice: `auto`, `none`, `required`, or a tool's name; the last two hold until the first tool has run.
        extra_body: Fields of the request body that agentloop does not know, sent as they are.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Effort | None = None
    tool_choice: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is served, and how to talk to it.

    Attributes:
        base_url: Up to and including `/v1`.
        api_key: None for anonymous: then no Authorization header is sent at all.
        profile: What the server can and can't do.
        headers: Sent with every request.
        timeout_seconds: For one request, from sending to the last byte of the reply.
        retries: How often a failed request is sent again at the most.
        give_up_after_seconds: No retry starts later than this after the first failure; waits that the server asked
            for are not counted.
        extra_body: Fields added to every request body.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    profile: Profile = Profile()
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout_seconds: float = 600.0
    retries: int = 4
    give_up_after_seconds: float = 30.0
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not _is_http(self.base_url):
            raise ConfigurationError(
                f"base_url {self.base_url!r} is not an http or https URL",
                hint='give it with its scheme and path, such as "http://127.0.0.1:8000/v1"',
            )
        if self.api_key is not None and not self.api_key.strip():
            raise ConfigurationError("api_key is empty", hint="give a key, or None to call the endpoint anonymously")
        if self.timeout_seconds <= 0 or self.retries < 0 or self.give_up_after_seconds < 0:
            raise ConfigurationError(
                "timeout_seconds must be above 0, retries and give_up_after_seconds at least 0",
                hint="leave them out for the defaults (600 s, 4, 30 s)",
            )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A row of the built-in table.

    Attributes:
        base_url: Where it is served; "" when `starter` gives it.
        keys: Environment variables that may hold the key, the first one set wins; none set means anonymous.
        profile: What the server can and can't do.
        models: What is known of single models on it, by a shell pattern of their names.
        starter: `module:function` that starts a server for a model's name and returns its base URL.
    """

    base_url: str = ""
    keys: tuple[str, ...] = ()
    profile: Profile = Profile()
    models: Mapping[str, Profile] = field(default_factory=dict[str, Profile])
    starter: str = ""

    def endpoint(self, model: str, environment: Mapping[str, str], base_url: str = "") -> Endpoint:
        """Return the endpoint of a model, with the key that the environment holds, or none.

        Args:
            model: The model's name as the server knows it.
            environment: Where the key may be.
            base_url: Of a server that was started for it, if there is one.
        """
        key = next((environment[name] for name in self.keys if environment.get(name)), None)
        known = (profile for pattern, profile in self.models.items() if fnmatchcase(model, pattern))
        return Endpoint(base_url or self.base_url, api_key=key, profile=next(known, self.profile))


# llama.cpp takes a named choice for auto, and warns on standard error of a pattern without anchors.
_LLAMACPP = Profile(
    schema_keywords=Profile().schema_keywords - {"pattern"}, tool_choice=frozenset({"auto", "none", "required"})
)

_LOCAL = replace(_LLAMACPP, tool_calling="prompted", system="message")

# Base URLs of the local servers are their documented defaults.
PROVIDERS: Mapping[str, Provider] = {
    "ovh": Provider(
        base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        keys=("AI_ENDPOINT_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_KEY"),
    ),
    "openai": Provider(base_url="https://api.openai.com/v1", keys=("OPENAI_API_KEY",)),
    "openrouter": Provider(base_url="https://openrouter.ai/api/v1", keys=("OPENROUTER_API_KEY",)),
    "huggingface": Provider(base_url="https://router.huggingface.co/v1", keys=("HF_TOKEN",)),
    "vllm": Provider(base_url="http://127.0.0.1:8000/v1", keys=("VLLM_API_KEY",)),
    "sglang": Provider(base_url="http://127.0.0.1:30000/v1", keys=("SGLANG_API_KEY",)),
    "llamacpp": Provider(base_url="http://127.0.0.1:8080/v1", keys=("LLAMA_API_KEY",), profile=_LLAMACPP),
    "ollama": Provider(base_url="http://127.0.0.1:11434/v1"),
    "lmstudio": Provider(base_url="http://127.0.0.1:1234/v1"),
    "litellm": Provider(base_url="http://127.0.0.1:4000/v1", keys=("LITELLM_API_KEY",)),
    "local": Provider(
        profile=_LOCAL,
        models={"smollm2": replace(_LOCAL, small_model=True)},
        starter="agentloop.ext.local:start",
    ),
}


def find_provider(model: str) -> tuple[Provider, str]:
    """Return the row and the bare name for a model such as `ovh:gpt-oss-20b`.

    Raises:
        ConfigurationError: there is no such provider in the table.
    """
    prefix, colon, name = model.partition(":")
    provider = PROVIDERS.get(prefix)
    if provider is None or not name:
        known = ", ".join(f"{known}:" for known in sorted(PROVIDERS))
        raise ConfigurationError(
            f"the model {model!r} names no known provider" if colon else f"the model {model!r} has no provider prefix",
            hint=f'write "provider:name" with one of {known} or give Agent(..., endpoint=Endpoint("http://.../v1"))',
        )
    return provider, name
