"""The notes pack: notes that a model keeps for later runs, and its to-do list.

- `pack`: the pack, its configuration and its tools.
- `book`: stores the notes and the to-do list of one user in a SQLite file.
- `secrets`: removes texts that look like secrets.
"""

from agentloop_tools.notes.pack import Notes, NotesConfig

__all__ = ["Notes", "NotesConfig"]
