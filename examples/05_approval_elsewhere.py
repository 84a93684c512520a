"""An approval in another process: a run pauses, is stored as JSON, and continues there after the decision."""

import subprocess
import sys
import tempfile
from pathlib import Path

from agentloop import Agent, Approve, Effects, Run, tool


@tool(effects=Effects(write=True))
def book_table(guests: int) -> str:
    """Book a table at the restaurant.

    Args:
        guests: How many people will come.
    """
    return f"Table 7 is booked for {guests} guests."


def pause(file: Path) -> None:
    """Run until a decision is needed, and store the run."""
    result = agent.run_sync("Which table is booked for 4 guests?")
    print("stopped  ", result.stop_reason)
    file.write_text(result.run.to_json(), encoding="utf-8")


def go_on(file: Path) -> None:
    """Approve all calls that the run waits for, and continue the run."""
    run = Run.from_json(file.read_text(encoding="utf-8"))
    for request in run.approvals:
        print("approved ", request.tool, request.arguments)
    # A decision is valid only for this run, this call and these arguments.
    decisions = {request.id: Approve() for request in run.approvals}
    print("answer   ", agent.resume_sync(run, decisions=decisions).text)


if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[book_table])
    if len(sys.argv) > 1:
        go_on(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            pause(Path(folder, "run.json"))
            subprocess.run([sys.executable, __file__, str(Path(folder, "run.json"))], check=True)  # noqa: S603 - this file
