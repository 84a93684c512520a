"""What a person sees while a run goes on: text on a terminal, all else on standard error.

Nothing is kept here but what is needed to write the next line.
"""

from __future__ import annotations

from typing import TextIO, assert_never

from agentloop.cli.terminal import Label, say, tame
from agentloop.events import (
    ApprovalAsked,
    Event,
    Finished,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from agentloop.loop.run import RunResult

_ROOM = 200


class Screen:
    """Shows the events of one run.

    Args:
        terminal: Where the model's text is written as it comes, or None when nobody watches it.
    """

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._shown = ""
        self._in_line = False

    def show(self, event: Event) -> None:
        """Write what an event says, if it says something to a person."""
        match event:
            case TextDelta(text=text):
                self._write(text)
            case ToolStarted(call=call):
                self._say("call", f"{call.name} {_shorten(call.arguments)}")
            case ToolFinished(call=call, result=result):
                self._say("result" if result.ok else "failed", f"{call.name} {_shorten(result.content)}")
            case Retrying(reason=reason, seconds=seconds, attempt=attempt):
                self._say("retry", f"{attempt} in {seconds:.1f} s: {_shorten(reason)}")
            case Notice(text=text):
                self._say("note", text)
            case Finished(result=result):
                self._finish(result)
            case TurnStarted():
                self.end_line()
            case ReasoningDelta() | TurnFinished() | ApprovalAsked():
                pass
            case _:
                assert_never(event)

    def end_line(self) -> None:
        """Leave the terminal at the start of a line."""
        if self._terminal is not None and self._in_line:
            self._terminal.write("\n")
            self._terminal.flush()
        self._in_line = False

    def _finish(self, result: RunResult) -> None:
        if result.text.strip() != self._shown.strip():  # not every reply comes in pieces
            self.end_line()
            self._write(result.text)
        self.end_line()
        if result.stop_reason != "answered":
            self._say("stopped", f"{result.stop_reason}: {result.stop_note}")

    def _write(self, text: str) -> None:
        if self._terminal is None or not text:
            return
        self._terminal.write(tame(text))
        self._terminal.flush()
        self._shown = self._shown + text if self._in_line else text
        self._in_line = True

    def _say(self, label: Label, text: str) -> None:
        self.end_line()
        say(label, text)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _ROOM else f"{line[:_ROOM]}... ({len(text):,} characters)"
