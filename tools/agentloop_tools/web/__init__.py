"""The web pack: fetches web pages as Markdown, and searches the web. Each address is checked when it is connected to.

- `pack`: the pack and its tools; `config`: WebConfig.
- `host_rules`: the hosts and ports that may be fetched from.
- `page`: makes text for the model from a page.
- `search`: the interface of search backends; `ddgs` and `searxng` are two of them.
- `thread_call`: calls a blocking function in a daemon thread, with a time limit.
"""

from agentloop_tools.web.config import WebConfig
from agentloop_tools.web.pack import Web
from agentloop_tools.web.search import Found, SearchBackend

__all__ = ["Found", "SearchBackend", "Web", "WebConfig"]
