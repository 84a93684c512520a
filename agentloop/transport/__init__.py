"""Bytes to and from an endpoint, and when a failed request is sent again.

`HttpTransport` sends, once; `RetryPolicy` says whether to send again. No wire format lives here: what the bytes mean is
`wire/`'s business.
"""

from agentloop.transport.http_transport import HttpTransport, Transport
from agentloop.transport.retry import RetryPolicy, Watch, is_retryable

__all__ = ["HttpTransport", "RetryPolicy", "Transport", "Watch", "is_retryable"]
