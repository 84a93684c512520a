"""A rule of `pack.with_policy(...)` that is about none of the pack's tools is an error."""

import pytest

from agentloop import Agent, ConfigurationError, Effects, Policy, ToolPack, approve_matching, tool
from agentloop.testing import ScriptedEndpoint, call


class Boats(ToolPack):
    name = "boats"

    @tool(effects=Effects())
    def launch(self, boat: str) -> str:
        """Launch a boat."""
        return f"{boat} floats"

    @tool(effects=Effects())
    def moor(self, boat: str) -> str:
        """Moor a boat."""
        return f"{boat} lies still"


async def start(pack):
    endpoint = ScriptedEndpoint([call("boats_launch", {"boat": "Ida"}), "done"])
    result = await Agent("any", endpoint=endpoint, tools=[pack]).run("go")
    return result, endpoint


@pytest.mark.parametrize("verdict", ["allow", "ask", "deny"])
@pytest.mark.parametrize("rule", ["lanch", "boats.lanch", "boats_lanch", "Launch", " lanch ", "lanch(boat=Ida)"])
@pytest.mark.parametrize(
    "view",
    [
        lambda pack, policy: pack.with_policy(policy),
        lambda pack, policy: pack.with_policy(Policy(ask=("moor",))).with_policy(policy),
        lambda pack, policy: pack.with_policy(policy).only("moor"),
        lambda pack, policy: pack.limited(calls=1).with_policy(policy).prefixed("ships"),
    ],
)
async def test_a_rule_that_names_no_tool_is_an_error_with_near_names(verdict, rule, view):
    with pytest.raises(ConfigurationError, match=f"'boats' has no tool for Policy: {verdict}") as raised:
        await start(view(Boats(), Policy(**{verdict: (rule,)})))
    assert raised.value.hint == "did you mean 'launch'?"


@pytest.mark.parametrize("rule", ["other.launch", "launch"])
async def test_a_rule_uses_the_present_names_of_the_tools(rule):
    with pytest.raises(ConfigurationError, match="has no tool"):
        await start(Boats().renamed({"launch": "start"}).with_policy(Policy(deny=(rule,))))


async def test_a_hint_lists_the_tools_where_no_name_is_near():
    with pytest.raises(ConfigurationError) as raised:
        await start(Boats().with_policy(Policy(deny=("x",))))
    assert raised.value.hint == "it has: launch, moor"
    with pytest.raises(ConfigurationError) as raised:
        await start(Boats().only().with_policy(Policy(deny=("x",))))
    assert raised.value.hint == "it has: no tools"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(deny=("moor",)),
        Policy(deny=("boats.moor", "boats_moor")),
        Policy(deny=("moor(boat=Ida)",)),
        Policy(deny=("sink*", "*.sink", "m[ai]st")),
        Policy(hosts=("harbour.example",)),
        Policy(approver=approve_matching("something.else")),
    ],
)
@pytest.mark.parametrize(
    "view",
    [
        lambda pack, policy: pack.with_policy(policy),
        lambda pack, policy: pack.with_policy(policy).without("moor"),
        lambda pack, policy: pack.with_policy(policy).renamed({"moor": "tie"}),
        lambda pack, policy: pack.with_policy(policy).with_policy(Policy(ask=("moor",))),
    ],
)
async def test_rules_about_tools_of_the_pack_and_patterns_are_in_order(policy, view):
    result, _ = await start(view(Boats(), policy))
    assert (result.stop_reason, result.items[-2].content) == ("answered", "Ida floats")
