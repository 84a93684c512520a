"""The built-in table of providers: the address of each, and what it and its models can't do.

This is the only file that names a provider. Rows contain what is known; the rest is learned from a server's refusals.
The base URLs of local servers are their documented defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Endpoint, Profile

Fields: TypeAlias = Mapping[str, Any]

HOSTED, EMBEDDED = "ovh:gpt-oss-20b", "local:smollm2"
"""The default models of the command line: the first if its key is set, otherwise the second."""

# Their chat templates raise on any other id, and on a `user` message after a tool's result or after another one.
_MISTRAL: Fields = {"short_call_ids": True, "alternating_roles": True}
# Fields for models on any provider, by patterns of their names in lower case.
_MODELS: Mapping[str, Fields] = {
    "*gpt-oss*": {"efforts": frozenset({"low", "medium", "high"}), "images": False},
    "*mistral*": _MISTRAL,
    "*mixtral*": _MISTRAL,
    "*magistral*": _MISTRAL,
    "*devstral*": _MISTRAL,
    "*gemma*": {"alternating_roles": True},
}
_TEMPLATE_THINKING: Mapping[str, Fields] = {"*qwen3*": {"reasoning": "template"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A row of the table.

    Attributes:
        base_url: The base URL; "" if `address` or `starter` gives it.
        address: The environment variable that holds the base URL, for a provider with one base URL per customer.
        keys: Environment variables that may hold the key. The first one that is set is used; if none is set, requests
            are anonymous.
        profile: What the server can and can't do.
        models: Fields that differ for single models, by a shell pattern of the name in lower case. All matching
            patterns apply; a later one overrides an earlier one.
        starter: `module:function` that starts a server for a model's name and returns its base URL.
        catalogue: The URL of the published list of its models, for `agentloop models`.
    """

    base_url: str = ""
    address: str = ""
    keys: tuple[str, ...] = ()
    profile: Profile = Profile()
    models: Mapping[str, Fields] = field(default_factory=dict[str, Fields])
    starter: str = ""
    catalogue: str = ""

    def endpoint(self, model: str, environment: Mapping[str, str], base_url: str = "") -> Endpoint:
        """Return the endpoint of a model, with the key from the environment if it is set there.

        Args:
            model: The model's name on the server.
            environment: The environment variables.
            base_url: The base URL of a server that was started for the model, or "".

        Raises:
            ConfigurationError: the base URL must be in the environment, and is not.
        """
        url = base_url or self.base_url or environment.get(self.address, "")
        if not url:
            raise ConfigurationError(
                f"the base URL for {model} is not known: {self.address} is not set",
                hint=f"set {self.address} to the base URL, up to and including /v1",
            )
        key = next((environment[name] for name in self.keys if environment.get(name)), None)
        profile = self.profile
        for fields in _fitting({**_MODELS, **self.models}, model):
            profile = replace(profile, **fields)
        return Endpoint(url, api_key=key, profile=profile)


def _fitting(models: Mapping[str, Fields], model: str) -> Iterable[Fields]:
    return (fields for pattern, fields in models.items() if fnmatchcase(model.lower(), pattern))


# llama.cpp treats a named choice as auto, ignores text.format, and warns on standard error about a pattern without
# anchors.
_LLAMACPP = Profile(
    schema_keywords=Profile().schema_keywords - {"pattern"},
    tool_choice=frozenset({"auto", "none", "required"}),
    structured_output="response_format",
    tool_images="result",
    reasoning_replay="text",
    refused=frozenset({"previous_response_id"}),
)

# OVHcloud's guide to /v1/responses lists these fields as unsupported, ignored or inconsistent. The server answers
# parallel_tool_calls=false with a 400.
_OVH_REFUSED = frozenset(
    {
        "background",
        "conversation",
        "include",
        "logprobs",
        "max_tool_calls",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "stream_options",
        "top_logprobs",
        "truncation",
        "user",
        "verbosity",
    }
)
_TEXT_ONLY: Fields = {
    "images": False,
    "image_models": ("Mistral-Small-3.2-24B-Instruct-2506", "Qwen2.5-VL-72B-Instruct"),
}
_OPENAI_REASONING: Fields = {
    "refused": frozenset({"temperature", "top_p", "logprobs", "top_logprobs"}),
    "max_tokens_field": "max_completion_tokens",
}
_OPENAI_MODELS: Mapping[str, Fields] = {"o[1-9]*": _OPENAI_REASONING, "gpt-5*": _OPENAI_REASONING}

PROVIDERS: Mapping[str, Provider] = {
    "ovh": Provider(
        base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        keys=("AI_ENDPOINT_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_KEY"),
        catalogue="https://catalog.endpoints.ai.ovh.net/rest/v1/models_v2",
        profile=Profile(
            structured_stream=False,
            structured_apart=True,
            refused=_OVH_REFUSED,
            body_bytes=2_000_000,
            requests_per_minute=400,
            anonymous_requests_per_minute=2,
        ),
        models={
            "gpt-oss*": _TEXT_ONLY,
            "*llama-3*": _TEXT_ONLY,
            "mistral-nemo*": _TEXT_ONLY,
            "mistral-7b*": _TEXT_ONLY,
            "qwen3-*": _TEXT_ONLY,
            "qwen2.5-vl*": {"tool_calling": "prompted"},
        },
    ),
    "openai": Provider(
        base_url="https://api.openai.com/v1",
        keys=("OPENAI_API_KEY",),
        profile=Profile(tool_images="result", legal_call_ids=True),
        models=_OPENAI_MODELS,
    ),
    "azure": Provider(
        address="AZURE_OPENAI_BASE_URL",
        keys=("AZURE_OPENAI_API_KEY",),
        profile=Profile(tool_images="result", legal_call_ids=True),
        models=_OPENAI_MODELS,
    ),
    "openrouter": Provider(
        base_url="https://openrouter.ai/api/v1", keys=("OPENROUTER_API_KEY",), profile=Profile(reasoning="object")
    ),
    # Its /v1/responses turns calls in the history into results, and refuses reasoning items.
    "huggingface": Provider(
        base_url="https://router.huggingface.co/v1",
        keys=("HF_TOKEN",),
        profile=Profile(
            route="chat",
            strict_tools=False,
            reasoning_replay="none",
            efforts=frozenset({"low", "medium", "high"}),
        ),
    ),
    "deepseek": Provider(
        base_url="https://api.deepseek.com/v1",
        keys=("DEEPSEEK_API_KEY",),
        profile=Profile(
            route="chat",
            strict_tools=False,
            structured_output="json_object",
            images=False,
            reasoning_replay="required",
        ),
    ),
    "vllm": Provider(
        base_url="http://127.0.0.1:8000/v1",
        keys=("VLLM_API_KEY",),
        profile=Profile(
            tool_images="result",
            reasoning_replay="text",
            refused=frozenset({"background", "previous_response_id", "prompt"}),
        ),
        models=_TEMPLATE_THINKING,
    ),
    "sglang": Provider(
        base_url="http://127.0.0.1:30000/v1",
        keys=("SGLANG_API_KEY",),
        profile=Profile(refused=frozenset({"background", "previous_response_id"})),
        models={**_TEMPLATE_THINKING, "*gpt-oss*": {"structured_output": "prompt"}},
    ),
    "llamacpp": Provider(base_url="http://127.0.0.1:8080/v1", keys=("LLAMA_API_KEY",), profile=_LLAMACPP),
    # Its replies say tool_choice "auto" and parallel_tool_calls true, whatever was requested.
    "ollama": Provider(
        base_url="http://127.0.0.1:11434/v1",
        profile=Profile(
            tool_choice=frozenset({"auto"}), refused=frozenset({"parallel_tool_calls", "previous_response_id"})
        ),
    ),
    "lmstudio": Provider(base_url="http://127.0.0.1:1234/v1"),
    # It answers any unknown field with a 422.
    "transformers": Provider(
        base_url="http://127.0.0.1:8000/v1",
        profile=Profile(
            tool_choice=frozenset(),
            strict_tools=False,
            structured_output="prompt",
            reasoning="none",
            refused=frozenset({"parallel_tool_calls", *_OVH_REFUSED}),
        ),
    ),
    # Its /v1/responses drops calls that come together with text, and ends streams with an empty output.
    "litellm": Provider(base_url="http://127.0.0.1:4000/v1", keys=("LITELLM_API_KEY",), profile=Profile(route="chat")),
    "local": Provider(
        profile=replace(_LLAMACPP, tool_calling="prompted", system="message", context_tokens=4096),
        models={"smollm2": {"small_model": True, "images": False}},
        starter="agentloop.ext.local:start",
    ),
}


def find_provider(model: str) -> tuple[Provider, str]:
    """Return the row and the name without its prefix for a model such as `ovh:gpt-oss-20b`.

    Raises:
        ConfigurationError: the table has no such provider, or the name is missing.
    """
    prefix, colon, name = model.partition(":")
    provider = PROVIDERS.get(prefix)
    if provider is not None and colon and not name:
        raise ConfigurationError(
            f"the model {model!r} has no name after the colon",
            hint=f'write "{prefix}:name" with the name that the server uses',
        )
    if provider is None or not name:
        known = ", ".join(f"{known}:" for known in sorted(PROVIDERS))
        raise ConfigurationError(
            f"the model {model!r} names no known provider" if colon else f"the model {model!r} has no provider prefix",
            hint=f'write "provider:name" with one of {known} or give Agent(..., endpoint=Endpoint("http://.../v1"))',
        )
    return provider, name
