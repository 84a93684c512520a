"""The pack `sql`: questions to a database, and no changes to it."""

from agentloop_tools.sql.pack import Sql, SqlConfig

__all__ = ["Sql", "SqlConfig"]
