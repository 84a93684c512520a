"""The http pack: requests to one declared API, whose secrets neither the model nor a log ever sees."""

from agentloop_tools.http.config import HttpConfig
from agentloop_tools.http.pack import Http

__all__ = ["Http", "HttpConfig"]
