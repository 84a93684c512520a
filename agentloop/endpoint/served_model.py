"""Defines ServedModel: where a model is served, and the connections to it; and those of a family of agents."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib import import_module

from agentloop.endpoint.interception import is_intercepting
from agentloop.endpoint.profile_store import ResolvedProfile, resolve_profile
from agentloop.endpoint.transport import HttpTransport, Transport, WarningSource
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.providers import Provider, find_provider

_STARTED_HERE = "http://127.0.0.1/v1"  # until its server has been started, and its port is known


class ServedModel:
    """A model on its server. Agents that differ in something else share it.

    Args:
        model: The model as the user names it.
        endpoint: Where it is served, or None if the table of providers knows it.

    Attributes:
        name: The model's name on the server.

    Raises:
        ConfigurationError: the table has no such provider, or a header can't hold the endpoint's key.
    """

    def __init__(self, model: str, endpoint: Endpoint | Transport | None) -> None:
        self.name = model
        self._row = ""
        self._provider = Provider()
        self._known: ResolvedProfile | None = None
        self._warnings: list[str] = []
        self._warns: WarningSource | None = None
        if endpoint is None:
            self._provider, self.name = find_provider(model)
            self._row = model.partition(":")[0]
            starts = bool(self._provider.starter)
            found = self._provider.endpoint(self.name, os.environ, _STARTED_HERE if starts else "")
            self._transport: Transport = HttpTransport(found, self._start_server if starts else None)
        else:
            self._transport = HttpTransport(endpoint) if isinstance(endpoint, Endpoint) else endpoint

    async def connect(self) -> tuple[Transport, ResolvedProfile]:
        """Return what sends requests to the model, and its profile; start its server if it has to be started here."""
        transport = self._transport
        if self._provider.starter and isinstance(transport, HttpTransport) and not is_intercepting():
            await transport.find_pool()
        if self._known is None:
            self._known = resolve_profile(transport.endpoint, self.name, self._row)
            self._warnings.extend(self._known.warnings)
            source: object = transport
            self._warns = source if isinstance(source, WarningSource) else None
        return transport, self._known

    def take_warnings(self) -> list[str]:
        """Return the faults in the stored profile, and the endpoint's warnings, that have not been returned yet."""
        warnings, self._warnings = self._warnings, []
        return warnings if self._warns is None else warnings + self._warns.take_warnings()

    async def aclose(self) -> None:
        """Free the connections; the next request opens new ones."""
        await self._transport.aclose()

    async def _start_server(self) -> Endpoint:
        module, _, function = self._provider.starter.partition(":")
        start: Callable[[str], str] = getattr(import_module(module), function)
        base_url = await asyncio.to_thread(start, self.name)
        return self._provider.endpoint(self.name, os.environ, base_url)


class ServedModels:
    """The models of an agent and of those that were made from it. Each is connected to once."""

    def __init__(self) -> None:
        self._known: list[tuple[str, Endpoint | Transport | None, ServedModel]] = []

    def find(self, model: str, endpoint: Endpoint | Transport | None) -> ServedModel:
        """Return a model as it is named and served; arguments and errors are those of ServedModel."""
        for name, place, served in self._known:
            if name == model and place == endpoint:
                return served
        served = ServedModel(model, endpoint)
        self._known.append((model, endpoint, served))
        return served

    async def aclose(self) -> None:
        """Free all connections; the next request opens new ones."""
        for _, _, served in self._known:
            await served.aclose()
