"""The rows of servers that users run themselves. The base URLs are their documented defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentloop.wire.profile import Profile
from agentloop.wire.profile.providers.provider import RARE_FIELDS, Fields, Provider

_TEMPLATE_THINKING: Mapping[str, Fields] = {"*qwen3*": {"reasoning": "template"}}

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

LOCAL_SERVERS: Mapping[str, Provider] = {
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
            refused=frozenset({"parallel_tool_calls", *RARE_FIELDS}),
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
