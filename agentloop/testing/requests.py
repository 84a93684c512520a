"""Defines forbid_requests: a block in which no request reaches an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from agentloop.endpoint.interception import GUARDS
from agentloop.endpoint.proxies import is_local
from agentloop.errors import UserError
from agentloop.wire.profile import Endpoint
from agentloop.wire.profile.profile import hide_credentials


class RequestForbiddenError(UserError):
    """A test was about to send a request to a real endpoint. Nothing was sent."""


@contextmanager
def forbid_requests(*, allowed_hosts: Iterable[str] = ()) -> Generator[None]:
    """Raise RequestForbiddenError for every request to a model within the block, in all threads.

    What ScriptedEndpoint and cassettes answer is no request. The pytest plugin puts every session into such a block.

    Args:
        allowed_hosts: Hosts that may get requests, as names or shell patterns; `localhost` is this machine.
    """
    guard = make_guard(tuple(allowed_hosts), "forbid_requests(allowed_hosts=[{host!r}])")
    GUARDS.append(guard)
    try:
        yield
    finally:
        GUARDS.remove(guard)


def make_guard(allowed_hosts: tuple[str, ...], remedy: str) -> Callable[[Endpoint], None]:
    """Return a guard that forbids requests to all other hosts; the remedy is the code that allows a host."""

    def guard(endpoint: Endpoint) -> None:
        host = urlsplit(endpoint.base_url).hostname or ""
        if any(fnmatchcase(host, each.lower()) for each in allowed_hosts):
            return
        if "localhost" in allowed_hosts and is_local(endpoint.base_url):
            return
        raise RequestForbiddenError(
            f"a request to {hide_credentials(endpoint.base_url)} was stopped: requests are forbidden in this test",
            hint="let a script answer, agent.override(endpoint=ScriptedEndpoint([...])), or a recording, the fixture "
            f"`cassette`; or allow it: {remedy.format(host=host)}",
        )

    return guard
