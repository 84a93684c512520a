"""A data analyst: read-only queries to a database, and Python code in a sandbox that makes such queries itself.

Set AGENTLOOP_MODEL, such as ovh:gpt-oss-20b, to use a real model. Without it the model is a script.
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from agentloop import Agent, Policy, ToolFinished
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.python import Python
from agentloop_tools.sql import Sql, SqlConfig

QUESTION = "Which month sold the most, and how far above the average was it?"
CODE = """
import json
answer = await sql_query(sql="select month, sum(units) from sales group by month")
months = [json.loads(line) for line in answer.splitlines()[1:-1]]
best = max(months, key=lambda month: month[1])
print(best, best[1] - sum(units for _, units in months) / len(months))
"""


def make_database(path: Path) -> None:
    """Make a database with a few sales."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table sales (month text, units integer)")
        database.executemany("insert into sales values (?, ?)", [("may", 40), ("june", 65), ("june", 35), ("july", 55)])


if __name__ == "__main__":
    model = os.environ.get("AGENTLOOP_MODEL")
    script = [
        call("sql_schema"),
        call("python_run", {"code": CODE}),
        "June, with 100 units: 35 above the average of 65.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        make_database(Path(folder, "sales.db"))
        agent = Agent(
            model or "scripted",
            endpoint=None if model else ScriptedEndpoint(script),
            tools=[Sql(SqlConfig(database=str(Path(folder, "sales.db")))), Python()],
            # By default, running code asks for approval. Here the sandbox is enough protection.
            policy=Policy(allow=("python.run",)),
        )
        for event in agent.stream_sync(QUESTION):
            match event:
                case ToolFinished(tool_call, result):
                    print("call     ", tool_call.name, tool_call.arguments)
                    print("result   ", "\n           ".join(result.content.splitlines()))
                case _:
                    pass
