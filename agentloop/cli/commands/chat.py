"""`agentloop chat`: a conversation, a line a turn."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, nullcontext, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, Final, TextIO, cast

from agentloop.agent import Agent
from agentloop.cli.agent_options import make_agent
from agentloop.cli.approvals.approver import Approvals
from agentloop.cli.commands.packs import describe_effects
from agentloop.cli.failure import DONE, INTERRUPTED, STOPPED, report
from agentloop.cli.follow import follow_run
from agentloop.cli.options import AgentOptions
from agentloop.cli.screen import Screen
from agentloop.cli.sources import find_sources, open_tools
from agentloop.cli.terminal import keep_stdout, print_table, say
from agentloop.errors import AgentloopError
from agentloop.events import Event
from agentloop.items import Item
from agentloop.loop.run import Run
from agentloop.runtime.portal import PORTAL
from agentloop.tools import Tool

_HELP: Final = """\
/help   this
/tools  the tools on offer, and what they do to the world
/clear  begin anew: forget what was said
/exit   leave, as Ctrl-D does
Ctrl-C stops the model's turn and keeps the conversation; at the prompt, pressed twice, it leaves."""


def chat(options: AgentOptions) -> int:
    """Hold a conversation until its input ends; return the exit status, which is that of the last turn."""
    watched = sys.stdout.isatty()
    # Only with a terminal on both sides can a line be edited, and only then may standard output stay as it is.
    with nullcontext(sys.stdout) if watched and sys.stdin.isatty() else keep_stdout() as stdout:
        try:
            approvals = Approvals(options.yes)
            conversation = _Conversation(make_agent(options, approvals), options, approvals, stdout, watched=watched)
            try:
                return conversation.hold()
            finally:
                conversation.close()
        except (AgentloopError, KeyboardInterrupt) as failure:
            return report(failure)


class _Conversation:
    def __init__(
        self, agent: Agent[Any], options: AgentOptions, approvals: Approvals, stdout: TextIO, *, watched: bool
    ) -> None:
        self._agent = agent
        self._options = options
        self._approvals = approvals
        self._stdout = stdout
        self._watched = watched
        self._history: Sequence[Item] = ()
        self._status = DONE

    def hold(self) -> int:
        """Read lines and answer them, until there are no more."""
        lines = _Lines()
        if lines.asks:
            say("note", "a line is a turn; /help has the rest")
        while (line := lines.read()) is not None and line.split() != ["/exit"]:
            try:
                self._heed(line)
            except KeyboardInterrupt as interrupt:  # whatever was going on, the conversation is kept
                self._status = report(interrupt)
        return INTERRUPTED if lines.interrupted else self._status

    def _heed(self, line: str) -> None:
        match line.split():
            case []:
                pass
            case ["/help"]:
                print(_HELP, file=self._stdout)
            case ["/clear"]:
                self._history = ()
                say("note", "the conversation begins anew")
            case ["/tools"]:
                self._show_tools()
            case [word] if word.startswith("/"):
                say("error", f"there is no command {word}")
                say("hint", "/help lists them")
            case _:
                self._status = self._take_turn(line.strip())

    def close(self) -> None:
        self._agent.close()

    def _take_turn(self, said: str) -> int:
        screen = Screen(self._stdout if self._watched else None)
        try:
            result = follow_run(lambda: self._stream(said), screen, self._approvals)
        except (AgentloopError, KeyboardInterrupt) as failure:
            screen.end_line()
            run: Run | None = getattr(failure, "run", None)
            self._history = self._history if run is None else run.items
            return report(failure)
        self._history = result.items
        if not self._watched:
            print(result.text, file=self._stdout, flush=True)
        return DONE if result.stop_reason == "answered" else STOPPED

    async def _stream(self, said: str) -> AsyncGenerator[Event, None]:
        async with aclosing(self._agent.stream(said, history=self._history)) as events:
            async for event in events:
                yield event

    def _show_tools(self) -> None:
        async def look() -> list[Tool]:
            async with open_tools(find_sources(self._options.tools, self._options.pack)) as tools:
                return tools

        try:
            tools = PORTAL.call(look)
        except AgentloopError as failure:
            report(failure)
            return
        rows = [(tool.label, describe_effects(tool.presumed_effects)) for tool in tools]
        print_table(("tool", "effects"), rows, self._stdout)


class _Lines:
    """What a person types, or what a file has, line by line.

    Attributes:
        asks: Whether somebody sits there and is shown a prompt.
        interrupted: Whether they have left with Ctrl-C.
    """

    def __init__(self) -> None:
        self.asks = sys.stdin.isatty()
        self.interrupted = False
        if self.asks:
            cast("TextIOWrapper", sys.stdin).reconfigure(errors="replace")
        with suppress(ImportError):
            import_module("readline")  # lets input() edit lines and bring back earlier ones

    def read(self) -> str | None:
        """Return the next line, or None when there is none."""
        if not self.asks:
            return sys.stdin.buffer.readline().decode(errors="replace") or None
        self.interrupted = False
        while True:
            try:
                return input("> ")
            except EOFError:
                self.interrupted = False
                break
            except KeyboardInterrupt:
                sys.stderr.write("\n")
                if self.interrupted:
                    break
                self.interrupted = True
                say("note", "Ctrl-C once more leaves, and so does /exit")
        return None
