"""What needs an extra, one room an extra: reached by an import string in a table, never imported by the core."""
