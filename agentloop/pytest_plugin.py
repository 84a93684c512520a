"""The pytest plugin: forbids requests to models, and gives tests cassettes.

pytest imports it in every session, so it imports the rest of agentloop only when a test needs it.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from agentloop.endpoint.interception import GUARDS

if TYPE_CHECKING:
    from agentloop.testing import Cassette
    from agentloop.wire.profile import Endpoint

_HOSTS, _MASKED = "agentloop_allowed_hosts", "agentloop_masked_fields"
_LONGEST_NAME = 100
_MARKERS = (
    "allow_requests(*hosts): let agents send requests to these hosts, or to any",
    "cassette(masked_fields=()): replay the requests to models from a file; the same as the fixture",
)


class _Guard:
    """Forbids requests to hosts other than those of the session and of the test that runs."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = hosts
        self._more: tuple[str, ...] = ()

    def __call__(self, endpoint: Endpoint) -> None:
        make_guard = import_module("agentloop.testing.requests").make_guard
        make_guard(self._hosts + self._more, "@pytest.mark.allow_requests({host!r})")(endpoint)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Allow what the markers of a test allow, also to its fixtures."""
        markers = item.iter_markers("allow_requests")
        self._more = tuple(host for marker in markers for host in marker.args or ("*",))
        try:
            return (yield)
        finally:
            self._more = ()


_CASSETTE = pytest.StashKey["Cassette"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("agentloop")
    group.addoption("--agentloop-record", action="store_true", help="record the cassettes of the tests that run anew")
    parser.addini(_HOSTS, "hosts that agents may send requests to; * is any", "args", ["localhost"])
    parser.addini(_MASKED, "fields that cassettes do not show, in requests and in replies", "args", [])


def pytest_configure(config: pytest.Config) -> None:
    """Forbid requests from now on, also while tests are collected."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    guard = _Guard(tuple(config.getini(_HOSTS)))
    config.pluginmanager.register(guard)
    GUARDS.append(guard)
    config.add_cleanup(lambda: GUARDS.remove(guard))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the marker do what the fixture does."""
    if (
        isinstance(item, pytest.Function)
        and item.get_closest_marker("cassette")
        and "cassette" not in item.fixturenames
    ):
        item.fixturenames.insert(0, "cassette")


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Generator[Cassette]:
    """Replay the requests to models from `cassettes/<module>/<test>.json`, or record them with --agentloop-record."""
    masked = {*request.config.getini(_MASKED)}
    for marker in request.node.iter_markers("cassette"):
        masked.update(marker.kwargs.get("masked_fields", ()))
    with import_module("agentloop.testing.cassette").use_cassette(
        _find_path(request.node), record=request.config.getoption("--agentloop-record"), masked_fields=masked
    ) as used:
        request.node.stash[_CASSETTE] = used
        yield used


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test that has handled the error of a request which its cassette does not have."""
    used = pyfuncitem.stash.get(_CASSETTE, None)
    try:
        result = yield
        if used is not None and used.error is not None:
            raise used.error
        return result
    finally:
        if used is not None:
            used.error = None  # the end of the block would raise it again


def _find_path(item: pytest.Item) -> Path:
    """Return where the cassette of a test is: beside its module, in a folder for each module."""
    name = item.nodeid.partition("::")[2].replace("::", ".")
    plain = re.sub(r"[^\w.\[\]-]+", "-", name)[:_LONGEST_NAME]
    if plain != name:  # which another test's name may come to as well
        plain += f"-{crc32(name.encode()):08x}"
    return item.path.parent / "cassettes" / item.path.stem / f"{plain}.json"
