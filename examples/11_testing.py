"""Tests of an agent: with a script in place of the model, and with a recorded conversation.

Under pytest, the fixture `cassette` does what `use_cassette` does here: see docs/testing.md.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from agentloop import Agent, tool
from agentloop.testing import ScriptedEndpoint, assert_called, call, forbid_requests, use_cassette

QUESTION = "What is the VAT rate in France?"


@tool
def get_vat_rate(country: str) -> str:
    """Return the VAT rate of a country.

    Args:
        country: The country's name in English.
    """
    return {"France": "20%", "Germany": "19%", "Hungary": "27%"}[country]


agent = Agent("local:smollm2", tools=[get_vat_rate])

with agent.override(endpoint=ScriptedEndpoint([call("get_vat_rate", {"country": "France"}), "It is 20%."])):
    scripted = agent.run_sync(QUESTION)
assert_called(scripted, "get_vat_rate", country="France")
print("scripted ", scripted.text)

with TemporaryDirectory() as folder:
    path = Path(folder, "vat.json")
    with use_cassette(path, record=True):
        recorded = agent.run_sync(QUESTION)
    with use_cassette(path), forbid_requests():
        replayed = agent.run_sync(QUESTION)
print("replayed ", replayed.text, replayed.items == recorded.items)
