"""Writes to standard output and standard error, and keeps standard output for the answer.

Everything that a person sees goes through `showable`. What others have written can't look like a line of ours: a line
of ours begins at the left edge, and each row of foreign text after it begins with a mark.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from shutil import get_terminal_size
from typing import Any, Literal, TextIO, TypeAlias

from rich import box
from rich.cells import get_character_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentloop.showable import ProseWriter, show_line, show_lines

Label: TypeAlias = Literal["call", "result", "failed", "retry", "note", "model", "stopped", "probe", "error", "hint"]

LINE = "  | "
"""The mark before a line of foreign text."""
REST = "  \\ "
"""The mark before a row that continues a line which is longer than the terminal is wide."""

_STYLES: dict[Label, str] = {
    "call": "cyan",
    "result": "green",
    "failed": "red",
    "retry": "yellow",
    "note": "yellow",
    "model": "magenta",
    "stopped": "yellow",
    "probe": "magenta",
    "error": "bold red",
    "hint": "bold",
}
_WIDTH = 200  # of a table that is not written to a terminal: wide, so that few cells are folded
_MARGIN = "  "
_LEAST_WIDTH = 20


def say(label: Label, text: str) -> None:
    """Write a text to standard error, in colour if it is a terminal. Its second line and those after it have a mark."""
    first, *more = show_lines(text)
    lines = [f"{label}: {first}", *(LINE + line for line in more)]
    rows = [row for line in lines for row in cut_line(line, find_width(sys.stderr))]
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble((f"{label}:", _STYLES[label]), "\n".join(rows).removeprefix(f"{label}:")))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], stdout: TextIO) -> None:
    """Print a table, as wide as the terminal if there is one. There it has a margin, as cells may hold foreign text."""
    table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(show_line(cell.replace("\n", " ")), overflow="fold") for cell in row))
    if stdout.isatty():
        Console(file=stdout, width=find_width(stdout)).print(Padding(table, (0, 0, 0, len(_MARGIN))))
    else:
        Console(file=stdout, width=_WIDTH).print(table)


def print_json(value: Any, stdout: TextIO, *, indent: int | None = None) -> None:
    """Print a value as JSON in ASCII, for a program."""
    print(json.dumps(value, indent=indent).replace("\x7f", "\\u007f"), file=stdout)


def print_text(text: str, stdout: TextIO) -> None:
    """Print a text: unchanged for a program, showable for a person at a terminal."""
    if stdout.isatty():
        margin = Margin(stdout)
        margin.write(text)
        margin.end_line()
    else:
        print(text, file=stdout, flush=True)


class Margin:
    """Writes foreign text to a terminal, in pieces; each row of it is indented, so that it can't look like ours."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._prose = ProseWriter()
        self._column = 0

    def write(self, text: str) -> None:
        """Write a piece of text."""
        width = find_width(self._terminal)
        self._terminal.write("".join(self._place(character, width) for character in self._prose.write(text)))
        self._terminal.flush()

    def end_line(self) -> None:
        """Write a line end, unless the terminal is at the start of a line."""
        if self._column:
            self._terminal.write("\n")
            self._terminal.flush()
        self._column = 0

    def _place(self, character: str, width: int | None) -> str:
        if character == "\n":
            self._column = 0
            return character
        cells = _count_cells(character)
        if self._column and width is not None and self._column + cells > width:
            self._column = len(_MARGIN) + cells
            return f"\n{_MARGIN}{character}"
        margin = "" if self._column else _MARGIN
        self._column += len(margin) + cells
        return margin + character


def find_width(stream: TextIO | None) -> int | None:
    """Return the number of columns of the terminal that a stream writes to, or None if it is no terminal."""
    size = find_size(stream)
    return None if size is None else size.columns


def find_size(stream: TextIO | None) -> os.terminal_size | None:
    """Return the size of the terminal that a stream writes to, or None if it is no terminal."""
    if stream is None:
        return None
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # it is a file, a pipe or closed
        return None
    usual = get_terminal_size()  # some terminals don't tell their size
    return os.terminal_size((max(columns or usual.columns, _LEAST_WIDTH), lines or usual.lines))


def cut_line(line: str, width: int | None) -> Iterator[str]:
    """Yield the rows of a shown line. The second and later rows have a mark, and none is wider than the terminal.

    If the terminal cut the line itself, the rest would stand at the left edge, as lines of ours do.
    """
    row, cells = "", 0
    for character in line if width is not None else "":
        wide = _count_cells(character)
        if width is not None and cells + wide > width:
            yield row
            row, cells = REST, len(REST)
        row += character
        cells += wide
    yield row if width is not None else line


def _count_cells(character: str) -> int:
    """Return how many cells a terminal may need for a character. Terminals differ in symbols, which may be emoji."""
    if character.isascii():
        return 1
    is_symbol = "\u2600" <= character <= "\u27bf" or character >= "\U0001f000"
    return 2 if is_symbol else max(1, get_character_cell_size(character))


@contextmanager
def keep_stdout() -> Generator[TextIO]:
    """Yield standard output for the answer alone, and send everything else that is printed to standard error.

    Tools print, and so do the programs that they start and libraries in C. So the file descriptor is redirected too,
    not `sys.stdout` alone.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    with open(kept, "w", encoding=sys.stdout.encoding, errors="replace") as stdout, redirect_stdout(sys.stderr):  # noqa: PTH123 - a descriptor has no path
        os.dup2(2, 1)
        try:
            yield stdout
        finally:
            os.dup2(kept, 1)
