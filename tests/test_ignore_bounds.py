"""Patterns of an ignore file that would take years for one name are left out, and slow ones are few."""

import pytest

from agentloop_tools.files.ignore import can_be_read, choose_patterns, make_spec


@pytest.mark.parametrize("pattern", ["**b**b**c", "a**a**b", "***a*", "*a*a*a*b", "**/a*b*c*", "!**x**y/"])
def test_stars_within_a_name_are_loops_each(pattern):
    assert not can_be_read(pattern)


@pytest.mark.parametrize(
    "pattern", ["*.pyc", "**/build/**", "/docs/**/*.tmp", "**/*.log", "!keep*", "# a*b*c*d*", "*a*b*c"]
)
def test_patterns_of_honest_files_are_read(pattern):
    assert can_be_read(pattern) or pattern.startswith("#")


def test_few_slow_patterns_are_read_and_all_fast_ones():
    lines = [line for number in range(100) for line in (f"*a{number}*b*c", f"*.x{number}")]
    chosen = list(choose_patterns(lines))
    assert len([line for line in chosen if line.count("*") == 3]) == 20
    assert len([line for line in chosen if line.count("*") == 1]) == 100


def test_a_hostile_file_is_matched():
    spec = make_spec(choose_patterns(["**b**b**c", "*b*b*c", "*?*?*c"] * 300))
    assert not spec.match_file("b" * 250)
