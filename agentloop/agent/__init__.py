"""What to run, and with what. `runtime/` runs it.

- `agent`: Agent, with the ways to run it.
- `batch`: runs an agent on many inputs.
- `prepared_agent`: the checked options of an agent, and what its runs share.
- `overrides`: Override, which gives an agent other options within a block.
- `prompt`: instructions with variables; `prompt_file`: reads them from a file.
- `options`: the names and kinds of the options.
- `input`: makes items of what a user says; `openai_items`: of messages and items in the form of OpenAI's APIs.
"""

from agentloop.agent.agent import Agent
from agentloop.agent.batch import BatchResult
from agentloop.agent.input import Input
from agentloop.agent.options import AgentOptions, RunOptions
from agentloop.agent.prompt import FilledPrompt, Prompt

__all__ = ["Agent", "AgentOptions", "BatchResult", "FilledPrompt", "Input", "Prompt", "RunOptions"]
