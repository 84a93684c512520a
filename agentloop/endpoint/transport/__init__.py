"""Sends bytes to an endpoint and returns its bytes. `wire/` interprets the bytes.

- `http_transport`: the Transport protocol, and HttpTransport, which sends a request once.
- `pool`: the connections that transports to the same address share.
- `connection`: the only module that uses the openai SDK.
- `limiter`: Pace, which keeps to the endpoint's rate limit.
- `retry`: RetryPolicy, which decides whether a failed request is sent again.
- `deadline`: one timer for all the waits of a request.
- `reading`: reads a reply up to its own end, which the connection's end need not follow.
- `unpacking`: decompresses bodies.
- `secrets`: hides keys and passwords in what the endpoint says; `client_log`: and in the clients' own logs.
"""

from agentloop.endpoint.transport.client_log import hiding_in_log
from agentloop.endpoint.transport.http_transport import HttpTransport, Transport, WarningSource
from agentloop.endpoint.transport.limiter import Pace
from agentloop.endpoint.transport.reading import read_to_end
from agentloop.endpoint.transport.retry import OnRetry, RetryPolicy, is_retryable
from agentloop.endpoint.transport.secrets import hide_secrets, hide_values, hiding_secrets

__all__ = [
    "HttpTransport",
    "OnRetry",
    "Pace",
    "RetryPolicy",
    "Transport",
    "WarningSource",
    "hide_secrets",
    "hide_values",
    "hiding_in_log",
    "hiding_secrets",
    "is_retryable",
    "read_to_end",
]
