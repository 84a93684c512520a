"""What type checkers must know about `output`. `make types` checks this file; nothing runs it."""

from dataclasses import dataclass
from typing import Any, assert_type

from pydantic import BaseModel
from typing_extensions import TypedDict

from agentloop import Agent, Limits, Run, RunOptions, RunResult


class Invoice(BaseModel):
    total: float


@dataclass
class Rate:
    percent: int


class Place(TypedDict):
    city: str


async def typed(run: Run) -> None:
    invoice = Agent("m", output=Invoice)
    assert_type(invoice, Agent[Invoice])
    assert_type(await invoice.run("go"), RunResult[Invoice])
    assert_type((await invoice.run("go")).output, Invoice)
    assert_type(invoice.run_sync("go").output, Invoice)
    assert_type((await invoice.resume(run)).output, Invoice)
    assert_type(invoice.resume_sync(run).output, Invoice)
    assert_type(Agent("m", output=Rate).run_sync("go").output, Rate)
    assert_type(Agent("m", output=Place).run_sync("go").output, Place)
    assert_type(Agent("m", output=list[Rate]).run_sync("go").output, list[Rate])
    assert_type(Agent("m", output=int).run_sync("go").output, int)
    assert_type(Agent("m").run_sync("go").output, None)
    assert_type(Agent("m", output={"type": "object"}).run_sync("go").output, Any)
    either: Agent[int | str] = Agent("m", output=int | str)
    assert_type(either.run_sync("go").output, int | str)


def plainly(agent: Agent) -> Agent:
    return agent


def widely(agent: Agent[object]) -> object:
    return agent.run_sync("go").output


plainly(Agent("m"))
widely(Agent("m", output=Invoice))


async def varied(run: Run) -> None:
    agent = Agent("m", output=Invoice)
    brief: RunOptions = {"instructions": "Be brief.", "limits": Limits(turns=2)}
    assert_type(agent.replace(model="n"), Agent[Invoice])
    assert_type(agent.replace(output=Rate, instructions=None), Agent[Rate])
    assert_type(agent.replace(output={"type": "object"}), Agent[Any])
    assert_type(await agent.run("go", instructions="Be brief."), RunResult[Invoice])
    assert_type(await agent.run("go", output=Rate, tools=[]), RunResult[Rate])
    assert_type(agent.run_sync("go", output=int), RunResult[int])
    assert_type(await agent.resume(run, limits=Limits(turns=9)), RunResult[Invoice])
    agent.stream("go", **brief)
