"""Strategies for JSON that nobody vouches for."""

from hypothesis import strategies as st

SHORT = st.text(max_size=5)


def any_json(names="", words=""):
    """Any JSON value, in which the given names of fields and words turn up often."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), SHORT)
    strings = st.sampled_from(words.split()) if words else SHORT
    keys = st.sampled_from(names.split()) if names else SHORT
    return st.recursive(
        leaves | strings,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )
