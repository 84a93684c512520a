"""Options of the wrong kind, and rules and limits about no tool: errors at once, in words that say what to write."""

import math

import pytest

from agentloop import (
    Agent,
    ConfigurationError,
    Effects,
    Endpoint,
    Limits,
    ModelSettings,
    Notice,
    Policy,
    ToolDefinitionError,
    ToolPack,
    approve_matching,
    tool,
)
from agentloop.testing import ScriptedEndpoint

WRONG = [
    (Policy, {"approver": "yes"}, "a function, or None"),
    (Policy, {"on_tool_error": "Raise"}, "one of: model, raise"),
    (Policy, {"on_tool_error": None}, "one of: model, raise"),
    (Policy, {"taint": 0}, "True or False"),
    (ModelSettings, {"temperature": "hot"}, "a number of at least 0, or None"),
    (ModelSettings, {"temperature": math.nan}, "a number"),
    (ModelSettings, {"temperature": True}, "a number"),
    (ModelSettings, {"temperature": -0.5}, "a number of at least 0"),
    (ModelSettings, {"top_p": 1.5}, "a number of at least 0 and of at most 1"),
    (ModelSettings, {"max_output_tokens": 0}, "a whole number of at least 1"),
    (ModelSettings, {"max_output_tokens": 99.5}, "a whole number"),
    (ModelSettings, {"reasoning_effort": "hihg"}, "one of: none, minimal"),
    (ModelSettings, {"tool_choice": ["add"]}, "a text"),
    (ModelSettings, {"parallel_tool_calls": "no"}, "True or False, or None"),
    (ModelSettings, {"verbosity": "loud"}, "one of: low"),
    (ModelSettings, {"user": 7}, "a text"),
    (ModelSettings, {"summarize_dropped": "yes"}, "True or False"),
    (ModelSettings, {"extra_body": {7: 7}}, "a mapping with texts as keys"),
    (ModelSettings, {"extra_body": [("a", 1)]}, "a mapping with texts as keys"),
    (Endpoint, {"base_url": 8000}, "a text"),
    (Endpoint, {"base_url": "http://h/v1", "timeout_seconds": "5"}, "a number above 0"),
    (Endpoint, {"base_url": "http://h/v1", "timeout_seconds": math.nan}, "a number above 0"),
    (Endpoint, {"base_url": "http://h/v1", "retries": 1.5}, "a whole number of at least 0"),
    (Endpoint, {"base_url": "http://h/v1", "profile": "vllm"}, "a Profile"),
    (Endpoint, {"base_url": "http://h/v1", "api_key": b"secret"}, "api_key can't be a bytes"),
    (Endpoint, {"base_url": "http://h/v1", "headers": {"x": 1}}, "headers can't be a dict"),
    (Limits, {"turns": "3"}, "a number of at least 1"),
    (Limits, {"seconds": math.nan}, "a number of at least 0"),
    (ModelSettings, {"max_output_tokens": -(10**5000)}, "a whole number of at least 1"),
    (Effects, {"write": "no"}, "True or False"),
    (Effects, {"hosts": "example.com"}, "a tuple of texts"),
    (Effects, {"hosts": (1,)}, "a tuple of texts"),
]


@pytest.mark.parametrize(("make", "options", "words"), WRONG)
def test_an_option_of_the_wrong_kind_is_an_error_at_once(make, options, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        make(**options)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": "5"}, "timeout='5' is not a number of seconds above 0, or None"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": -1}, "timeout=-1"),
        ({"parallel": "no"}, "parallel='no' is not True or False"),
        ({"repeatable": 1}, "repeatable=1 is not True or False"),
        ({"max_output": "all"}, "max_output='all' is not a whole number"),
        ({"effects": "write"}, "effects='write' is not an Effects"),
        ({"strict": "yes"}, "strict='yes' is not True or False"),
        ({"name": 7}, "7 can't be a tool's name"),
        ({"description": 7}, "description=7 is not a text, or None"),
    ],
)
def test_an_option_of_a_tool_of_the_wrong_kind_is_an_error_at_once(options, words):
    def look() -> str:
        """Look."""
        return "seen"

    with pytest.raises(ToolDefinitionError) as caught:
        tool(**options)(look)
    assert words in str(caught.value)


@tool
def delete_file(path: str) -> str:
    """Delete a file."""
    return "deleted"


class Disk(ToolPack):
    name = "disk"

    @tool(effects=Effects())
    def wipe(self) -> str:
        """Wipe it."""
        return "wiped"


DEAD = [
    {"policy": Policy(deny=("delete_fiel",))},
    {"policy": Policy(deny=("Delete_File",))},
    {"policy": Policy(ask=("delete-file(path=*)",))},
    {"policy": Policy(allow=("delete_files",))},
    {"policy": Policy(approver=approve_matching("delete_fil"))},
    {"limits": Limits(per_tool={"deletefile": 0})},
]


@pytest.mark.parametrize("options", DEAD)
def test_a_rule_or_limit_about_no_tool_is_an_error_that_names_a_near_one(options):
    with pytest.raises(ConfigurationError, match="is about no tool of this agent") as caught:
        Agent("any", endpoint=ScriptedEndpoint([]), tools=[delete_file], **options)
    assert caught.value.hint == "did you mean delete_file?"


async def test_with_packs_it_is_an_error_when_they_are_open():
    endpoint = ScriptedEndpoint(["hi"])
    good = Policy(deny=("disk.wipe", "delete_file(path=a)"))
    assert (await Agent("any", endpoint=endpoint, tools=[delete_file, Disk()], policy=good).run("go")).text == "hi"
    agent = Agent("any", endpoint=endpoint, tools=[Disk()], policy=Policy(deny=("elsewhere",)))
    with pytest.raises(ConfigurationError) as caught:
        await agent.run("go")
    assert caught.value.hint == "the tools are: disk.wipe, disk_wipe"


@pytest.mark.parametrize("tools", [[delete_file], [Disk()]])
async def test_a_pattern_that_matches_no_tool_is_said(tools):
    policy = Policy(deny=("shell.*",), ask=("d*",))
    agent = Agent("any", endpoint=ScriptedEndpoint(["hi"]), tools=tools, policy=policy)
    notices = [event.text async for event in agent.stream("go") if isinstance(event, Notice)]
    assert notices == ["Policy: deny: 'shell.*' matches no tool of this agent"]


async def test_a_pattern_that_came_with_a_pack_and_matches_none_of_its_tools_is_said():
    policy = Policy(deny=("w?pe", "burn_*(path=/*)"), approver=approve_matching("anything*"))
    packs = [Disk().with_policy(policy), Disk().prefixed("other")]
    agent = Agent("any", endpoint=ScriptedEndpoint(["hi"]), tools=packs)
    notices = [event.text async for event in agent.stream("go") if isinstance(event, Notice)]
    assert notices == ["Policy: deny: 'burn_*(path=/*)', which came with the pack 'disk', matches none of its tools"]
