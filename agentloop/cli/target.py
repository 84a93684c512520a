"""Finds the model and the endpoint that a command line names with --model and --base-url."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.providers import PROVIDERS, Provider, find_provider

_PLACEHOLDER_URL = "http://127.0.0.1/v1"  # of the embedded server, while it is not started


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model on an endpoint.

    Attributes:
        model: The model's name on the server.
        endpoint: The endpoint that serves it.
        provider: The provider's name in the built-in table, or "".
    """

    model: str
    endpoint: Endpoint
    provider: str = ""


def find_target(model: str, base_url: str | None, *, start: bool = False) -> NamedModel:
    """Return the model and the endpoint that a command line names.

    Args:
        model: `provider:name`, or with a base URL the model's name on that server.
        base_url: The URL of a server that is not in the built-in table, or None.
        start: Whether to start the server of a model that runs inside this process. If not, the endpoint has a
            placeholder as its address.

    Raises:
        ConfigurationError: there is no such provider, or the URL is invalid.
    """
    if base_url is not None:
        return NamedModel(model, make_endpoint(base_url))
    provider, name = split_model(model)
    address = ""
    if provider.starter:
        module, _, function = provider.starter.partition(":")
        address = getattr(import_module(module), function)(name) if start else _PLACEHOLDER_URL
    return NamedModel(name, provider.endpoint(name, os.environ, address), model.partition(":")[0])


def make_endpoint(base_url: str) -> Endpoint:
    """Return the endpoint at a base URL, with the key in AGENTLOOP_API_KEY, if there is one."""
    return Endpoint(base_url, api_key=os.environ.get("AGENTLOOP_API_KEY") or None)


def find_row(name: str) -> Provider:
    """Return the provider of this name, which may end in a colon.

    Raises:
        ConfigurationError: there is no provider of this name.
    """
    provider = PROVIDERS.get(name.removesuffix(":"))
    if provider is None:
        raise ConfigurationError(
            f"there is no provider {name!r}",
            hint=f"give one of {', '.join(sorted(PROVIDERS))}, or --base-url for any other server",
        )
    return provider


def split_model(model: str) -> tuple[Provider, str]:
    """Split `provider:name`, and return the provider and the name.

    Raises:
        ConfigurationError: there is no such provider. The hint names --base-url too.
    """
    try:
        return find_provider(model)
    except ConfigurationError as error:
        error.hint += "; on the command line, --base-url http://.../v1"
        raise
