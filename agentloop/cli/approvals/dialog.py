"""Asks a person at a terminal whether a call may run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGINT, signal
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TextIO

from agentloop.cli.terminal import LINE, cut_line, find_size, find_width
from agentloop.policy import ApprovalRequest, Approve, Decision, Reject
from agentloop.schema import MASK, parse_arguments
from agentloop.showable import show_json, show_line, show_lines

TERMINAL = Path("/dev/tty")  # standard input may be a file, and standard error too

_CHOICES = "[y]es, [n]o, [a]lways in this run, [e]dit the arguments? "
_MORE = "lines {} to {} of {}; Enter shows more, [r]est, [n]o: "
_WHY = "why, for the model (may be empty)? "
_ESCAPED = "backslashreplace"  # writes lone surrogates as JSON escapes, because UTF-8 can't encode them
_LEAST_HEIGHT = 5  # rows of a page
_CLOSED = "the input ended without an answer"


@contextmanager
def open_terminal() -> Generator[Dialog | None]:
    """Yield a dialog at the terminal of this process, or None if it has no terminal."""
    with ExitStack() as stack:
        try:
            read = stack.enter_context(TERMINAL.open(encoding="utf-8", errors="replace"))
            write = stack.enter_context(TERMINAL.open("w", encoding="utf-8", errors=_ESCAPED))
        except OSError:
            yield None
            return
        yield Dialog(read, write)


class Dialog:
    """A dialog with a person at a terminal.

    Args:
        read: The person's input.
        write: The output that the person sees.
    """

    def __init__(self, read: TextIO, write: TextIO) -> None:
        self._read = read
        self._write = write

    def decide(self, request: ApprovalRequest) -> Decision:
        """Show a call as it would run, and return the decision; an approval needs that all of it was shown."""
        lines = [show_line(f"{request.tool} wants to run: {request.reason}"), *_show_arguments(request)]
        if request.preview:
            lines += ["  what it would do:", *mark_lines(request.preview)]
        drop_typed_ahead(self._read)
        if refusal := self._show_pages(lines):
            return refusal
        while True:
            answer = self._ask(_CHOICES)
            if answer is None:
                return Reject(_CLOSED)
            match answer.strip().lower():  # whole words, so that "abort" does not mean "always"
                case "y" | "yes":
                    return Approve()
                case "a" | "always":
                    return Approve(scope="tool")
                case "n" | "no":
                    return self._reject()
                case "e" | "edit":
                    edited = self._edit(request)
                    if edited is None:
                        continue
                    return Approve(edited)
                case _:
                    pass

    def confirm(self, lines: Sequence[str], question: str) -> bool:
        """Show lines, ask a question, and tell whether the person says yes. Any other answer is a no."""
        drop_typed_ahead(self._read)
        if self._show_pages(lines):
            return False
        return (self._ask(question) or "").strip().lower() in {"y", "yes"}

    def _show_pages(self, lines: Sequence[str]) -> Reject | None:
        """Show the lines, page by page at a terminal, and return a refusal if the person gives one before the end."""
        rows = [row for line in lines for row in cut_line(line, find_width(self._write))]
        size = find_size(self._write)
        height = len(rows) if size is None else max(size.lines - 2, _LEAST_HEIGHT)
        shown = 0
        while True:
            page = rows[shown : shown + height]
            self._say("".join(f"{row}\n" for row in page))
            shown += len(page)
            if shown == len(rows):
                return None
            answer = self._ask(_MORE.format(shown - len(page) + 1, shown, len(rows)))
            if answer is None:
                return Reject(_CLOSED)
            match answer.strip().lower():
                case "n" | "no":
                    return self._reject()
                case "r" | "rest":
                    height = len(rows)
                case _:
                    pass

    def _reject(self) -> Reject:
        return Reject((self._ask(_WHY) or "").strip())

    def _edit(self, request: ApprovalRequest) -> str | None:
        """Return new arguments from the person's editor, or None if they are unchanged or invalid."""
        given = _as_json(request)
        try:
            return _check_edited(given, self._open_editor(given))
        except (OSError, ValueError, RecursionError, subprocess.CalledProcessError) as error:
            self._say(f"{show_line(f'nothing was changed: {error}')}\n")
            return None

    def _open_editor(self, text: str) -> str:
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        with TemporaryDirectory(prefix="agentloop-") as folder, _ignore_ctrl_c():
            file = Path(folder, "arguments.json")
            file.write_text(text, encoding="utf-8", errors=_ESCAPED)
            subprocess.run([*command, str(file)], stdin=self._read, stdout=self._write, stderr=self._write, check=True)  # noqa: S603 - the editor that the person chose
            return file.read_text(encoding="utf-8")

    def _ask(self, question: str) -> str | None:
        self._say(question)
        answer = self._read.readline()
        if not answer:
            self._say("\n")
        return answer or None

    def _say(self, text: str) -> None:
        self._write.write(text)
        self._write.flush()


def drop_typed_ahead(read: TextIO) -> None:
    """Discard what was typed before the question was shown."""
    with suppress(ImportError, OSError, ValueError):
        from termios import TCIFLUSH, error, tcflush  # noqa: PLC0415 - Windows has no such module

        with suppress(error):
            tcflush(read.fileno(), TCIFLUSH)


def _show_arguments(request: ApprovalRequest) -> list[str]:
    arguments = request.arguments
    if arguments is None:
        return ["  arguments that can't be read:", *mark_lines(request.call.arguments, exact=True)]
    return [line for item in arguments.items() for line in _show_argument(*item)] or ["  no arguments"]


def _show_argument(name: str, value: object) -> list[str]:
    shown = name if name.isascii() and name.isidentifier() else show_json(name)
    if isinstance(value, str) and "\n" in value:
        return [f"  {shown}:", *mark_lines(value, exact=True)]
    return [f"  {shown}: {show_json(value)}"]


def mark_lines(text: str, *, exact: bool = False) -> list[str]:
    """Return the shown lines of a text, each with a mark, so that none can look like a line of the dialog itself."""
    return [LINE + line for line in show_lines(text, exact=exact)]


def _as_json(request: ApprovalRequest) -> str:
    arguments = request.arguments
    if arguments is None:
        return request.call.arguments
    if MASK in show_json(arguments):  # what a person leaves as it is must still be the secret, and not its mask
        arguments = parse_arguments(request.call.arguments)[0]
    return show_json(arguments, indent=2)


def _check_edited(given: str, text: str) -> str:
    """Return the edited arguments on one line.

    Raises:
        ValueError: they are not a JSON object, or they are unchanged. Closing an editor without saving approves
            nothing.
    """
    if text.strip() == given.strip():
        raise ValueError("the file is unchanged")
    edited: object = json.loads(text)
    if not isinstance(edited, dict):
        raise ValueError("the arguments must be a JSON object")  # noqa: TRY004 - the caller treats it as invalid JSON
    return json.dumps(edited, ensure_ascii=False).encode("utf-8", _ESCAPED).decode()


def _do_nothing(_number: int, _frame: FrameType | None) -> None: ...


@contextmanager
def _ignore_ctrl_c() -> Generator[None]:
    """Ignore Ctrl-C in this process, while the editor that has the terminal receives it."""
    before = signal(SIGINT, _do_nothing)  # not SIG_IGN, which the editor would inherit
    try:
        yield
    finally:
        signal(SIGINT, before)
