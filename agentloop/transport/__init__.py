"""Bytes to and from an endpoint, and when a request is sent, or sent again.

`HttpTransport` sends, once; `Pace` says when, and `RetryPolicy` whether to send again. No wire format lives here: what
the bytes mean is `wire/`'s business.
"""

from agentloop.transport.http_transport import HttpTransport, Transport, WarningSource
from agentloop.transport.limiter import Pace
from agentloop.transport.retry import RetryPolicy, Watch, is_retryable

__all__ = ["HttpTransport", "Pace", "RetryPolicy", "Transport", "WarningSource", "Watch", "is_retryable"]
