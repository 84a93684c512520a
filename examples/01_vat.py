"""A small real model, which runs inside this process, calls a Python function and answers from its result.

Run it with `make demo`. It needs no key and, after the installation, no network.
"""

import sys

from rich.console import Console
from rich.text import Text

from agentloop import Agent, Finished, ToolFinished, ToolStarted, tool

VAT_RATES = {"france": 20.0, "germany": 19.0, "italy": 22.0, "spain": 21.0}


@tool
def get_vat_rate(country: str) -> str:
    """Return the VAT rate for a country.

    Args:
        country: Country name or ISO 3166 code.
    """
    return f"{VAT_RATES[country.lower()]:g}%"


def main(question: str) -> None:
    """Ask the question, and print each event when it happens."""
    console = Console(highlight=False)
    console.print(Text.assemble(("question  ", "bold cyan"), question))
    agent = Agent("local:smollm2", tools=[get_vat_rate])
    for event in agent.stream_sync(question):
        match event:
            case ToolStarted(call):
                console.print(Text.assemble(("call      ", "bold magenta"), f"{call.name} {call.arguments}"))
            case ToolFinished(_, result):
                console.print(Text.assemble(("result    ", "bold yellow"), result.content))
            case Finished(result):
                console.print(Text.assemble(("answer    ", "bold green"), result.text))
            case _:
                pass


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "What is the VAT rate in France?")
