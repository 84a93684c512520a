"""`agentloop chat`: a conversation at the terminal, in which each line is one message."""

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
/help   show this list
/tools  list the tools and their effects
/clear  start a new conversation
/exit   quit, as Ctrl-D does
Ctrl-C stops the model's turn and keeps the conversation. At the prompt, press it twice to quit."""


def chat(options: AgentOptions) -> int:
    """Hold a conversation until its input ends, and return the exit status, which is that of the last turn."""
    is_terminal = sys.stdout.isatty()
    # input() can edit a line only if standard input and output are both terminals and not redirected.
    with nullcontext(sys.stdout) if is_terminal and sys.stdin.isatty() else keep_stdout() as stdout:
        try:
            approvals = Approvals(options.yes)
            agent = make_agent(options, approvals)
            conversation = _Conversation(agent, options, approvals, stdout, is_terminal=is_terminal)
            try:
                return conversation.hold()
            finally:
                conversation.close()
        except (AgentloopError, KeyboardInterrupt) as failure:
            return report(failure)


class _Conversation:
    def __init__(
        self, agent: Agent[Any], options: AgentOptions, approvals: Approvals, stdout: TextIO, *, is_terminal: bool
    ) -> None:
        self._agent = agent
        self._options = options
        self._approvals = approvals
        self._stdout = stdout
        self._is_terminal = is_terminal
        self._history: Sequence[Item] = ()
        self._status = DONE

    def hold(self) -> int:
        """Read lines and answer them until the input ends."""
        lines = _Lines()
        if lines.prompts:
            say("note", "each line is one message; /help lists the commands")
        while (line := lines.read()) is not None and line.split() != ["/exit"]:
            try:
                self._handle_line(line)
            except KeyboardInterrupt as interrupt:  # the conversation is kept, whatever was interrupted
                self._status = report(interrupt)
        return INTERRUPTED if lines.interrupted else self._status

    def _handle_line(self, line: str) -> None:
        match line.split():
            case []:
                pass
            case ["/help"]:
                print(_HELP, file=self._stdout)
            case ["/clear"]:
                self._history = ()
                say("note", "this is a new conversation")
            case ["/tools"]:
                self._show_tools()
            case [word] if word.startswith("/"):
                say("error", f"there is no command {word}")
                say("hint", "/help lists them")
            case _:
                self._status = self._take_turn(line.strip())

    def close(self) -> None:
        self._agent.close()

    def _take_turn(self, text: str) -> int:
        screen = Screen(self._stdout if self._is_terminal else None)
        try:
            result = follow_run(lambda: self._stream(text), screen, self._approvals)
        except (AgentloopError, KeyboardInterrupt) as failure:
            screen.end_line()
            run: Run | None = getattr(failure, "run", None)
            self._history = self._history if run is None else run.items
            return report(failure)
        self._history = result.items
        if not self._is_terminal:
            print(result.text, file=self._stdout, flush=True)
        return DONE if result.stop_reason == "answered" else STOPPED

    async def _stream(self, text: str) -> AsyncGenerator[Event, None]:
        async with aclosing(self._agent.stream(text, history=self._history)) as events:
            async for event in events:
                yield event

    def _show_tools(self) -> None:
        async def list_tools() -> list[Tool]:
            async with open_tools(find_sources(self._options.tools, self._options.pack)) as tools:
                return tools

        try:
            tools = PORTAL.call(list_tools)
        except AgentloopError as failure:
            report(failure)
            return
        rows = [(tool.label, describe_effects(tool.presumed_effects)) for tool in tools]
        print_table(("tool", "effects"), rows, self._stdout)


class _Lines:
    """The lines of standard input, typed by a person or read from a file.

    Attributes:
        prompts: Whether standard input is a terminal, where a prompt is shown.
        interrupted: Whether the person quit with Ctrl-C.
    """

    def __init__(self) -> None:
        self.prompts = sys.stdin.isatty()
        self.interrupted = False
        if self.prompts:
            cast("TextIOWrapper", sys.stdin).reconfigure(errors="replace")
        with suppress(ImportError):
            import_module("readline")  # lets input() edit lines and recall earlier ones

    def read(self) -> str | None:
        """Return the next line, or None at the end of the input."""
        if not self.prompts:
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
                say("note", "press Ctrl-C once more, or type /exit, to quit")
        return None
