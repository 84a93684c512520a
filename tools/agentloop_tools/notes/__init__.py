"""The notes pack: what a model wants to remember over runs, and its list of things to do."""

from agentloop_tools.notes.pack import Notes, NotesConfig

__all__ = ["Notes", "NotesConfig"]
