"""A prompt in a file of its own, with a version and variables, which git keeps next to the code.

The same file on the command line, from a folder `prompts`: `agentloop run --prompt triage --var customer=Ada "..."`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from agentloop import Agent, Prompt, tool
from agentloop.testing import ScriptedEndpoint, call

TRIAGE = """\
+++
version = "3"
tools = ["find_order"]
variables.customer = { type = "string", description = "the customer's first name" }
variables.urgent = { type = "boolean", default = false }
+++
You answer {{customer}}. Urgent: {{urgent}}. Look up the order before you answer.
"""


@tool
def find_order(number: int) -> str:
    """Return the state of an order."""
    return f"order {number}: sent on Monday"


with TemporaryDirectory() as folder:
    path = Path(folder) / "triage.md"
    path.write_text(TRIAGE)
    triage = Prompt.from_path(path)

agent = Agent(
    "any", endpoint=ScriptedEndpoint([call("find_order", {"number": 4}), "It is on its way."]), tools=[find_order]
)
result = agent.run_sync("Where is order 4?", prompt=triage.fill({"customer": "Ada"}))
print(result.text, f"({result.run.prompt.name} {result.run.prompt.version})" if result.run.prompt else "")
