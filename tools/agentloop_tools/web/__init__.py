"""The web pack: pages as Markdown, and web search. Each address is vetted when it is connected to."""

from agentloop_tools.web.config import WebConfig
from agentloop_tools.web.pack import Web
from agentloop_tools.web.search import Found, SearchBackend

__all__ = ["Found", "SearchBackend", "Web", "WebConfig"]
