"""No text of a model, a server or a page keeps one of our regular expressions busy for long.

Each pattern reads 100,000 characters that are made to be its worst. Its time is compared with that of a plain pattern
that looks at each character once, on the same text: CPU time of this thread, so that a busy machine slows both. A
pattern whose time is linear takes up to fifty times as long, and one whose time is quadratic takes five hundred times
as long or more.
"""

import re
import time

import pytest

from patterns import ANCHORED, Found, find_patterns, write_worst

PACKAGES = (
    *("agentloop.wire", "agentloop.schema", "agentloop.policy", "agentloop.endpoint", "agentloop.packs"),
    *("agentloop.tools", "agentloop.loop", "agentloop.runtime", "agentloop.items", "agentloop.ext.mcp"),
    "agentloop_tools",
)
FOUND = find_patterns(PACKAGES)
SAMPLE, PART, WHOLE = 1_000, 10_000, 100_000
MOST = 200
PLAIN = re.compile(r"(?:[^\W\d]|[\W\d])*+\Z")


def use(found: Found, text: str) -> float:
    """Return the CPU seconds that a pattern takes for a text, read as our code reads texts with it."""
    read = text if isinstance(found.pattern.pattern, str) else text.encode("latin-1", "replace")
    started = time.thread_time()
    if found.methods <= ANCHORED:
        found.pattern.match(read)
        found.pattern.fullmatch(read)
    else:
        found.pattern.search(read)
        found.pattern.sub(read[:0], read)
    return time.thread_time() - started


def compare(found: Found, text: str) -> float:
    """Return how many times as long as a plain pattern this one takes for a text."""
    started = time.thread_time()
    assert PLAIN.match(text[:PART])
    plain = time.thread_time() - started
    return use(found, text) / (plain * len(text) / PART)


def repeat(pump: str, length: int) -> str:
    return (pump * (length // len(pump) + 1))[:length]


def find_worst(found: Found) -> str:
    return max(write_worst(found.pattern), key=lambda pump: use(found, repeat(pump, SAMPLE)), default="")


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.where)
def test_the_time_of_a_pattern_is_linear_in_the_length_of_the_text(found):
    pump = find_worst(found)
    for length in (PART, WHOLE) if pump else ():  # a short text first, because a long one may take an hour
        text = repeat(pump, length)
        assert any(compare(found, text) < MOST for _ in range(3)), f"{found.pattern.pattern} on {pump!r} over and over"


@pytest.mark.parametrize(
    ("text", "pump"),
    [
        (r"<title[^>]*>([^<]*)</title>", "<title"),
        (r"feature '[^\"]+' is not", "feature '"),
        (r'"(?:[^"\\]|\\.)*"', '\\"'),
        (r"\s*(?:\d+)", " "),
        (r"(?:\w+\s?)*$", "a"),
        (r"\bkey-[\w-]{8,}\.", "key-"),
        (r"(?>ab)+(?=[^x]*;)", "ab"),
        (r"a(?:b|[^\W\d]{1,30})*c", "aa"),
    ],
)
def test_the_worst_texts_for_a_pattern_are_written(text, pump):
    assert pump in write_worst(re.compile(text))


def test_patterns_are_found_wherever_they_are_held():
    names = {found.where.rpartition(".")[2] for found in FOUND}
    assert {"REFUSES_STREAM", "_WINDOW", "_SAYS_ITEMS", "PYTHON", "_TOKEN", "_HTML_TITLE", "_CERTAIN"} <= names
    assert any(found.where.startswith("agentloop.schema.arguments.parsing:") for found in FOUND)
