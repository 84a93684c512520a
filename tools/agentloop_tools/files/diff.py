"""Shows a person what would change in a file, as a unified diff. The time and the length are limited."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from agentloop_tools.files.text import FileText, escape, fingerprint

_CONTEXT = 3
_MOST_LINES = 1_000
_MOST_SHOWN = 400
_LONGEST_LINE = 500
_HUNK = re.compile(r"^@@ -(\d+)(.*?) \+(\d+)")


def make_diff(path: str, old: FileText, new: FileText) -> str:
    """Return a unified diff. For more than 1,000 changed lines, it shows only some removed and some added lines.

    If something of the old text is not shown, a digest stands for it, so that no other text has the same diff.

    Args:
        path: The path to show.
        old: The text of the file.
        new: The text that it would have.
    """
    path = escape(path)
    if old.lines == new.lines:
        return f"{path}: {'nothing' if old == new else 'only line ends, the last one, or the encoding'} would change"
    changed = list(_diff(path, *_show_ends(old, new)))
    lines = [*_recoding(old, new), *changed]
    shown = [_cut(line) for line in lines[:_MOST_SHOWN]]
    more = [f"({len(lines) - _MOST_SHOWN:,} more lines)"] if len(lines) > _MOST_SHOWN else []
    # A line of ours, with a "(", is about lines that are left out.
    if more or any(len(line) > _LONGEST_LINE or line.startswith("(") for line in changed):
        more.append(f"(the digest of the whole old text is {fingerprint(old.encode()).hex()})")
    return "\n".join([*shown, *more])


def _recoding(old: FileText, new: FileText) -> list[str]:
    before, after = (f"{text.codec}{' with a mark' * bool(text.mark)}" for text in (old, new))
    return [f"(the encoding would change from {before} to {after})"] if old.content and before != after else []


def _show_ends(old: FileText, new: FileText) -> tuple[Sequence[str], Sequence[str]]:
    """Return the lines. If they have different line ends, the carriage returns are included."""
    if len(_ends(old) | _ends(new)) <= 1:
        return old.lines, new.lines
    return _raw(old), _raw(new)


def _raw(text: FileText) -> Sequence[str]:
    return [line.removesuffix("\n") for line in re.findall(r".*\n|.+", text.content)]


def _ends(text: FileText) -> set[str]:
    every, windows = text.content.count("\n"), text.content.count("\r\n")
    return {end for end, count in (("\r\n", windows), ("\n", every - windows)) if count}


def _cut(line: str) -> str:
    more = f"… [{len(line):,} characters]" if len(line) > _LONGEST_LINE else ""
    return escape(line[:_LONGEST_LINE]) + more


def _diff(path: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    from difflib import unified_diff  # noqa: PLC0415 - it takes 8 ms, and is only needed to ask a person

    # The equal lines at both ends are left out first, because difflib's time is quadratic in the number of lines.
    before = max(0, _count_equal(old, new) - _CONTEXT)
    equal = _count_equal(old[before:][::-1], new[before:][::-1])
    after = max(0, equal - _CONTEXT)
    removed, added = old[before : len(old) - after], new[before : len(new) - after]
    if len(removed) + len(added) <= _MOST_LINES:
        yield from (_shift(line, before) for line in unified_diff(removed, added, path, path, lineterm="", n=_CONTEXT))
        return
    yield from (f"--- {path}", f"+++ {path}", f"({len(removed):,} lines from line {before + 1:,} on would be removed)")
    yield from (f"-{line}" for line in removed[: _MOST_SHOWN // 2])
    yield f"({len(added):,} lines would be added)"
    yield from (f"+{line}" for line in added)


def _count_equal(old: Sequence[str], new: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _shift(line: str, by: int) -> str:
    return _HUNK.sub(lambda found: f"@@ -{int(found[1]) + by}{found[2]} +{int(found[3]) + by}", line)
