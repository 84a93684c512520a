"""The http pack: requests to one configured API, whose secrets are shown neither to the model nor in a log.

- `pack`: the pack and its tools; `config`: HttpConfig.
- `api_root`: makes URLs under the base URL, and checks that no request leaves it.
- `secrets`: puts secrets into requests and removes them from answers.
- `pick`: takes a part of a JSON value.
- `retry`: sends failed requests again.
- `quiet`: keeps requests out of the HTTP client's own log.
"""

from agentloop_tools.http.config import HttpConfig
from agentloop_tools.http.pack import Http

__all__ = ["Http", "HttpConfig"]
