"""A research agent: it searches the web, reads a page, and stores what it found in notes, for later runs.

Set AGENTLOOP_MODEL, such as ovh:gpt-oss-20b, and give a question as the argument. Without AGENTLOOP_MODEL the model is
a script and the web is one local page, so that the example runs anywhere.
"""

import os
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agentloop import Agent, ToolFinished
from agentloop.testing import ScriptedEndpoint, call
from agentloop_tools.notes import Notes, NotesConfig
from agentloop_tools.web import Found, Web, WebConfig

PAGE = "<html><body><article><h1>The tower</h1><p>The tower is 330 metres high.</p></article></body></html>"


class LocalWeb:
    """A web of one page, and a search engine for it. Any other search engine is plugged in like this."""

    hosts = ("127.0.0.1",)

    def __init__(self, folder: Path) -> None:
        (folder / "tower.html").write_text(PAGE, encoding="utf-8")
        serve = partial(QuietServer, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tower.html"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    async def search(self, query: str, count: int) -> list[Found]:
        """Return the only page."""
        return [Found("The tower", self.url, f"About {query}")][:count]


class QuietServer(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name for it
        """Log nothing."""


def show(agent: Agent[None], question: str) -> None:
    """Run the agent and print its tool calls."""
    for event in agent.stream_sync(question):
        match event:
            case ToolFinished(tool_call, result):
                print("call     ", tool_call.name, tool_call.arguments)
                print("result   ", "\n           ".join(result.content.splitlines()))
            case _:
                pass


if __name__ == "__main__":
    model, question = os.environ.get("AGENTLOOP_MODEL"), " ".join(sys.argv[1:]) or "How high is the tower?"
    with tempfile.TemporaryDirectory() as folder:
        notes = Notes(NotesConfig(folder=Path(folder, "notes"))).only("add", "search")
        if model:
            show(Agent(model, tools=[Web(), notes]), question)
        else:
            web = LocalWeb(Path(folder))
            script = [
                call("web_search", {"query": "tower"}),
                call("web_fetch", {"url": web.url}),
                call("notes_add", {"text": f"The tower is 330 m high, says {web.url}"}),
                "It is 330 m high.",
            ]
            allowed = WebConfig(allow=(f"127.0.0.1:{web.server.server_port}",))
            tools = [Web(allowed, backend=web), notes]
            show(Agent("scripted", endpoint=ScriptedEndpoint(script), tools=tools), question)
            web.server.shutdown()
            web.server.server_close()
