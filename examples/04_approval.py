"""Approvals: a tool that writes something asks for approval before it runs."""

from agentloop import Agent, ApprovalRequest, Approve, Decision, Effects, Policy, Reject, tool

MOST_GUESTS = 20
TABLES = {}


@tool(effects=Effects(write=True))
def book_table(guests: int) -> str:
    """Book a table at the restaurant.

    Args:
        guests: How many people will come.
    """
    TABLES[len(TABLES) + 1] = guests
    return f"Table {len(TABLES)} is booked for {guests} guests."


async def ask(request: ApprovalRequest) -> Decision:
    """Decide on a call. A real program would show it to a person and wait for the answer."""
    arguments = request.arguments or {}  # as the tool will receive them, whatever the model wrote
    print(f"asked     {request.tool} {arguments} because {request.reason}")
    if arguments.get("guests", MOST_GUESTS + 1) > MOST_GUESTS:
        return Reject(f"we have no table for more than {MOST_GUESTS}")
    return Approve()  # Approve can also change the arguments, or approve similar or all later calls of the tool


if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[book_table], policy=Policy(approver=ask))
    for guests in (4, 40):
        agent.run_sync(f"Which table is booked for {guests} guests?")
    print("booked   ", TABLES)
