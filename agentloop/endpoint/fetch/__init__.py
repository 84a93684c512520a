"""Fetches URLs that a user, a page or a model named: only from the public network, and only up to a size limit.

It uses httpcore2 directly, which has no redirects, cookies, proxies, credentials or decompression that would have to be
switched off. The first fetch imports it.

- `fetcher`: Fetcher, which checks every redirect and limits the size of every answer.
- `network`: connects only to addresses that were checked; `addresses`: tells which addresses are public.
- `urls`: reads URLs, follows redirects, and hides secrets in URLs.
- `body`: reads and decompresses a body up to a size limit.
"""

from agentloop.endpoint.fetch.addresses import Address, Resolve, is_public, look_up
from agentloop.endpoint.fetch.fetcher import Fetched, Fetcher

__all__ = ["Address", "Fetched", "Fetcher", "Resolve", "is_public", "look_up"]
