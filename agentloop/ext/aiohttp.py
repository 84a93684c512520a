"""Sends requests over aiohttp in place of httpx2's connection pool, which needs the extra `aiohttp`.

aiohttp parses replies in C, and its pool looks only at the connection that it uses. Requests, responses and
exceptions are those of httpx2, so the modules that use it do not know which of the two sends them. Certificates and
proxies are those that httpx2 finds in the environment.
"""

from __future__ import annotations

import asyncio
import atexit
import ssl
from collections.abc import AsyncGenerator, Callable
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
import httpx2
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from httpcore2._utils import is_socket_readable

# httpx2 accepts headers of about this size and number.
HEADER_BYTES = 64 * 1024
HEADERS = 1000
# aiohttp warns of a longer body that is bytes. A longer body that is a file is written in pieces.
LONGEST_WHOLE_BODY = 1024 * 1024

# aiohttp raises ValueError for a URL or a header that can't be sent.
_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)


class AiohttpClient(httpx2.AsyncClient):
    """A client of httpx2 that sends its requests over aiohttp, except those through a SOCKS proxy."""

    def _init_transport(self, *_: Any, **settings: Any) -> httpx2.AsyncBaseTransport:
        return AiohttpTransport(settings["verify"], settings["limits"], self.timeout)

    def _init_proxy_transport(self, proxy: httpx2.Proxy, *_: Any, **settings: Any) -> httpx2.AsyncBaseTransport:
        if proxy.url.scheme.startswith("socks"):
            return super()._init_proxy_transport(proxy, **settings)
        return AiohttpTransport(settings["verify"], settings["limits"], self.timeout, proxy)

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: Any = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """Send a request unchanged and return its response, whose body is not read yet.

        httpx2 looks for cookies, redirects and authentication in each response, which takes 0.1 ms of CPU. agentloop
        uses none of them, so they are ignored here.
        """
        transport = self._transport_for_url(request.url)
        if not isinstance(transport, AiohttpTransport):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        response = await transport.handle_async_request(request)
        response.request = request
        return response


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """A pool of aiohttp's connections. The first request opens it, on the event loop that runs the request."""

    def __init__(
        self, tls: ssl.SSLContext, limits: httpx2.Limits, timeout: httpx2.Timeout, proxy: httpx2.Proxy | None = None
    ) -> None:
        self._tls = tls
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout.connect)
        self._proxy = None if proxy is None else _write_proxy(proxy)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the response; its body is not read yet."""
        answer = await self._ask(request)
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def _ask(self, request: httpx2.Request) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        body = request.read()
        try:
            return await session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=[(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw],
                data=body if len(body) <= LONGEST_WHOLE_BODY else BytesIO(body),
                allow_redirects=False,
            )
        except _ERRORS as error:
            raise _as_httpx2(error) from error

    def _open(self) -> aiohttp.ClientSession:
        connector = _Connector(
            ssl=self._tls,
            limit=self._limits.max_connections or 0,
            keepalive_timeout=self._limits.keepalive_expiry,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            proxy=self._proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # httpx2 does it
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=HEADERS,
        )
        _detach(ended_loops_only=True)
        _OPEN[self._session] = asyncio.get_running_loop()
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session:
            _OPEN.pop(self._session, None)
            await self._session.close()


class _Body(httpx2.AsyncByteStream):
    """The body of a response, read as it arrives."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except _ERRORS as error:
            # What came before the connection broke may be the whole reply.
            rest = content._read_nowait(-1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no other method gives it
            if rest:
                yield rest
            raise _as_httpx2(error) from error

    async def aclose(self) -> None:
        self._answer.close()


def _as_httpx2(error: Exception) -> httpx2.TransportError:
    """Return httpx2's exception for one of aiohttp's. A TimeoutError of aiohttp is about connecting only."""
    kind = httpx2.ConnectTimeout if isinstance(error, TimeoutError) else httpx2.NetworkError
    text = error.message if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)) else str(error)
    return kind(" ".join(text.split()) or type(error).__name__)


def _write_proxy(proxy: httpx2.Proxy) -> yarl.URL:
    user, password = proxy.auth or (None, None)
    return yarl.URL(str(proxy.url)).with_user(user).with_password(password)


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, which only `aclose` closes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType] - aiohttp leaves a tuple untyped
        make: Callable[..., ResponseHandler] = _Protocol
        self._factory = partial(make, loop=self._loop)

    def __del__(self, *_: object) -> None:
        """Do nothing; each socket has a destructor of its own.

        aiohttp closes the connections here. That may happen on any thread that collects garbage, and in a forked
        process, where it also removes them from the event loop of the parent process.
        """


class _Protocol(ResponseHandler):
    """One connection of aiohttp.

    It ends the reading of a body that can't be parsed. aiohttp 3.14 reports such an error only to a caller that waits
    for the head of a reply. A caller that reads the body waits until its timeout.
    """

    def is_connected(self) -> bool:
        """Return whether another request can be sent; aiohttp asks this of a connection that waits in its pool.

        Some servers close the connection after a stream (llama.cpp). The event loop may not have noticed yet, and then
        the next request would fail. A connection without a request has nothing to read but its end.
        """
        transport = self.transport if super().is_connected() else None
        return transport is not None and not is_socket_readable(transport.get_extra_info("socket"))

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        if isinstance(exc, HttpProcessingError) and self._payload is not None:
            self._payload.set_exception(exc)


# --- sessions that nobody closes ---

# `Connection` closes its session when its event loop ends, or soon after the transport is garbage. aiohttp writes to
# standard error if a session is collected before it is closed, so the sessions are referenced here until then.
_OPEN: dict[aiohttp.ClientSession, asyncio.AbstractEventLoop] = {}


@atexit.register
def _detach(*, ended_loops_only: bool = False) -> None:
    """Drop the sessions that nothing can close any more: at exit all, before that those of event loops that ended."""
    for session, loop in tuple(_OPEN.items()):
        if loop.is_closed() or not ended_loops_only:
            _OPEN.pop(session, None)
            session.detach()
