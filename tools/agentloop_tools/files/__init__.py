"""The files pack: what lies below one folder, for a model to read, search and, if asked for, change."""

from agentloop_tools.files.pack import Files, FilesConfig

__all__ = ["Files", "FilesConfig"]
