"""Writes to standard output and standard error, and keeps standard output for the answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Literal, TextIO, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Label: TypeAlias = Literal["call", "result", "failed", "retry", "note", "model", "stopped", "probe", "error", "hint"]

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
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})


def say(label: Label, text: str) -> None:
    """Write a line to standard error, in colour if it is a terminal."""
    line = Text.assemble((f"{label}:", _STYLES[label]), " ", tame(text))
    Console(stderr=True, soft_wrap=True).print(line)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], stdout: TextIO) -> None:
    """Print a table, as wide as the terminal if there is one."""
    table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(tame(cell), overflow="fold") for cell in row))
    Console(file=stdout, width=None if stdout.isatty() else _WIDTH).print(table)


def tame(text: str) -> str:
    """Return the text without control characters: text from a model or a server must not control the terminal."""
    return text.translate(_CONTROLS)


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
