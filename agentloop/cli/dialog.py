"""Asks a person at a terminal whether a call may run. What they are asked about is decided elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGINT, signal
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TextIO

from agentloop.policy import ApprovalRequest, Approve, Decision, Reject
from agentloop.schema.visible import show_invisible

TERMINAL = Path("/dev/tty")  # standard input may be a file, and standard error too

_CHOICES = "[y]es, [n]o, [a]lways in this run, [e]dit the arguments? "
_ESCAPED = "backslashreplace"  # makes JSON escapes of lone surrogates, which no file can hold
_CLOSED = "the input ended without an answer"


@contextmanager
def open_terminal() -> Generator[Dialog | None]:
    """Yield a dialog with whoever sits at the terminal of this process, or None when it has none."""
    with ExitStack() as stack:
        try:
            read = stack.enter_context(TERMINAL.open(encoding="utf-8", errors="replace"))
            write = stack.enter_context(TERMINAL.open("w", encoding="utf-8", errors=_ESCAPED))
        except OSError:
            yield None
            return
        yield Dialog(read, write)


class Dialog:
    """A person at a terminal.

    Args:
        read: What they type.
        write: What they see.
    """

    def __init__(self, read: TextIO, write: TextIO) -> None:
        self._read = read
        self._write = write

    def decide(self, request: ApprovalRequest) -> Decision:
        """Show a call as it would run, and return what the person says to it."""
        self._say(f"{request.tool} wants to run: {request.reason}\n")
        self._say(_show_arguments(request))
        if request.preview:
            self._say(f"  what it would do:\n{_indent(request.preview)}")
        drop_typed_ahead(self._read)
        while True:
            answer = self._ask(_CHOICES)
            if answer is None:
                return Reject(_CLOSED)
            match answer.strip().lower():  # whole words: "abort" is no "always"
                case "y" | "yes":
                    return Approve()
                case "a" | "always":
                    return Approve(scope="tool")
                case "n" | "no":
                    return Reject((self._ask("why, for the model (may be empty)? ") or "").strip())
                case "e" | "edit":
                    edited = self._edit(request)
                    if edited is None:
                        continue
                    return Approve(edited)
                case _:
                    pass

    def _edit(self, request: ApprovalRequest) -> str | None:
        """Return other arguments, from the person's editor, or None when they are the same or make no sense."""
        given = _as_json(request)
        try:
            return _check_edited(given, self._open_editor(given))
        except (OSError, ValueError, RecursionError, subprocess.CalledProcessError) as error:
            self._say(f"nothing was changed: {error}\n")
            return None

    def _open_editor(self, text: str) -> str:
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        with TemporaryDirectory(prefix="agentloop-") as folder, _leave_ctrl_c_to_others():
            file = Path(folder, "arguments.json")
            file.write_text(text, encoding="utf-8", errors=_ESCAPED)
            subprocess.run([*command, str(file)], stdin=self._read, stdout=self._write, stderr=self._write, check=True)  # noqa: S603 - the editor that the person has named
            return file.read_text(encoding="utf-8")

    def _ask(self, question: str) -> str | None:
        self._say(question)
        answer = self._read.readline()
        if not answer:
            self._say("\n")
        return answer or None

    def _say(self, text: str) -> None:
        self._write.write(show_invisible(text))
        self._write.flush()


def drop_typed_ahead(read: TextIO) -> None:
    """Forget what was typed before a question was there to be answered."""
    with suppress(ImportError, OSError, ValueError):
        from termios import TCIFLUSH, error, tcflush  # noqa: PLC0415 - no such module on Windows

        with suppress(error):
            tcflush(read.fileno(), TCIFLUSH)


def _show_arguments(request: ApprovalRequest) -> str:
    arguments = request.arguments
    if arguments is None:
        return f"  arguments that can't be read:\n{_indent(request.call.arguments)}"
    return "".join(_show_argument(name, value) for name, value in arguments.items()) or "  no arguments\n"


def _show_argument(name: str, value: object) -> str:
    if isinstance(value, str) and "\n" in value:
        return f"  {name}:\n{_indent(value)}"
    return f"  {name}: {json.dumps(value, ensure_ascii=False)}\n"


def _indent(text: str) -> str:
    """Return the text with a mark before each line, so that it can't pass for ours."""
    return "".join(f"  | {line}\n" for line in text.split("\n"))


def _as_json(request: ApprovalRequest) -> str:
    arguments: Mapping[str, object] | None = request.arguments
    if arguments is None:
        return request.call.arguments
    return show_invisible(json.dumps(arguments, indent=2, ensure_ascii=False))


def _check_edited(given: str, text: str) -> str:
    """Return edited arguments on one line.

    Raises:
        ValueError: they are no JSON object, or what was given: whoever leaves an editor without saving says no yes.
    """
    if text.strip() == given.strip():
        raise ValueError("the file is as it was")
    edited: object = json.loads(text)
    if not isinstance(edited, dict):
        raise ValueError("the arguments have to be a JSON object")  # noqa: TRY004 - as other text that makes no sense
    return json.dumps(edited, ensure_ascii=False).encode("utf-8", _ESCAPED).decode()


def _do_nothing(_number: int, _frame: FrameType | None) -> None: ...


@contextmanager
def _leave_ctrl_c_to_others() -> Generator[None]:
    """Let Ctrl-C reach the program that has the terminal, as editors have a use for it, and not this one."""
    before = signal(SIGINT, _do_nothing)  # SIG_IGN would be handed on to that program
    try:
        yield
    finally:
        signal(SIGINT, before)
