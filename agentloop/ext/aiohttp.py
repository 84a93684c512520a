"""aiohttp in place of httpx2's connection pool: the extra `aiohttp`.

aiohttp reads replies in C, and its pool does not look at every connection for every request. Requests, responses and
errors stay httpx2's own, so that nothing above knows which of the two carries them. Certificates and proxies are those
that httpx2 finds in the environment.
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

# As much of a reply's head as httpx2 takes, or about.
HEADER_BYTES = 64 * 1024
HEADERS = 1000
# aiohttp writes longer bodies piece by piece if they are files, and warns of them if they are bytes.
LONGEST_WHOLE_BODY = 1024 * 1024

# ValueError is raised for a URL or a header that can't be sent.
_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)


class AiohttpClient(httpx2.AsyncClient):
    """httpx2's client, whose requests are sent by aiohttp, except those through a SOCKS proxy."""

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
        """Send a request as it is, and return its response as it is, read to its end unless it is streamed.

        Cookies, redirects and challenges, which httpx2 looks for in each response, are left alone: agentloop wants
        none of them, and looking takes 0.1 ms of CPU.
        """
        transport = self._transport_for_url(request.url)
        if not isinstance(transport, AiohttpTransport):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        response = await (transport.handle_async_request if stream else transport.fetch)(request)
        response.request = request
        return response


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """aiohttp's pool of connections, opened by the first request on the event loop that is running then."""

    def __init__(
        self, tls: ssl.SSLContext, limits: httpx2.Limits, timeout: httpx2.Timeout, proxy: httpx2.Proxy | None = None
    ) -> None:
        self._tls = tls
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout.connect)
        self._proxy = None if proxy is None else _write_proxy(proxy)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the response, whose body is still to be read."""
        answer = await self._ask(request)
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def fetch(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole response."""
        answer = await self._ask(request)
        try:
            body = await answer.read()
        except _ERRORS as error:
            raise _as_httpx2(error) from error
        finally:
            answer.close()
        response = httpx2.Response(answer.status, headers=answer.raw_headers, stream=httpx2.ByteStream(body))
        response.read()
        return response

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
    """The body of a response as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except _ERRORS as error:
            raise _as_httpx2(error) from error

    async def aclose(self) -> None:
        self._answer.close()


def _as_httpx2(error: Exception) -> httpx2.TransportError:
    """Return httpx2's error for one of aiohttp's, which may be a TimeoutError that is about the connection alone."""
    kind = httpx2.ConnectTimeout if isinstance(error, TimeoutError) else httpx2.NetworkError
    text = error.message if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)) else str(error)
    return kind(" ".join(text.split()) or type(error).__name__)


def _write_proxy(proxy: httpx2.Proxy) -> yarl.URL:
    user, password = proxy.auth or (None, None)
    return yarl.URL(str(proxy.url)).with_user(user).with_password(password)


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which is closed by `aclose` or not at all."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType] - aiohttp leaves a tuple untyped
        make: Callable[..., ResponseHandler] = _Protocol
        self._factory = partial(make, loop=self._loop)

    def __del__(self, *_: object) -> None:
        """Leave the sockets to their own destructors.

        aiohttp would close the connections here, on whichever thread collects garbage, or in a forked process, where
        that takes them out of the parent's event loop.
        """


class _Protocol(ResponseHandler):
    """aiohttp's side of a connection, which tells the reader of a body that the rest of it can't be parsed.

    By itself aiohttp 3.14 tells only those who wait for the head of a reply; others would wait until their time is up.
    """

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        if isinstance(exc, HttpProcessingError) and self._payload is not None:
            self._payload.set_exception(exc)


# --- sessions that nobody closes ---

# The session of a transport that went out of use is closed by its event loop a moment later. It is kept until then,
# since aiohttp writes to standard error when one is collected before.
_OPEN: dict[aiohttp.ClientSession, asyncio.AbstractEventLoop] = {}


@atexit.register
def _detach(*, ended_loops_only: bool = False) -> None:
    """Let go of sessions that will not be closed any more."""
    for session, loop in tuple(_OPEN.items()):
        if loop.is_closed() or not ended_loops_only:
            _OPEN.pop(session, None)
            session.detach()
