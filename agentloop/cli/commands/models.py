"""`agentloop models`: lists the providers, or the models of one of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TextIO

from agentloop.cli.failure import DONE, failure_as_json, report
from agentloop.cli.target import find_row, make_endpoint
from agentloop.cli.terminal import keep_stdout, print_json, print_table, say
from agentloop.endpoint.catalogue import Catalogue, ModelCard, fetch_catalogue
from agentloop.endpoint.transport import HttpTransport, hiding_secrets
from agentloop.errors import AgentloopError, ConfigurationError
from agentloop.items import JsonObject
from agentloop.wire.profile import Endpoint, add_path
from agentloop.wire.profile.providers import PROVIDERS, Provider

_FLAGS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "?"}


def list_models(provider: str | None, base_url: str | None, *, as_json: bool) -> int:
    """Print the models of a provider or a server, or the providers if neither is given; return the exit status."""
    with keep_stdout() as stdout:
        try:
            if provider is None and base_url is None:
                _print_providers(stdout, as_json=as_json)
            else:
                _print_models(_find_models(provider, base_url), stdout, as_json=as_json)
        except (AgentloopError, KeyboardInterrupt) as failure:
            if as_json:
                print_json(failure_as_json(failure), stdout)
            return report(failure)
        return DONE


def _print_providers(stdout: TextIO, *, as_json: bool) -> None:
    rows = [_describe_provider(name, PROVIDERS[name]) for name in sorted(PROVIDERS)]
    if as_json:
        print_json(rows, stdout, indent=2)
        return
    cells = [[row["provider"], row["served_at"], _describe_key(row)] for row in rows]
    print_table(("provider", "base URL", "key"), cells, stdout)


def _describe_provider(name: str, provider: Provider) -> JsonObject:
    address = os.environ.get(provider.address) or provider.base_url
    return {
        "provider": name,
        "served_at": address or ("in this process" if provider.starter else f"${provider.address}"),
        "key_variables": list(provider.keys),
        "key_set": next((key for key in provider.keys if os.environ.get(key)), None),
    }


def _describe_key(row: JsonObject) -> str:
    if not row["key_variables"]:
        return "none needed"
    return f"{row['key_set']} is set" if row["key_set"] else f"{' or '.join(row['key_variables'])}: not set"


def _find_models(provider: str | None, base_url: str | None) -> Catalogue:
    if provider is not None and base_url is not None:
        raise ConfigurationError("a provider and --base-url were both given", hint="give only one of them")
    if base_url is not None:
        return _ask_server(make_endpoint(base_url))
    row = find_row(provider or "")
    if row.starter:
        say("note", f"{provider} runs any GGUF file inside this process, named by its path or by one of these names")
        return Catalogue(tuple(ModelCard(name=name) for name in row.models if "*" not in name))
    if row.catalogue and not row.catalogue_headers:
        catalogue = fetch_catalogue(row.catalogue, {})
        if catalogue.has_only_names:
            say("note", f"{row.catalogue} does not say what its models can do, or its format has changed")
        return catalogue
    return _fetch(row.endpoint("its models", os.environ), *row.locate_catalogue(os.environ))


def _ask_server(endpoint: Endpoint) -> Catalogue:
    key = {} if endpoint.api_key is None else {"Authorization": f"Bearer {endpoint.api_key}"}
    return _fetch(endpoint, add_path(endpoint.base_url, "/models"), {**key, **endpoint.headers})


def _fetch(endpoint: Endpoint, url: str, headers: Mapping[str, str]) -> Catalogue:
    HttpTransport(endpoint)  # raises if the key contains characters that a header can't hold
    with hiding_secrets(endpoint):
        return fetch_catalogue(url, headers)


def _print_models(catalogue: Catalogue, stdout: TextIO, *, as_json: bool) -> None:
    for fault in catalogue.faults:
        say("note", fault)
    if as_json:
        print_json([asdict(card) for card in catalogue.models], stdout, indent=2)
        return
    shown = [card for card in catalogue.models if card.writes_text is not False]
    hidden = len(catalogue.models) - len(shown)
    if hidden:
        say("note", f"{hidden} not shown because they write no text; --json shows all models")
    if catalogue.has_only_names:
        print_table(("model",), [[card.name] for card in shown], stdout)
        return
    titles = ("model", "tools", "vision", "reasoning", "streaming", "limit with a key", "without", "available")
    print_table(titles, [_describe(card) for card in shown], stdout)


def _describe(card: ModelCard) -> list[str]:
    flags = [_FLAGS[flag] for flag in (card.tools, card.vision, card.reasoning, card.streaming)]
    return [card.name, *flags, card.limit or "?", card.anonymous_limit or "?", _FLAGS[card.available]]
