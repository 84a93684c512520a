"""The table of providers: what each row says is well-formed, and no other file knows a provider."""

import ast
from pathlib import Path

import pytest

from agentloop import Agent, ConfigurationError, Profile
from agentloop.wire.profile.lessons import read_fields, write_field
from agentloop.wire.profile.providers import EMBEDDED, HOSTED, PROVIDERS, find_provider

ROOT = Path(__file__).parents[1] / "agentloop"
SERVERS = """ovh openai azure vllm llamacpp ollama lmstudio sglang openrouter huggingface transformers litellm
    deepseek anthropic gemini mistral groq xai together fireworks cerebras perplexity moonshot zai dashscope nvidia
    cloudflare bedrock
    local"""

each_provider = pytest.mark.parametrize("name", sorted(PROVIDERS))


def endpoint(model, **environment):
    provider, name = find_provider(model)
    return provider.endpoint(name, environment)


def test_the_table_has_the_servers_that_people_use():
    assert PROVIDERS.keys() == set(SERVERS.split())
    for model in (HOSTED, EMBEDDED):
        find_provider(model)


@each_provider
def test_a_row_leads_somewhere_and_only_there(name):
    row = PROVIDERS[name]
    assert bool(row.starter) != bool(row.base_url or row.address)
    made = row.endpoint("some-model", {row.address: "http://127.0.0.1:1/v1"}, "http://127.0.0.1:2/v1")
    assert made.base_url == "http://127.0.0.1:2/v1"
    assert made.api_key is None


@each_provider
def test_what_a_row_says_of_models_are_fields_of_a_profile(name):
    for pattern, fields in PROVIDERS[name].models.items():
        assert pattern == pattern.lower()
        written = {field: write_field(field, value) for field, value in fields.items()}
        assert read_fields(written) == (dict(fields), ())


def test_the_first_key_that_is_set_is_taken():
    assert endpoint("ovh:m", OVHCLOUD_API_KEY="b", AI_ENDPOINT_API_KEY="a").api_key == "a"
    assert endpoint("ovh:m", OVHCLOUD_API_KEY="b", AI_ENDPOINT_API_KEY="").api_key == "b"


def test_a_customers_own_address_comes_from_the_environment():
    assert endpoint("azure:gpt-5", AZURE_OPENAI_BASE_URL="https://x.example/v1").base_url == "https://x.example/v1"
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_BASE_URL is not set") as caught:
        endpoint("azure:gpt-5")
    assert "/v1" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("ovh:gpt-oss-20b", {"images": False, "efforts": frozenset({"low", "medium", "high"})}),
        ("ovh:Mistral-Small-3.2-24B-Instruct-2506", {"images": True, "short_call_ids": True}),
        ("ovh:Mistral-Nemo-Instruct-2407", {"images": False, "short_call_ids": True}),
        ("ovh:Qwen2.5-VL-72B-Instruct", {"images": True, "tool_calling": "prompted"}),
        ("openai:gpt-5-mini", {"max_tokens_field": "max_completion_tokens"}),
        ("openai:gpt-4.1", {"max_tokens_field": "max_tokens", "refused": frozenset()}),
        ("vllm:Qwen/Qwen3-8B", {"reasoning": "template"}),
        ("sglang:openai/gpt-oss-20b", {"structured_output": "prompt"}),
        ("local:smollm2", {"small_model": True, "tool_calling": "prompted"}),
        ("local:/models/other.gguf", {"small_model": False, "tool_calling": "prompted"}),
        ("lmstudio:any", {"route": "responses", "tool_calling": "native"}),
    ],
)
def test_the_name_of_a_model_decides_too(model, fields):
    provider, name = find_provider(model)
    profile = provider.endpoint(name, {}, "http://127.0.0.1:1/v1").profile
    assert {field: getattr(profile, field) for field in fields} == fields


def test_ovhcloud_is_never_sent_what_its_guide_calls_unsupported():
    profile = endpoint("ovh:gpt-oss-20b").profile
    listed = """background include max_tool_calls parallel_tool_calls prompt prompt_cache_key previous_response_id
        safety_identifier service_tier stream_options truncation user verbosity logprobs"""
    assert set(listed.split()) <= profile.refused
    assert (profile.requests_per_minute, profile.anonymous_requests_per_minute) == (400, 2)


def test_a_provider_without_a_name_is_said_to_lack_it():
    with pytest.raises(ConfigurationError, match="has no name after the colon"):
        Agent("ovh:")


@pytest.mark.parametrize("model", ["ovhcloud:gpt-oss-20b", "gpt-oss-20b", "ovh", ""])
def test_an_unknown_provider_is_answered_with_those_there_are_and_with_the_way_to_give_an_endpoint(model):
    with pytest.raises(ConfigurationError) as caught:
        Agent(model)
    assert repr(model) in caught.value.message
    assert all(f"{name}:" in caught.value.hint for name in PROVIDERS)
    assert "Endpoint(" in caught.value.hint


def test_no_other_file_names_a_provider():
    named = {
        (str(path.relative_to(ROOT)), node.value)
        for path in ROOT.glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in set(PROVIDERS) - {"local", "openai"}
    }
    assert {(path, name) for path, name in named if not path.startswith("wire/profile/providers/")} == set()


def test_the_default_profile_is_that_of_an_unknown_server():
    assert PROVIDERS["lmstudio"].endpoint("any", {}).profile == Profile()


@pytest.mark.parametrize("name", ["context_tokens", "body_bytes", "requests_per_minute"])
def test_a_number_that_can_not_be_is_refused(name):
    for value in (0, -1, float("nan")):
        with pytest.raises(ConfigurationError, match=rf"Profile\({name}="):
            Profile(**{name: value})
