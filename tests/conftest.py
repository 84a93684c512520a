"""What every test begins with."""

import pytest

from agentloop.wire import conversation


@pytest.fixture(autouse=True)
def nothing_learned_before():
    """Ports are used again, so what was learned about one test's server is not true of another's."""
    conversation._LEARNED.clear()
