"""The pytest plugin, in sessions of pytest within this one."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import agentloop.endpoint.transport.connection
import agentloop.ext.aiohttp
import agentloop.testing
from agentloop.endpoint.interception import GUARDS, RECORDERS
from loopback import Loopback, text_body

pytest_plugins = "pytester"

# What a session imports is forgotten at its end. What takes a second to import is imported here.
KEPT = (agentloop.ext.aiohttp, agentloop.endpoint.transport.connection, agentloop.testing)
PLAIN = ("randomly", "cacheprovider", "xdist", "pytest_cov", "hypothesispytest", "timeout")
SCOPE = "asyncio_default_fixture_loop_scope=function"
ARGUMENTS = ("-o", SCOPE, *(each for name in PLAIN for each in ("-p", f"no:{name}")))

MODULE = """
import pytest
from agentloop import Agent, AgentloopError, Endpoint
from agentloop.testing import RequestForbiddenError, ScriptedEndpoint

agent = Agent("m", endpoint=Endpoint("{url}"))
hosted = Agent("m", endpoint=Endpoint("https://models.example/v1", retries=0))

"""


@pytest.fixture
def server():
    with Loopback.in_thread(lambda request: text_body(f"answer {len(server.requests)}")) as server:
        yield server


@pytest.fixture
def session(pytester, server):
    """Return a function that writes a module of tests and runs it."""

    def run(tests=None, *arguments):
        if tests is not None:
            pytester.makepyfile(test_shop=MODULE.format(url=server.base_url) + tests)
        return pytester.runpytest_inprocess(*ARGUMENTS, *arguments)

    yield run
    assert GUARDS == []
    assert RECORDERS == []


def test_pytest_finds_it():
    [found] = entry_points(group="pytest11", name="agentloop")
    assert found.value == "agentloop.pytest_plugin"


def test_it_imports_next_to_nothing():
    program = """
import sys, pytest
before = set(sys.modules)
import agentloop.pytest_plugin
ours = {"agentloop", "agentloop.endpoint", "agentloop.endpoint.interception", "agentloop.pytest_plugin"}
print(sorted(set(sys.modules) - before - ours))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


# --- requests ---


def test_requests_to_other_machines_are_forbidden_and_those_to_this_one_are_not(session, server):
    session("""
def test_hosted():
    with pytest.raises(RequestForbiddenError, match="pytest.mark.allow_requests.'models.example'"):
        hosted.run_sync("go")

def test_here():
    assert agent.run_sync("go").text == "answer 1"
    agent.close()

def test_script():
    assert Agent("m", endpoint=ScriptedEndpoint(["hi"])).run_sync("go").text == "hi"
""").assert_outcomes(passed=3)
    assert len(server.requests) == 1


def test_requests_are_forbidden_while_tests_are_collected(session):
    session('hosted.run_sync("go")').stdout.fnmatch_lines(["*RequestForbiddenError*models.example*"])


@pytest.mark.parametrize("marker", ["allow_requests", "allow_requests('*.example')", "allow_requests('a', 'models.*')"])
def test_a_marker_allows_requests_of_one_test_and_its_fixtures(session, marker):
    session(f"""
from agentloop.endpoint.interception import GUARDS

def judge():
    for guard in GUARDS:
        guard(Endpoint("https://models.example/v1"))

@pytest.fixture
def fixture():
    judge()

@pytest.mark.{marker}
def test_allowed(fixture):
    judge()

@pytest.mark.allow_requests("b.example")
def test_other_host():
    with pytest.raises(RequestForbiddenError):
        judge()

def test_forbidden():
    with pytest.raises(RequestForbiddenError):
        judge()
""").assert_outcomes(passed=3)


def test_an_option_names_the_hosts_of_a_session(session, pytester):
    pytester.makeini("[pytest]\nagentloop_allowed_hosts = models.example")
    session("""
from agentloop.endpoint.interception import GUARDS

def test_hosts():
    GUARDS[0](Endpoint("https://models.example/v1"))
    with pytest.raises(RequestForbiddenError):
        agent.run_sync("go")
""").assert_outcomes(passed=1)


def test_it_can_be_switched_off(session):
    tests = """
from agentloop.endpoint.interception import GUARDS

def test_nothing():
    assert GUARDS == []
"""
    session(tests, "-p", "no:agentloop").assert_outcomes(passed=1)


# --- cassettes ---

ASKING = """
def test_greeting(cassette):
    assert agent.run_sync("go").text == "answer 1"
    agent.close()
"""


def test_a_cassette_is_recorded_and_then_replayed(session, server, pytester):
    session(ASKING, "--agentloop-record").assert_outcomes(passed=1)
    path = pytester.path / "cassettes" / "test_shop" / "test_greeting.json"
    content = json.loads(path.read_text("utf-8"))
    assert content["interactions"][0]["request"]["body"]["input"]
    session().assert_outcomes(passed=1)
    assert json.loads(path.read_text("utf-8")) == content
    assert len(server.requests) == 1
    session(ASKING.replace("answer 1", "answer 2"), "--agentloop-record").assert_outcomes(passed=1)
    assert json.loads(path.read_text("utf-8")) != content
    assert len(server.requests) == 2


def test_a_missing_cassette_says_how_it_is_recorded(session, server):
    result = session(ASKING)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no cassette *test_greeting.json", "*--agentloop-record*"])
    assert server.requests == []


def test_a_changed_request_fails_the_test_with_a_diff(session):
    session(ASKING, "--agentloop-record")
    result = session(ASKING.replace('"go"', '"stop"'))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--- recorded", "*+++ sent", '*-*"go"*', '*+*"stop"*'])


def test_a_changed_request_fails_a_test_that_handles_errors(session):
    session(ASKING, "--agentloop-record")
    handling = """
def test_greeting(cassette):
    with pytest.raises(AgentloopError):
        agent.run_sync("stop")
"""
    result = session(handling)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*+*"stop"*'])


def test_a_changed_request_is_told_once(session):
    session(ASKING, "--agentloop-record")
    for change in (
        ASKING.replace('"go"', '"stop"'),
        ASKING.replace('"go"', '"stop"').replace("agent.run", "1/0, agent.run"),
    ):
        session(change).assert_outcomes(failed=1, errors=0)


def test_a_unittest_is_replayed_and_fails_if_it_handles_the_error(session, server):
    tests = """
import unittest

@pytest.mark.cassette
class TestShop(unittest.TestCase):
    def test_greeting(self):
        try:
            agent.run_sync("go")
        except AgentloopError:
            pass
        agent.close()
"""
    session(tests, "--agentloop-record").assert_outcomes(passed=1)
    session().assert_outcomes(passed=1)
    assert len(server.requests) == 1
    result = session(tests.replace('"go"', '"stop"'))
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(['*+*"stop"*'])


def test_an_empty_list_of_hosts_forbids_requests_to_this_machine_too(session, pytester, server):
    pytester.makeini("[pytest]\nagentloop_allowed_hosts =")
    session("""
def test_here():
    with pytest.raises(RequestForbiddenError):
        agent.run_sync("go")
""").assert_outcomes(passed=1)
    assert server.requests == []


def test_the_marker_does_what_the_fixture_does_and_also_on_classes_and_async_tests(session, pytester, server):
    tests = """
@pytest.mark.cassette
class TestShop:
    @pytest.mark.asyncio
    async def test_greeting(self):
        assert (await agent.run("go")).text.startswith("answer")
        await agent.aclose()

    @pytest.mark.parametrize("word", ["a/b", "a b", "plain"])
    def test_words(self, word, cassette):
        agent.run_sync(word)
        assert len(cassette.requests) == 1
        agent.close()

def test_other():
    hosted
"""
    session(tests, "--agentloop-record").assert_outcomes(passed=5)
    assert len(server.requests) == 4
    names = sorted(path.name for path in (pytester.path / "cassettes" / "test_shop").iterdir())
    assert len(names) == 4
    assert names[0] == "TestShop.test_greeting.json"
    assert "TestShop.test_words[plain].json" in names
    session().assert_outcomes(passed=5)
    assert len(server.requests) == 4


def test_long_names_become_short_ones(session, pytester):
    session(
        """
@pytest.mark.parametrize("word", ["x" * 300, "x" * 301])
def test_word(word, cassette):
    agent.run_sync(word)
    agent.close()
""",
        "--agentloop-record",
    ).assert_outcomes(passed=2)
    names = [path.name for path in (pytester.path / "cassettes" / "test_shop").iterdir()]
    assert len(names) == 2
    assert max(map(len, names)) < 120


def test_fields_are_masked_by_marker_and_by_option(session, pytester):
    pytester.makeini("[pytest]\nagentloop_masked_fields = user")
    tests = """
from agentloop import ModelSettings

@pytest.mark.cassette(masked_fields=["safety_identifier"])
def test_greeting():
    agent.run_sync("go", settings=ModelSettings(user="ada", safety_identifier="ada-4711"))
    agent.close()
"""
    session(tests, "--agentloop-record").assert_outcomes(passed=1)
    text = (pytester.path / "cassettes" / "test_shop" / "test_greeting.json").read_text("utf-8")
    assert '"user": "***"' in text
    assert '"safety_identifier": "***"' in text
    session().assert_outcomes(passed=1)


def test_a_fixture_that_asks_is_recorded_too(session, server):
    tests = """
@pytest.fixture
def answer():
    yield agent.run_sync("go").text
    agent.close()

@pytest.mark.cassette
def test_greeting(answer):
    assert answer == "answer 1"
"""
    session(tests, "--agentloop-record").assert_outcomes(passed=1)
    session().assert_outcomes(passed=1)
    assert len(server.requests) == 1


def test_the_markers_are_known_and_the_option_is_in_the_help(session):
    session("def test_nothing(): pass", "--strict-markers", "--markers").stdout.fnmatch_lines(
        ["*allow_requests*", "*cassette*"]
    )
    session(None, "--help").stdout.fnmatch_lines(["*--agentloop-record*"])
