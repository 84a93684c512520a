"""Connects to a server by streamable HTTP, to one origin only, with a limit on the size of answers."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from agentloop.errors import ConfigurationError
from agentloop.ext.mcp.config import McpConfig

_CONNECT_SECONDS = 10.0


@asynccontextmanager
async def open_address(config: McpConfig) -> AsyncGenerator[Any]:
    """Yield the message streams of the server at the configured address; redirects to other origins are not followed.

    Raises:
        ConfigurationError: the environment variable for the token is not set, or a header is not valid.
    """
    timeout = httpx2.Timeout(_CONNECT_SECONDS, read=config.timeout)
    transport = _Bounded(httpx2.AsyncHTTPTransport(), config.max_message)
    async with (
        # A client with a transport of its own ignores the proxies of the environment, which the user has not declared.
        httpx2.AsyncClient(headers=_make_headers(config), timeout=timeout, transport=transport) as http,
        streamable_http_client(config.url, http_client=http, max_sse_event_size=config.max_message) as streams,
    ):
        yield streams


def _make_headers(config: McpConfig) -> dict[str, str]:
    headers = {name: value.get_secret_value().strip() for name, value in config.headers.items()}
    if config.token_env:
        token = os.environ.get(config.token_env)
        if not token:
            raise ConfigurationError(
                f"the MCP server {config.name!r} needs a token, but {config.token_env} is not set",
                hint=f"export {config.token_env}=..., or leave token_env out",
            )
        headers["Authorization"] = f"Bearer {token.strip()}"
    for name, value in headers.items():
        if not (
            value.isascii() and value.isprintable()
        ):  # otherwise the error of the HTTP client would quote the value
            raise ConfigurationError(
                f"the header {name} for the MCP server {config.name!r} holds a character that no header may have",
                hint="give it one line of ASCII",
            )
    return headers | {"Accept-Encoding": "identity"}


class _Bounded(httpx2.AsyncBaseTransport):
    """Limits the size of answers; streams of events have a limit of their own."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most: int) -> None:
        self._inner = inner
        self._most = most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - what an async transport returns
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the server compresses its answer, which was not requested", request=request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(response.stream, self._most, request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int, request: httpx2.Request) -> None:
        self._inner = inner
        self._most = most
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise httpx2.ReadError(f"the answer has more than {self._most:,} bytes", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
