"""Guarded requests to addresses that a user, a page or a model named: the public network only, and not too much of it.

What is fetched, and what for, is not known here. It speaks httpcore2 itself, which has no redirects, cookies, proxies,
credentials or decompression of its own to be switched off. Imported by the first fetch, never before.
"""

from agentloop.fetch.addresses import Address, Resolve, is_public, look_up
from agentloop.fetch.fetcher import Fetched, Fetcher

__all__ = ["Address", "Fetched", "Fetcher", "Resolve", "is_public", "look_up"]
