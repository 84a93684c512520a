"""Search in the files of a folder: an index in SQLite, kept up to date, and the passages that fit a query best."""

from agentloop_tools.search_files.pack import SearchFiles, SearchFilesConfig

__all__ = ["SearchFiles", "SearchFilesConfig"]
