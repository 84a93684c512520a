"""Which model on which endpoint a command line means by --model and --base-url."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.providers import PROVIDERS, Provider, find_provider

_STARTED_LATER = "http://127.0.0.1/v1"


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model on an endpoint.

    Attributes:
        model: Its name as the server knows it.
        endpoint: Where it is served.
        provider: The row of the table that it comes from, or "".
    """

    model: str
    endpoint: Endpoint
    provider: str = ""


def find_target(model: str, base_url: str | None, *, start: bool = False) -> NamedModel:
    """Return what is meant.

    Args:
        model: `provider:name`, or with a base URL the name as that server knows it.
        base_url: Of a server that is in no table.
        start: Start the server of a model that runs inside this process; else its address stands for it.

    Raises:
        ConfigurationError: no such provider, or a URL that is none.
    """
    if base_url is not None:
        return NamedModel(model, make_endpoint(base_url))
    provider, name = split_model(model)
    address = ""
    if provider.starter:
        module, _, function = provider.starter.partition(":")
        address = getattr(import_module(module), function)(name) if start else _STARTED_LATER
    return NamedModel(name, provider.endpoint(name, os.environ, address), model.partition(":")[0])


def make_endpoint(base_url: str) -> Endpoint:
    """Return the endpoint at a base URL, with the key that the environment has for such servers."""
    return Endpoint(base_url, api_key=os.environ.get("AGENTLOOP_API_KEY") or None)


def find_row(name: str) -> Provider:
    """Return a provider by its name alone, which may end in a colon.

    Raises:
        ConfigurationError: there is none of this name.
    """
    provider = PROVIDERS.get(name.removesuffix(":"))
    if provider is None:
        raise ConfigurationError(
            f"there is no provider {name!r}",
            hint=f"give one of {', '.join(sorted(PROVIDERS))}, or --base-url for a server that is in no table",
        )
    return provider


def split_model(model: str) -> tuple[Provider, str]:
    """Return the row and the bare name for `provider:name`.

    Raises:
        ConfigurationError: there is no such provider; the hint is one for the command line.
    """
    try:
        return find_provider(model)
    except ConfigurationError as error:
        error.hint += "; on the command line, --base-url http://.../v1"
        raise
