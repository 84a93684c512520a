"""The search_files pack: full-text search in the files of a folder, with an index in SQLite that is kept up to date.

- `pack`: the pack, its configuration and its tool.
- `tree`: finds and opens the files below the folder; `ignored`: the files that are left out.
- `passages`: splits a text into passages; `pdf`: reads PDF files, with the program `pdf_worker`.
- `index`: the tables of the index, and its queries; `update`: brings the index up to date.
"""

from agentloop_tools.search_files.pack import SearchFiles, SearchFilesConfig

__all__ = ["SearchFiles", "SearchFilesConfig"]
