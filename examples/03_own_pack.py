"""Your own pack: tools that belong together, with a configuration. It is opened for a run and closed after it.

A package publishes a pack by an entry point of the group `agentloop.packs`. Users then name it like any other pack:
`--pack stock:shelf=2`. `agentloop packs new NAME` writes such a package.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import Field

from agentloop import Agent, Effects, PackConfig, Tool, ToolError, ToolPack, bound_tools, tool

SHELVES = {1: {"apples": 12, "pears": 3}, 2: {"plums": 40}}


class StockConfig(PackConfig):
    """The configuration of the pack."""

    shelf: int = Field(1, description="the number of the shelf")


class Stock(ToolPack[StockConfig]):
    """Counts the items on a shelf."""

    name = "stock"
    version = "1.0"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[list[Tool]]:
        """Yield the tools of one run. A connection would be opened before the yield, and closed after it."""
        yield bound_tools(Shelf(SHELVES[self.config.shelf]))


class Shelf:
    """The tools of one run."""

    def __init__(self, items: dict[str, int]) -> None:
        self.items = items

    @tool(effects=Effects(read=True))
    def count(self, item: str) -> str:
        """Return how many of an item are in stock.

        Args:
            item: The item to count, such as apples.
        """
        if item.lower() not in self.items:
            raise ToolError(f"There are no {item}. There are: {', '.join(self.items)}.")
        return f"{self.items[item.lower()]} {item}"


if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[Stock(StockConfig(shelf=1))])
    print(agent.run_sync("How many apples are in stock?").text)
