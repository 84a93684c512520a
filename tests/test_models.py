"""`agentloop models`, and the catalogues of models that it reads."""

import json
from dataclasses import asdict
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agentloop.cli import main
from agentloop.endpoint import catalogue as catalogues
from agentloop.endpoint.catalogue import ModelCard, read_catalogue
from agentloop.wire.profile.providers import PROVIDERS
from any_json import any_json
from loopback import CUT, Gate, Loopback, Reply, error_reply, html_reply, json_reply


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(catalogues, "TIMEOUT_SECONDS", 60.0)  # a busy machine may take longer than a user waits


@pytest.fixture
def invoke(capfd, monkeypatch):
    """Return a function that carries out a command line here and returns its status, its output and the rest."""
    names = [name for row in PROVIDERS.values() for name in (*row.keys, row.address) if name]
    for name in ("AGENTLOOP_API_KEY", *names):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return exited.value.code, *capfd.readouterr()

    return invoke


def entry(name, inputs=("text",), outputs=("text",), **fields):
    """Return a model as OVHcloud's catalogue has it."""
    capabilities = {
        "input_modality": [*inputs],
        "output_modality": [*outputs],
        "reasoning": False,
        "function_calling": True,
        "streaming": True,
    }
    limits = {"rate_limit_api": 400, "rate_limit_api_anonymous": 2, "rate_limit_playground": 10}
    metadata = {
        "model_specs": {"capabilities": capabilities},
        "usage_information": {"pricing": [{"price": 0.1}], "rate_limit": limits},
    }
    return {"id": name, "name": name, "available": True, "category": "LLM", "metadata": metadata} | fields


CATALOGUE = [
    entry("gpt-oss-20b"),
    entry("Mistral-Small", inputs=("text", "image"), available=False),
    entry("bge-m3", outputs=("embedding",)),
    {"id": "unknown"},
    {"description": "has no name"},
]


# --- the providers ---


def test_without_an_argument_the_providers_are_listed_and_never_a_key(invoke, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    status, out, err = invoke("models")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()[2:]}
    assert (status, err) == (0, "")
    assert set(rows) == set(PROVIDERS)
    assert rows["openai"] == "https://api.openai.com/v1 OPENAI_API_KEY is set"
    assert rows["ollama"] == "http://127.0.0.1:11434/v1 none needed"
    assert rows["azure"] == "$AZURE_OPENAI_BASE_URL AZURE_OPENAI_API_KEY: not set"
    assert rows["local"] == "in this process none needed"
    assert "sk-secret" not in out


def test_the_providers_are_json_too(invoke, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_BASE_URL", "https://mine.example/v1")
    monkeypatch.setenv("OVHCLOUD_API_KEY", "secret")
    status, out, _ = invoke("models", "--json")
    rows = {row["provider"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["azure"]["served_at"] == "https://mine.example/v1"
    assert rows["ovh"] == snapshot(
        {
            "provider": "ovh",
            "served_at": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
            "key_variables": ["AI_ENDPOINT_API_KEY", "OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_KEY"],
            "key_set": "OVHCLOUD_API_KEY",
        }
    )
    assert "secret" not in out


# --- the models of one ---


@pytest.fixture
def published(monkeypatch):
    """Return a function that serves a catalogue in the place of the real one."""

    def serve(answer):
        return Loopback.in_thread(lambda request: answer)

    def publish(server):
        row = PROVIDERS["ovh"]
        place = server.base_url.removesuffix("/v1") + "/rest/v1/models_v2"
        monkeypatch.setitem(PROVIDERS, "ovh", type(row)(base_url=row.base_url, keys=row.keys, catalogue=place))

    return serve, publish


def test_the_catalogue_is_a_table_of_what_each_model_can_do(invoke, published, monkeypatch):
    serve, publish = published
    monkeypatch.setenv("OVHCLOUD_API_KEY", "secret")
    with serve(json_reply(CATALOGUE)) as server:
        publish(server)
        status, out, err = invoke("models", "ovh")
    assert status == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == snapshot(
        [
            "model tools vision reasoning streaming limit with a key without available",
            "───────────────────────────────────────────────────────────────────────────────────────────────",
            "gpt-oss-20b yes no no yes 400 2 yes",
            "Mistral-Small yes yes no yes 400 2 no",
            "unknown ? ? ? ? ? ? ?",
        ]
    )
    assert err == snapshot("""\
note: 1 of 5 entries have no name and are left out
note: 1 not shown because they write no text; --json shows all models
""")
    [request] = server.requests
    assert (request.method, request.path) == ("GET", "/rest/v1/models_v2")
    assert "authorization" not in request.headers  # it is public


def test_the_catalogue_is_json_too(invoke, published):
    serve, publish = published
    with serve(json_reply(CATALOGUE)) as server:
        publish(server)
        status, out, _ = invoke("models", "ovh:", "--json")
    assert status == 0
    assert json.loads(out) == [asdict(card) for card in read_catalogue(CATALOGUE).models]
    assert json.loads(out)[1] == snapshot(
        {
            "name": "gpt-oss-20b",
            "available": True,
            "tools": True,
            "vision": False,
            "reasoning": False,
            "streaming": True,
            "writes_text": True,
            "limit": "400",
            "anonymous_limit": "2",
        }
    )


def test_a_catalogue_of_another_shape_is_named_and_what_it_holds_is_shown(invoke, published):
    serve, publish = published
    with serve(json_reply({"models": [{"id": "gpt-oss-20b", "features": ["tools"]}]})) as server:
        publish(server)
        status, out, err = invoke("models", "ovh")
    assert status == 0
    assert out.split()[-1] == "gpt-oss-20b"
    assert "does not say what its models can do, or its format has changed" in err


def test_other_providers_and_servers_are_asked_for_their_models(invoke, monkeypatch):
    models = {"object": "list", "data": [{"id": "qwen3:8b", "object": "model"}, {"id": "Llama"}]}
    with Loopback.in_thread([json_reply(models)] * 2) as server:
        monkeypatch.setenv("AGENTLOOP_API_KEY", "key-1")
        status, out, err = invoke("models", "--base-url", server.base_url)
        row = type(PROVIDERS["ovh"])(base_url=server.base_url, keys=("MY_KEY",))
        monkeypatch.setitem(PROVIDERS, "ollama", row)
        assert invoke("models", "ollama")[0] == 0
    assert (status, err) == (0, "")
    assert [line.strip() for line in out.splitlines()][2:] == ["Llama", "qwen3:8b"]
    assert [request.path for request in server.requests] == ["/v1/models"] * 2
    assert [request.headers.get("authorization") for request in server.requests] == ["Bearer key-1", None]


def test_models_in_this_process_are_named_without_asking_anybody(invoke):
    status, out, err = invoke("models", "local")
    assert status == 0
    assert out.split()[-1] == "smollm2"
    assert "any GGUF file" in err


# --- what may go wrong ---


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_offline_it_says_so(options, invoke, monkeypatch):
    row = type(PROVIDERS["ovh"])(catalogue="http://127.0.0.1:1/rest/v1/models_v2")
    monkeypatch.setitem(PROVIDERS, "ovh", row)
    status, out, err = invoke("models", "ovh", *options)
    error, hint = err.splitlines()
    assert status == 4
    assert error.startswith("error: http://127.0.0.1:1/rest/v1/models_v2 can't be reached: ")
    assert hint == "hint: check that this machine is online, or that the server runs there"
    assert not out or json.loads(out)["error"]["type"] == "UnreachableError"
    assert bool(out) == bool(options)


ANSWERS = {
    "an error": (error_reply(401, "who are you"), "the endpoint answered 401: who are you"),
    "a web page": (html_reply(), "a web page, 'Sign in'"),
    "no list": (json_reply({"models_v3": {}}), "holds no list of models: it is a dict without a list in `data`"),
    "no names": (json_reply([{}, 3]), "holds no list of models: 2 of 2 entries have no name and are left out"),
    "hung up": (Reply(before=(CUT,)), "can't be reached: "),
    "too large": (Reply((b" " * 400, b" " * 400)), "is larger than 500 bytes"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_no_catalogue_is_an_error_of_the_endpoint(case, invoke, monkeypatch):
    answer, words = ANSWERS[case]
    monkeypatch.setattr(catalogues, "MOST_BYTES", 500)
    with Loopback.in_thread(lambda request: answer) as server:
        status, out, err = invoke("models", "--base-url", server.base_url)
    error, hint = err.splitlines()
    assert (status, out) == (4, "")
    assert words in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("parts", [(Gate(),), (b"[", Gate())])
def test_a_server_that_does_not_answer_is_not_waited_for(parts, invoke, monkeypatch):
    monkeypatch.setattr(catalogues, "TIMEOUT_SECONDS", 0.2)
    with Loopback.in_thread(lambda request: Reply(parts, chunked=True)) as server:
        status, _, err = invoke("models", "--base-url", server.base_url)
    assert status == 4
    assert "gave no answer within 0.2 s" in err


def test_a_key_that_no_header_can_hold_is_a_mistake(invoke, monkeypatch):
    monkeypatch.setenv("AGENTLOOP_API_KEY", "schl\u00fcssel")
    status, out, err = invoke("models", "--base-url", "http://127.0.0.1:1/v1")
    assert (status, out) == (2, "")
    assert err.startswith("error: api_key holds a character that an HTTP header can't carry\nhint: ")


def test_a_server_that_trickles_is_not_waited_for(invoke, monkeypatch):
    now = chain([0.0], repeat(catalogues.TIMEOUT_SECONDS + 1))
    monkeypatch.setattr(catalogues, "monotonic", lambda: next(now))
    with Loopback.in_thread(lambda request: Reply([b" "] * 9)) as server:
        status, _, err = invoke("models", "--base-url", server.base_url)
    assert status == 4
    assert f"gave no answer within {catalogues.TIMEOUT_SECONDS:g} s" in err


MISTAKES = {
    "no such provider": (["nowhere"], "there is no provider 'nowhere'"),
    "both": (["ovh", "--base-url", "http://127.0.0.1:1/v1"], "a provider and --base-url were both given"),
    "no URL": (["--base-url", "nowhere"], "base_url 'nowhere' is not an http or https URL"),
    "no address": (["azure"], "AZURE_OPENAI_BASE_URL is not set"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_what_to_do(case, invoke):
    arguments, words = MISTAKES[case]
    status, out, err = invoke("models", *arguments)
    error, hint = err.splitlines()
    assert (status, out) == (2, "")
    assert words in error
    assert hint.startswith("hint: ")


# --- reading ---


@given(any_json())
def test_any_json_is_read_as_a_catalogue(payload):
    for card in read_catalogue(payload).models:
        assert card.name
        json.dumps(asdict(card))


@given(any_json(), any_json(), any_json())
def test_any_json_in_a_catalogue_leaves_the_rest_readable(capabilities, limits, metadata):
    strange = [
        entry("a", metadata=metadata),
        entry("b", metadata={"model_specs": {"capabilities": capabilities}}),
        entry("c", metadata={"usage_information": {"rate_limit": limits}}),
    ]
    assert {card.name for card in read_catalogue([*strange, entry("d")]).models} == set("abcd")


@given(st.sampled_from(["data", "models"]), st.lists(st.text(min_size=1), unique=True))
def test_a_list_of_names_is_a_catalogue(field, names):
    read = read_catalogue({field: names})
    assert read.faults == ()
    assert {card.name for card in read.models} == set(names)
    assert all(card == ModelCard(name=card.name) for card in read.models)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (400, "400"),
        ("2 / min", "2 / min"),
        ({"value": 2, "unit": "minute"}, "2 minute"),
        (None, ""),
        (True, ""),
        ([], ""),
    ],
)
def test_a_limit_is_read_whatever_it_is_written_as(limit, words):
    metadata = {"usage_information": {"rate_limit": {"rate_limit_api": limit}}}
    [card] = read_catalogue([entry("a", metadata=metadata)]).models
    assert card.limit == words
