"""Sends bytes to an endpoint and returns its bytes. `wire/` interprets the bytes.

- `http_transport`: the Transport protocol, and HttpTransport, which sends a request once.
- `connection`: the only module that uses the openai SDK.
- `limiter`: Pace, which keeps to the endpoint's rate limit.
- `retry`: RetryPolicy, which decides whether a failed request is sent again.
- `deadline`: one timer for all the waits of a request.
- `reading`: reads a reply up to its own end, which the connection's end need not follow.
- `unpacking`: decompresses bodies.
"""

from agentloop.endpoint.transport.http_transport import HttpTransport, Transport, WarningSource
from agentloop.endpoint.transport.limiter import Pace
from agentloop.endpoint.transport.reading import read_to_end
from agentloop.endpoint.transport.retry import OnRetry, RetryPolicy, is_retryable

__all__ = [
    "HttpTransport",
    "OnRetry",
    "Pace",
    "RetryPolicy",
    "Transport",
    "WarningSource",
    "is_retryable",
    "read_to_end",
]
