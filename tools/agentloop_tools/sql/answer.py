"""Writes the result of a query as text of limited size: the columns, then one row per line, each as a JSON array."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentloop import ToolError

Value: TypeAlias = str | int | float | None

_LONGEST_CELL = 2_000
_MOST_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits on the rows and bytes of an answer."""

    rows: int
    bytes: int


class Deadline:
    """The time at which a call must end: after some seconds, or at once when it is cancelled."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self._ends = clock() + seconds
        self._why = f"the query took longer than {seconds:g} s and was stopped; ask for less"

    def cancel(self, why: str = "") -> None:
        """Let the call end now, with another reason if one is given."""
        self._ends = -math.inf
        self._why = why or self._why

    @property
    def passed(self) -> bool:
        """Whether the call must end."""
        return self.clock() >= self._ends

    def error(self) -> ToolError:
        """Return an error for the model, with the reason."""
        return ToolError(self._why)


def check_columns(columns: Sequence[str]) -> None:
    """Check that a result has not too many columns, before its rows are read.

    Raises:
        ToolError: it has too many.
    """
    if len(columns) > _MOST_COLUMNS:
        raise ToolError(f"the result has {len(columns)} columns; name at most {_MOST_COLUMNS} in place of *")


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], caps: Caps, deadline: Deadline) -> str:
    """Return the rows as text, as many as the caps allow, with a last line that says how many.

    Raises:
        ToolError: the query took too long.
    """
    lines = [_line(columns)]
    room = caps.bytes - len(lines[0].encode())
    for count, row in enumerate(rows):
        if deadline.passed:
            raise deadline.error()
        line = _line([_write_cell(cell) for cell in row])
        room -= len(line.encode()) + 1
        if count == caps.rows or room < 0:
            return _end(lines, f"{count} rows shown, there are more; narrow the query, or use LIMIT and OFFSET")
        lines.append(line)
    return _end(lines, f"{len(lines) - 1} {'row' if len(lines) == 2 else 'rows'}")  # noqa: PLR2004 - the line of columns and one row


def _end(lines: list[str], note: str) -> str:
    return "\n".join((*lines, f"({note})"))


def _line(cells: Sequence[object]) -> str:
    return json.dumps(cells, ensure_ascii=False, separators=(",", ":"))


def _write_cell(cell: object) -> object:
    """Return a cell as a JSON value. A long text is cut."""
    if isinstance(cell, bytes):
        return f"[{len(cell):,} bytes]"
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    # A lone surrogate can't be encoded as UTF-8.
    text = str(cell).encode(errors="replace").decode()
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}[... {len(text):,} characters]"
