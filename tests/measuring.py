"""A plugin that measures coverage while code of a test's own module runs, and at no other time.

What measures is called at each line of each module, whether it is ours or not, so that all that Python does takes two
to five times as long. It is not needed while pytest collects tests, and sets up and tears down what they need. Property
tests are not measured either, and neither are other programs (but see `measured_programs`): a branch has a test that
somebody wrote for it.
"""

import os
import pkgutil
import sys
from contextlib import contextmanager, suppress
from importlib import import_module

import pytest
from hypothesis import is_hypothesis_test

_PROCESSES = "COVERAGE_PROCESS_CONFIG"
"""The variable by which a program that is started learns how it is to be measured."""

PROGRAMS: dict[str, str] = {}
"""What the environment of a program needs to have it measured."""


@pytest.fixture
def measured_programs(monkeypatch):
    """Measure the programs that this test starts, too, which makes each of them about half a second slower."""
    for name, value in PROGRAMS.items():
        monkeypatch.setenv(name, value)


@contextmanager
def measured_by(measure):
    """Let this function, or none, measure what this thread does."""
    before = sys.gettrace()
    sys.settrace(measure)
    try:
        yield
    finally:
        sys.settrace(before)


def is_unmeasured(item) -> bool:
    return is_hypothesis_test(getattr(item, "obj", None)) or item.get_closest_marker("unmeasured") is not None


class Measuring:
    """Knows what measures, also where nothing does."""

    def __init__(self) -> None:
        self._measure = None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        self._measure = sys.gettrace()
        if self._measure:
            PROGRAMS[_PROCESSES] = os.environ.pop(_PROCESSES, "")
            import_all_modules()
        with measured_by(None):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        if isinstance(collector, pytest.Module):
            # What keeps it from being imported is reported when pytest tries the same.
            with measured_by(self._measure), suppress(pytest.Collector.CollectError, pytest.skip.Exception):
                _ = collector.obj
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        """Put what isn't measured last: what a function keeps in a cache is computed only once in a process."""
        if self._measure:
            items.sort(key=is_unmeasured)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self):
        with measured_by(None):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        is_ours = fixturedef.baseid.endswith(".py") and not is_unmeasured(request.node)
        with measured_by(self._measure if is_ours else None):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        with measured_by(None if is_unmeasured(pyfuncitem) else self._measure):
            return (yield)


def pytest_configure(config):
    config.addinivalue_line("markers", "unmeasured: covers no branch of its own, and takes long while it is measured")
    config.pluginmanager.register(Measuring())


def import_all_modules() -> None:
    """Import all of agentloop, because what is imported later, while tests are collected, isn't measured."""
    import agentloop  # noqa: PLC0415 - what measures has not started when a plugin is imported

    for module in pkgutil.walk_packages(agentloop.__path__, "agentloop."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
