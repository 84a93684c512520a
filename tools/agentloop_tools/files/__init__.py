"""The files pack: lets a model read, search and, if allowed, change the files below one folder.

- `pack`: the pack and its configuration; `reading` and `writing`: its tools.
- `root`: opens paths below the root folder, and refuses denied names; `beneath`: opens files without following links.
- `walk`: walks through folders; `wildcard`: patterns of paths; `ignore`: the rules of `.gitignore` files.
- `grep`: searches files line by line; `patterns`: what it searches for.
- `text`: decodes and encodes text files; `saving`: replaces a file in one step; `diff`: shows a change to a person.
"""

from agentloop_tools.files.pack import Files, FilesConfig

__all__ = ["Files", "FilesConfig"]
