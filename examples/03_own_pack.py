"""A pack of one's own: tools that belong together, with a configuration, and a life of one run.

Published by an entry point of the group `agentloop.packs`, it is named like any other: `--pack stock:shelf=2`.
`agentloop packs new NAME` writes such a package.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import Field

from agentloop import Agent, Effects, PackConfig, Tool, ToolError, ToolPack, bound_tools, tool

SHELVES = {1: {"apples": 12, "pears": 3}, 2: {"plums": 40}}


class StockConfig(PackConfig):
    """What the pack is configured with."""

    shelf: int = Field(1, description="which shelf is looked at")


class Stock(ToolPack[StockConfig]):
    """What is on a shelf."""

    name = "stock"
    version = "1.0"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[list[Tool]]:
        """Yield the tools of one run; a connection would be opened here, and closed after the yield."""
        yield bound_tools(Shelf(SHELVES[self.config.shelf]))


class Shelf:
    """A shelf, as one run sees it."""

    def __init__(self, items: dict[str, int]) -> None:
        self.items = items

    @tool(effects=Effects(read=True))
    def count(self, item: str) -> str:
        """Return how many of an item are in stock.

        Args:
            item: What to count, such as apples.
        """
        if item.lower() not in self.items:
            raise ToolError(f"There are no {item}. There are: {', '.join(self.items)}.")
        return f"{self.items[item.lower()]} {item}"


if __name__ == "__main__":
    agent = Agent("local:smollm2", tools=[Stock(StockConfig(shelf=1))])
    print(agent.run_sync("How many apples are in stock?").text)
