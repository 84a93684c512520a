"""Shows a run while it goes on: the model's text on the terminal, everything else on standard error."""

from __future__ import annotations

from typing import TextIO, assert_never

from agentloop.cli.terminal import Label, Margin, say
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

_LONGEST_LINE = 200  # characters


class Screen:
    """Shows the events of one run.

    Args:
        terminal: Where the model's text is written as it arrives, or None if it is not shown.
    """

    def __init__(self, terminal: TextIO | None) -> None:
        self._margin = None if terminal is None else Margin(terminal)
        self._shown = ""
        self._in_line = False

    def show(self, event: Event) -> None:
        """Write an event, if it is of interest to a person."""
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
        """Write a line end, unless the terminal is at the start of a line."""
        if self._margin is not None:
            self._margin.end_line()
        self._in_line = False

    def _finish(self, result: RunResult) -> None:
        if result.text.strip() != self._shown.strip():  # not every reply arrives as text deltas
            self.end_line()
            self._write(result.text)
        self.end_line()
        if result.stop_reason != "answered":
            self._say("stopped", f"{result.stop_reason}: {result.stop_note}")

    def _write(self, text: str) -> None:
        if self._margin is None or not text:
            return
        self._margin.write(text)
        self._shown = self._shown + text if self._in_line else text
        self._in_line = True

    def _say(self, label: Label, text: str) -> None:
        self.end_line()
        say(label, text)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}... ({len(text):,} characters)"
