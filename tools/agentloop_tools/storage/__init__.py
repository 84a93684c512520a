"""What packs share that store something, or search in it.

- `store`: a SQLite file of a pack; `words`: full-text queries.
- `marks`: which files runs have written that had read untrusted text.
"""
