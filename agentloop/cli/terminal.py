"""Standard output and standard error: who may write where, and how it looks.

What is worth saying is decided elsewhere.
"""

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
_WIDTH = 200  # of a table in a file, where nothing is folded that need not be
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})


def say(label: Label, text: str) -> None:
    """Write a line to standard error, in colour where that is a terminal."""
    line = Text.assemble((f"{label}:", _STYLES[label]), " ", tame(text))
    Console(stderr=True, soft_wrap=True).print(line)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], stdout: TextIO) -> None:
    """Print a table, as wide as the terminal where there is one."""
    table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(tame(cell), overflow="fold") for cell in row))
    Console(file=stdout, width=None if stdout.isatty() else _WIDTH).print(table)


def tame(text: str) -> str:
    """Return the text without control characters: what a model or a server writes must not steer a terminal."""
    return text.translate(_CONTROLS)


@contextmanager
def keep_stdout() -> Generator[TextIO]:
    """Yield standard output for the answer alone; what anything else prints there goes to standard error.

    Tools print, and so do the programs they start and libraries in C; hence the file descriptor and not `sys.stdout`
    alone.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    with open(kept, "w", encoding=sys.stdout.encoding, errors="replace") as stdout, redirect_stdout(sys.stderr):  # noqa: PTH123 - a descriptor has no path
        os.dup2(2, 1)
        try:
            yield stdout
        finally:
            os.dup2(kept, 1)
