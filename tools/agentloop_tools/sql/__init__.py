"""The pack `sql`: queries to a database, which can't change it.

- `pack`: the pack, its configuration and its tools.
- `sqlite`: reads a SQLite file; `guard`: limits what a query may do in SQLite, and what it may cost.
- `server`: reads any other database through SQLAlchemy.
- `answer`: writes the rows of a result as text of limited size; also the deadline of a query.
"""

from agentloop_tools.sql.pack import Sql, SqlConfig

__all__ = ["Sql", "SqlConfig"]
