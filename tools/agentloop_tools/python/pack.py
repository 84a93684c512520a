"""Python: the pack, its configuration and its tool. Code is run in `sandbox`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from pydantic import Field

from agentloop import (
    ConfigurationError,
    Effects,
    PackConfig,
    Tool,
    ToolContext,
    ToolPack,
    bound_tools,
    describe_install,
    tool,
)
from agentloop_tools.python.sandbox import Bounds, Sandbox

_ALONE = """Run Python code in a sandbox and return what it prints and the value of its last expression.

The sandbox has a part of the standard library (math, json, re, datetime, collections, itertools, ...) and no files,
network, programs or other packages; sleeping takes no time. Nothing is kept from one call to the next."""
_WITH_TOOLS = """

Your other tools are async functions there, by their own names: call them with keyword arguments and `await` each,
such as `await notes_search(text="x")`, or several at once with `asyncio.gather`. A result that is JSON arrives as
values, any other as text. A call that fails or is refused raises RuntimeError."""


class PythonConfig(PackConfig):
    """The configuration of the python pack."""

    tools: bool = Field(default=True, description="whether the agent's other tools are functions in the sandbox")
    seconds: float = Field(default=10, gt=0, le=600, description="how long code may compute")
    timeout: float = Field(default=120, gt=0, description="seconds that a call may take, including the tools it calls")
    memory_mb: int = Field(default=64, ge=1, le=4096, description="how much memory code may use")
    calls: int = Field(
        default=100, ge=0, le=500, description="how many calls of other tools one piece of code may make"
    )


class Python(ToolPack[PythonConfig]):
    """Runs code that a model wrote in pydantic-monty, an interpreter without access to files, network or programs.

    The interpreter runs in a separate process.
    """

    name = "python"
    version = "1.0"
    imports = ("pydantic_monty",)
    extra = "python"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield the tool of one run. The processes of the sandbox end with the run.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        if find_spec("pydantic_monty") is None:
            raise ConfigurationError(
                "the pack 'python' needs pydantic-monty, which is not installed",
                hint=describe_install("python"),
            )
        description = _ALONE + _WITH_TOOLS if self.config.tools else _ALONE
        async with AsyncExitStack() as stack:
            yield [
                replace(each, description=description, timeout=self.config.timeout)
                for each in bound_tools(_OpenPython(self.config, stack))
            ]


class _OpenPython:
    """The tool of one run. A call does not see what another call defined, and two runs share no process."""

    def __init__(self, config: PythonConfig, stack: AsyncExitStack) -> None:
        self._sandbox = Sandbox(Bounds(config.seconds, config.memory_mb * 2**20, config.calls), stack)
        self._tools = config.tools

    @tool(effects=Effects(execute=True))
    async def run(self, context: ToolContext[Any], code: str) -> str:
        """Run Python code in a sandbox.

        Args:
            context: The run, for the calls of other tools.
            code: The program; end it with an expression, or print, to see something.
        """
        return await self._sandbox.run(code, context.tools if self._tools else (), context.call)
