"""The providers on the internet: where each is, what it is sent, and how its list of models is read."""

import json
from dataclasses import replace

import pytest

from agentloop import ConfigurationError, ModelSettings, tool
from agentloop.cli import main
from agentloop.endpoint.catalogue import read_catalogue
from agentloop.wire.profile.providers import PROVIDERS, find_provider
from loopback import Loopback, call_body, json_reply, text_body
from ways import RUN_SYNC, STREAM

# A model of each, and those of its fields that differ from what an unknown server gets.
MODELS = {
    "anthropic:claude-opus-5-5": {"strict_tools": False, "structured_output": "prompt", "reasoning": "none"},
    "gemini:gemini-3-flash-preview": {"strict_tools": False, "structured_apart": True, "structured_stream": True},
    "mistral:mistral-medium-3-5": {"short_call_ids": True, "stream_usage": False, "efforts": {"none", "high"}},
    "mistral:magistral-small-2509": {"short_call_ids": True, "reasoning": "none"},
    "mistral:codestral-latest": {"short_call_ids": True, "reasoning_replay": "none"},
    "groq:openai/gpt-oss-120b": {"structured_apart": True, "structured_stream": False, "images": False},
    "xai:grok-4.3": {"route": "responses", "reasoning": "standard", "efforts": {"none", "low", "medium", "high"}},
    "xai:grok-4.20-non-reasoning": {"route": "responses", "reasoning": "none"},
    "xai:grok-build-0.1": {"route": "responses", "reasoning": "none"},
    "together:deepseek-ai/DeepSeek-V4": {"route": "chat"},
    "fireworks:accounts/fireworks/models/glm-5p3": {"reasoning_replay": "text"},
    "cerebras:zai-glm-4.7": {"route": "chat", "strict_tools": False},
    "perplexity:perplexity/sonar": {"route": "responses"},
    "moonshot:kimi-k2.6": {"tool_choice": {"auto", "none"}, "reasoning_replay": "required", "reasoning": "none"},
    "moonshot:kimi-k3": {"tool_choice": {"auto", "none", "required"}, "efforts": {"low", "high"}},
    "moonshot:moonshot-v1-32k": {"refused": set(), "max_tokens_field": "max_completion_tokens"},
    "zai:glm-4.7": {"tool_choice": {"auto"}, "images": False, "reasoning": "none", "structured_output": "json_object"},
    "zai:glm-4.6v": {"images": True},
    "zai:glm-5.2": {"images": False, "reasoning": "standard"},
    "dashscope:qwen3.8-max": {"tool_choice": {"auto", "none"}, "streaming": "always", "reasoning": "none"},
    "nvidia:nvidia/nemotron": {"route": "chat"},
    "cloudflare:@cf/openai/gpt-oss-120b": {"structured_stream": False},
    "bedrock:openai.gpt-oss-20b-1:0": {"history_needs_tools": True, "legal_call_ids": True},
}
ENVIRONMENT = {"CLOUDFLARE_ACCOUNT_ID": "0a1b2c", "AWS_REGION": "eu-west-3"}

each_model = pytest.mark.parametrize("model", MODELS)


def find(model, **environment):
    row, name = find_provider(model)
    return row.endpoint(name, {**ENVIRONMENT, **environment})


@tool
def look_up(word: str) -> str:
    """Look up a word."""
    return f"{word} is a word"


@each_model
def test_a_model_has_what_its_provider_says_about_it(model):
    profile = find(model).profile
    assert {name: getattr(profile, name) for name in MODELS[model]} == MODELS[model]


@each_model
@pytest.mark.parametrize("way", [RUN_SYNC, STREAM], ids=["whole", "streamed"])
def test_a_run_sends_nothing_that_the_provider_refuses(way, model):
    profile = find(model).profile
    settings = ModelSettings(
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=500,
        reasoning_effort="medium",
        tool_choice="look_up",
        parallel_tool_calls=False,
        verbosity="low",
        service_tier="flex",
        user="u1",
        safety_identifier="s1",
        prompt_cache_key="k1",
    )
    way = replace(way, dialect="chat" if profile.route == "chat" else "native")
    script = [call_body(("look_up", {"word": "lamp"})), text_body("It is a word.")]
    with way.serving(script, look_up, settings=settings, endpoint={"profile": profile}) as (agent, server):
        assert way.ask(agent).text == "It is a word."
    for sent in (request.json for request in server.requests):
        assert not sent.keys() & profile.refused
        assert find_choice(sent) in profile.tool_choice | {"auto"}
        assert profile.strict_tools or "strict" not in json.dumps(sent)
        assert profile.reasoning != "none" or not {"reasoning", "reasoning_effort"} & sent.keys()
        assert sent.get("reasoning_effort", "none") in profile.efforts | {"none"}
        assert profile.stream_usage or "stream_options" not in sent
        assert sent["stream"] or profile.streaming != "always"
        assert sent.get(profile.max_tokens_field, sent.get("max_output_tokens")) == 500


def find_choice(sent):
    choice = sent.get("tool_choice", "auto")
    return choice if isinstance(choice, str) else "named"


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("cloudflare:m", "https://api.cloudflare.com/client/v4/accounts/0a1b2c/ai/v1"),
        ("bedrock:m", "https://bedrock-runtime.eu-west-3.amazonaws.com/openai/v1"),
        ("gemini:m", "https://generativelanguage.googleapis.com/v1beta/openai"),
    ],
)
def test_an_address_with_a_part_of_the_customers_is_put_together(model, base_url):
    assert find(model).base_url == base_url


def test_the_second_variable_counts_if_the_first_is_not_set():
    assert ".us-east-2." in find("bedrock:m", AWS_REGION="", AWS_DEFAULT_REGION="us-east-2").base_url


@pytest.mark.parametrize("value", ["", "x/../y", "evil.example#", "a b"])
def test_a_part_that_is_missing_or_no_name_is_a_mistake(value):
    with pytest.raises(ConfigurationError, match="AWS_REGION or AWS_DEFAULT_REGION is not set") as caught:
        find("bedrock:m", AWS_REGION=value)
    assert "amazonaws.com" in caught.value.hint


@pytest.mark.parametrize("name", ["moonshot", "zai", "dashscope"])
def test_a_provider_with_other_regions_or_plans_takes_another_address(name):
    variable = f"{name.upper()}_BASE_URL"
    assert find(f"{name}:m", **{variable: "https://other.example/v1"}).base_url == "https://other.example/v1"
    assert find(f"{name}:m", **{variable: ""}).base_url == PROVIDERS[name].base_url


# --- their models ---


@pytest.fixture
def list_models(capfd, monkeypatch):
    """Return a function that lists the models of a provider, and returns what is shown and the request."""

    def list_models(name, payload, key=""):
        row = PROVIDERS[name]
        for variable, value in {**ENVIRONMENT, **dict.fromkeys(row.keys, key)}.items():
            monkeypatch.setenv(variable, value)
        with Loopback.in_thread([json_reply(payload)]) as server:
            path = row.catalogue.partition("//")[2].partition("/")[2]
            here = replace(row, base_url=server.base_url)
            if path:
                here = replace(here, catalogue=f"{server.base_url.removesuffix('/v1')}/{path}")
            monkeypatch.setitem(PROVIDERS, name, here)
            with pytest.raises(SystemExit):
                main(["models", f"{name}:", "--json"])
        [request] = server.requests
        return json.loads(capfd.readouterr().out), request

    return list_models


def test_a_provider_is_asked_for_its_models_with_its_key(list_models):
    [card], request = list_models("groq", {"data": [{"id": "openai/gpt-oss-120b"}]}, "key-1")
    assert (card["name"], request.path) == ("openai/gpt-oss-120b", "/v1/models")
    assert request.headers["authorization"] == "Bearer key-1"


def test_anthropic_gets_its_own_headers(list_models):
    payload = {"data": [{"id": "claude-opus-5-5", "display_name": "Claude Opus 5.5"}], "has_more": False}
    [card], request = list_models("anthropic", payload, "key-2")
    assert (card["name"], request.path) == ("claude-opus-5-5", "/v1/models?limit=1000")
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("key-2", "2023-06-01")
    assert "authorization" not in request.headers


def test_without_a_key_no_header_is_sent_for_it(list_models):
    _, request = list_models("anthropic", {"data": []})
    assert not {"x-api-key", "authorization"} & set(request.headers)


def test_cloudflares_names_are_those_of_requests(list_models):
    payload = {"success": True, "result": [{"id": "429b9e8b", "name": "@cf/openai/gpt-oss-120b"}]}
    [card], request = list_models("cloudflare", payload, "key-3")
    assert card["name"] == "@cf/openai/gpt-oss-120b"
    assert request.path.startswith("/client/v4/accounts/0a1b2c/ai/models/search?task=Text%20Generation")
    assert request.headers["authorization"] == "Bearer key-3"


def test_bedrocks_list_says_what_goes_in_and_out(list_models):
    summary = {"modelId": "amazon.nova-pro-v1:0", "inputModalities": ["TEXT", "IMAGE"], "outputModalities": ["TEXT"]}
    embedding = {"modelId": "amazon.titan-embed", "inputModalities": ["TEXT"], "outputModalities": ["EMBEDDING"]}
    cards, request = list_models("bedrock", {"modelSummaries": [summary, embedding]}, "key-4")
    shown = [(card["name"], card["vision"], card["writes_text"]) for card in cards]
    assert shown == [("amazon.nova-pro-v1:0", True, True), ("amazon.titan-embed", False, False)]
    assert (request.path, request.headers["authorization"]) == ("/foundation-models", "Bearer key-4")


@pytest.mark.parametrize("listed", [["text", 3, None], [{"a": 1}], "text", None])
def test_modalities_of_any_shape_are_read(listed):
    [card] = read_catalogue({"modelSummaries": [{"modelId": "m", "outputModalities": listed}]}).models
    assert card.writes_text is (listed == ["text", 3, None] if isinstance(listed, list) else None)
