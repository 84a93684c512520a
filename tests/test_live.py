"""The same on the real endpoint; the only tests that leave this machine, and only with a key."""

import os

import pytest

from agentloop import Agent, Limits, ToolCall, tool

pytestmark = pytest.mark.skipif(
    not os.environ.get("AI_ENDPOINT_API_KEY"), reason="talks to OVHcloud only where AI_ENDPOINT_API_KEY holds a key"
)


@tool
def get_vat_rate(country: str) -> str:
    """Return the VAT rate of a country.

    Args:
        country: The country's name in English.
    """
    return {"France": "20%"}.get(country, "unknown")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hosted_model_calls_a_tool_and_answers_from_its_result(streamed):
    agent = Agent("ovh:gpt-oss-20b", tools=[get_vat_rate], limits=Limits(tool_calls=3, turns=4))
    question = "What is the VAT rate in France? Use the tool."
    if streamed:
        *_, finished = agent.stream_sync(question)
        result = finished.result
    else:
        result = agent.run_sync(question)
    agent.close()
    assert "get_vat_rate" in [item.name for item in result.items if isinstance(item, ToolCall)]
    assert "20" in result.text
