"""The built-in table of providers: the address of each, and what it and its models can't do.

No other folder names a provider. Rows contain what is known, with a link to the source of each fact; the rest is
learned from a server's refusals.

- `provider`: Provider, which is a row, and the facts about models that hold on any provider.
- `hosted`: providers on the internet.
- `local_servers`: servers that users run themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentloop.errors import ConfigurationError
from agentloop.wire.profile.providers.hosted import HOSTED_PROVIDERS
from agentloop.wire.profile.providers.local_servers import LOCAL_SERVERS
from agentloop.wire.profile.providers.provider import Provider

HOSTED, EMBEDDED = "ovh:gpt-oss-20b", "local:smollm2"
"""The default models of the command line: the first if its key is set, otherwise the second."""

__all__ = ["EMBEDDED", "HOSTED", "PROVIDERS", "Provider", "find_provider"]

PROVIDERS: Mapping[str, Provider] = {**HOSTED_PROVIDERS, **LOCAL_SERVERS}


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
