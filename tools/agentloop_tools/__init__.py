"""First-party tool packs. They import only the public names of agentloop.

- `calculate/`: exact arithmetic and units.
- `files/`: reads, searches and, if allowed, changes the files below one folder.
- `http/`: requests to one API.
- `notes/`: notes and a to-do list that outlast a run.
- `python/`: runs a model's Python code in a sandbox.
- `search_files/`: full-text search in the files of a folder.
- `shell/`: runs programs in a sandbox.
- `sql/`: queries to a database.
- `time`: the clock, and dates with time zones.
- `web/`: fetches web pages and searches the web.
- `network/` and `storage/` are shared by several packs.
"""
