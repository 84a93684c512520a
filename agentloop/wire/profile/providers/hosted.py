"""The rows of providers on the internet."""

from __future__ import annotations

from collections.abc import Mapping

from agentloop.wire.profile import Profile
from agentloop.wire.profile.providers.provider import RARE_FIELDS, Fields, Provider

_TEXT_ONLY: Fields = {
    "images": False,
    "image_models": ("Mistral-Small-3.2-24B-Instruct-2506", "Qwen2.5-VL-72B-Instruct"),
}
_OPENAI_REASONING: Fields = {
    "refused": frozenset({"temperature", "top_p", "logprobs", "top_logprobs"}),
    "max_tokens_field": "max_completion_tokens",
}
_OPENAI_MODELS: Mapping[str, Fields] = {"o[1-9]*": _OPENAI_REASONING, "gpt-5*": _OPENAI_REASONING}

HOSTED_PROVIDERS: Mapping[str, Provider] = {
    # Its guide to /v1/responses lists these fields as unsupported, ignored or inconsistent. The server answers
    # parallel_tool_calls=false with a 400.
    "ovh": Provider(
        base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
        keys=("AI_ENDPOINT_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_KEY"),
        catalogue="https://catalog.endpoints.ai.ovh.net/rest/v1/models_v2",
        profile=Profile(
            structured_stream=False,
            structured_apart=True,
            refused=RARE_FIELDS,
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
    # It ignores strict, response_format, reasoning_effort and the refused fields, and lists models for its own headers:
    # https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk
    # https://platform.claude.com/docs/en/api/models/list
    "anthropic": Provider(
        base_url="https://api.anthropic.com/v1",
        keys=("ANTHROPIC_API_KEY",),
        profile=Profile(
            route="chat",
            strict_tools=False,
            structured_output="prompt",
            reasoning="none",
            reasoning_replay="none",
            legal_call_ids=True,
            history_needs_tools=True,
            refused=frozenset({"logprobs", "metadata", "service_tier", "store", "top_logprobs", "user"}),
        ),
        catalogue="https://api.anthropic.com/v1/models?limit=1000",
        catalogue_headers={"x-api-key": "{key}", "anthropic-version": "2023-06-01"},
    ),
    # It has no field for parallel calls, and older models no tools together with a schema:
    # https://ai.google.dev/gemini-api/docs/openai https://github.com/jackmpcollins/magentic/pull/382
    # https://github.com/TheAgenticAI/TheAgenticBrowser/issues/4 https://github.com/Simpleyyt/ai-manus/issues/101
    "gemini": Provider(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        profile=Profile(
            route="chat", strict_tools=False, structured_apart=True, refused=frozenset({"parallel_tool_calls"})
        ),
    ),
    # It answers any field that it does not know with a 422, also reasoning_content in a message. Its streams end with
    # the tokens unasked. https://github.com/charmbracelet/crush/issues/1590
    # https://github.com/editor-code-assistant/eca/issues/231
    # https://docs.mistral.ai/capabilities/reasoning/adjustable
    "mistral": Provider(
        base_url="https://api.mistral.ai/v1",
        keys=("MISTRAL_API_KEY",),
        profile=Profile(
            route="chat",
            short_call_ids=True,
            efforts=frozenset({"none", "high"}),
            reasoning_replay="none",
            stream_usage=False,
            refused=frozenset(
                {"logprobs", "safety_identifier", "service_tier", "store", "top_logprobs", "user", "verbosity"}
            ),
        ),
        # These reason always, and have no field for it.
        models={"magistral*": {"reasoning": "none"}},
    ),
    # A 400 for the refused fields, and neither tools nor streams with a schema: https://console.groq.com/docs/openai
    # https://console.groq.com/docs/structured-outputs
    "groq": Provider(
        base_url="https://api.groq.com/openai/v1",
        keys=("GROQ_API_KEY",),
        profile=Profile(
            route="chat",
            structured_stream=False,
            structured_apart=True,
            refused=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
        ),
    ),
    # Chat is deprecated there, and loses the model's reasoning:
    # https://docs.x.ai/developers/model-capabilities/text/best-practices. Some models refuse the effort:
    # https://docs.rs/crate/mindfork/0.17.0/source/src/shared/api/openai/xai_tests.rs
    "xai": Provider(
        base_url="https://api.x.ai/v1",
        keys=("XAI_API_KEY",),
        profile=Profile(efforts=frozenset({"none", "low", "medium", "high"})),
        models={"*non-reasoning*": {"reasoning": "none"}, "grok-build*": {"reasoning": "none"}},
    ),
    # Its /v1/responses gives malformed output for most models: https://docs.together.ai/docs/inference/responses-api
    "together": Provider(
        base_url="https://api.together.ai/v1", keys=("TOGETHER_API_KEY",), profile=Profile(route="chat")
    ),
    # Models that reason between calls want their reasoning_content back: https://docs.fireworks.ai/guides/reasoning
    "fireworks": Provider(
        base_url="https://api.fireworks.ai/inference/v1",
        keys=("FIREWORKS_API_KEY",),
        profile=Profile(route="chat", reasoning_replay="text"),
    ),
    # A 400 for the refused fields, and from some models for strict: https://hexdocs.pm/req_llm/cerebras.html
    # https://github.com/agno-agi/agno/issues/4508 https://github.com/livekit/agents/pull/3134
    "cerebras": Provider(
        base_url="https://api.cerebras.ai/v1",
        keys=("CEREBRAS_API_KEY",),
        profile=Profile(
            route="chat",
            strict_tools=False,
            refused=frozenset(
                {"frequency_penalty", "logit_bias", "parallel_tool_calls", "presence_penalty", "service_tier"}
            ),
        ),
    ),
    # Its chat API has ended: https://docs.perplexity.ai/docs/grounded-llm/openai-compatibility
    "perplexity": Provider(base_url="https://api.perplexity.ai/v1", keys=("PERPLEXITY_API_KEY",)),
    # Models that think refuse a forced choice, and calls without their reasoning; only kimi-k3 obeys `required`. The
    # platform sets the sampling of all kimi models. https://github.com/UKGovernmentBEIS/inspect_ai/pull/5152
    # https://github.com/n8n-io/n8n/issues/29142 https://java.agentscope.io/v2/en/integration/model/kimi
    "moonshot": Provider(
        base_url="https://api.moonshot.ai/v1",
        address="MOONSHOT_BASE_URL",
        keys=("MOONSHOT_API_KEY", "KIMI_API_KEY"),
        profile=Profile(
            route="chat",
            tool_choice=frozenset({"auto", "none"}),
            strict_tools=False,
            reasoning="none",
            reasoning_replay="required",
            max_tokens_field="max_completion_tokens",
        ),
        models={
            "kimi-*": {"refused": frozenset({"temperature", "top_p"})},
            "kimi-k3*": {
                "tool_choice": frozenset({"auto", "none", "required"}),
                "reasoning": "standard",
                "efforts": frozenset({"low", "high"}),
            },
        },
    ),
    # It obeys no tool_choice but auto, and knows neither strict nor stream_options. Only glm-5.2 takes an effort.
    # https://java.agentscope.io/v2/en/integration/model/glm https://github.com/vectorize-io/hindsight/issues/4246
    "zai": Provider(
        base_url="https://api.z.ai/api/paas/v4",
        address="ZAI_BASE_URL",
        keys=("ZAI_API_KEY",),
        profile=Profile(
            route="chat",
            tool_choice=frozenset({"auto"}),
            strict_tools=False,
            structured_output="json_object",
            images=False,
            reasoning="none",
            reasoning_replay="text",
            stream_usage=False,
        ),
        models={"glm-5.2*": {"reasoning": "standard"}, "glm-*v*": {"images": True}},
    ),
    # Models that think refuse a forced choice, and replies that are not streamed. The effort is a field of its own.
    # https://github.com/cloudwego/eino/issues/994 https://alibabacloud.com/help/en/model-studio/error-code
    # https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope has other base URLs.
    "dashscope": Provider(
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        address="DASHSCOPE_BASE_URL",
        keys=("DASHSCOPE_API_KEY",),
        profile=Profile(
            route="chat",
            tool_choice=frozenset({"auto", "none"}),
            strict_tools=False,
            structured_output="json_object",
            streaming="always",
            reasoning="none",
        ),
    ),
    # https://docs.api.nvidia.com/nim/reference/llm-apis
    "nvidia": Provider(
        base_url="https://integrate.api.nvidia.com/v1", keys=("NVIDIA_API_KEY",), profile=Profile(route="chat")
    ),
    # Only few models have /v1/responses: https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility
    # JSON is not streamed: https://developers.cloudflare.com/workers-ai/json-mode
    # https://developers.cloudflare.com/api/resources/ai/subresources/models/methods/list
    "cloudflare": Provider(
        base_url="https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        keys=("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"),
        profile=Profile(route="chat", structured_stream=False),
        catalogue="https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/models/search"
        "?task=Text%20Generation&per_page=1000",
        catalogue_headers={"Authorization": "Bearer {key}"},
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html
    # Its models are in another list: https://docs.aws.amazon.com/bedrock/latest/userguide/models-get-info.html
    "bedrock": Provider(
        base_url="https://bedrock-runtime.{AWS_REGION|AWS_DEFAULT_REGION}.amazonaws.com/openai/v1",
        keys=("AWS_BEARER_TOKEN_BEDROCK",),
        profile=Profile(route="chat", legal_call_ids=True, history_needs_tools=True),
        catalogue="https://bedrock.{AWS_REGION|AWS_DEFAULT_REGION}.amazonaws.com/foundation-models",
        catalogue_headers={"Authorization": "Bearer {key}"},
    ),
}
