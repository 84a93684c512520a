"""Holds the connections of one event loop to an endpoint. This is the only module that uses the openai SDK.

The first request imports it. Exceptions of the SDK and its HTTP client become agentloop's own here. Nothing is sent
twice here: `retry` decides when to send again.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from functools import lru_cache, partial
from importlib import import_module
from typing import cast
from urllib.parse import urlsplit

import anyio
import httpx2
import openai

from agentloop.endpoint.proxies import is_local, is_proxied
from agentloop.endpoint.transport.client_log import hiding_in_log
from agentloop.endpoint.transport.deadline import Deadline
from agentloop.endpoint.transport.reading import read_to_end
from agentloop.endpoint.transport.secrets import hide_secrets
from agentloop.endpoint.transport.unpacking import ACCEPTED, Unpacker
from agentloop.errors import ConfigurationError, EndpointError, EndpointTimeoutError, ReplyError, UnreachableError
from agentloop.installation import describe_install
from agentloop.wire.profile import Endpoint, HttpClient, add_path
from agentloop.wire.profile.failures import read_error
from agentloop.wire.streams.ending import WholeBody

CONNECT_SECONDS = 10.0
# Tools run between the requests of a run. A connection that is closed in that time costs a TLS handshake.
IDLE_SECONDS = 30.0
CONNECTIONS = 1000
# A stream of a hundred thousand tokens is about 30 MB. What is longer is no reply of a model, or compressed to harm.
MOST_BYTES = 128 * 1024 * 1024
MOST_ERROR_BYTES = 1024 * 1024
ERROR_SECONDS = 10.0
_PROXY_HINT = "the request may have gone through the proxy of the environment: NO_PROXY takes hosts out of it"
WARNING_HEADER = "x-warning"  # OVHcloud, of models that will be taken out of service


class Connection:
    """The SDK's client for one endpoint on one event loop, with its pool.

    Args:
        endpoint: The endpoint.
        warn: Called with the warning of each reply that has one.

    Raises:
        ConfigurationError: no client can be created for this base_url in this environment.
    """

    def __init__(self, endpoint: Endpoint, warn: Callable[[str], None]) -> None:
        if "#" in endpoint.base_url:
            raise ConfigurationError(
                "base_url has a fragment, the part from '#' on, which can't be sent to a server",
                hint="take it out; write a '#' that belongs to the path or the query as %23",
            )
        self._endpoint = endpoint
        url = urlsplit(endpoint.base_url)
        self._where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
        self._timeout_seconds = endpoint.timeout_seconds
        self._idle_seconds = endpoint.idle_timeout_seconds
        self._may_be_proxied = endpoint.proxy is None and is_proxied(endpoint.base_url)
        self._warn = warn
        self._lifetime = self._live()
        try:
            self._base_url = str(httpx2.URL(endpoint.base_url).copy_with(userinfo=b""))
            self._client = _Client(
                base_url=endpoint.base_url,
                api_key=endpoint.api_key or "anonymous",  # the SDK insists on one
                max_retries=0,
                http_client=_http_client(endpoint),
            )
        except (httpx2.InvalidURL, ValueError, OSError, ImportError) as error:
            raise ConfigurationError(
                f"no connection can be made to {self._where}: {error}",
                hint="check base_url, and the proxy and SSL_CERT_* variables of the environment",
            ) from error

    async def open(self) -> None:
        """Bind the connections to the running event loop, which closes them when it shuts down.

        At its end `asyncio.run` closes the open asynchronous generators while the loop can still close sockets. So no
        socket is leaked even if `aclose` is never called.
        """
        await anext(self._lifetime)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._lifetime.aclose()

    async def _live(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._client.close()

    async def send(self, path: str, body: bytes) -> bytes:
        """Post the body and return the whole reply."""
        whole = WholeBody()
        async with aclosing(read_to_end(self.stream(path, body), whole)) as chunks:
            async for chunk in chunks:
                whole.feed(chunk)
        return whole.join()

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the decompressed reply as it arrives."""
        deadline = Deadline(self._timeout_seconds, self._idle_seconds)
        with self._our_errors(deadline), deadline:
            response = await self._post(path, body)
            unpacker = Unpacker(response.headers.get("content-encoding", ""), MOST_BYTES)
            async with aclosing(response), aclosing(_iterate_body(response)) as pieces:
                async for data in pieces:
                    deadline.pause()
                    for chunk in unpacker.feed(data):
                        yield chunk
                    deadline.go_on()
            deadline.pause()
            for chunk in unpacker.close():
                yield chunk

    async def _post(self, path: str, body: bytes) -> httpx2.Response:
        with hiding_in_log(partial(hide_secrets, endpoint=self._endpoint)):
            response = await self._client.exchange(_url(add_path(self._base_url, path)), body)
        warning = response.headers.get(WARNING_HEADER)
        if warning:
            self._warn(warning)
        if response.is_success:
            return response
        error = _refusal(response, await _read_some(response))
        if self._may_be_proxied and "html" in response.headers.get("content-type", ""):
            error.hint += f"; {_PROXY_HINT}"
        raise error

    @contextmanager
    def _our_errors(self, deadline: Deadline) -> Generator[None]:
        try:
            yield
        except TimeoutError as error:
            if deadline.fell_silent:
                what, field = f"sent nothing for {self._idle_seconds:g} s within its reply", "idle_timeout_seconds"
            else:
                what, field = f"gave no whole reply within {self._timeout_seconds:g} s", "timeout_seconds"
            raise EndpointTimeoutError(
                f"{self._where} {what}", hint=f"give the Endpoint a longer {field}, or ask the model for less"
            ) from error
        except (httpx2.HTTPError, OSError, anyio.EndOfStream, zlib.error) as error:
            hint = "check that the server is running and that base_url is right"
            raise UnreachableError(
                f"the connection to {self._where} failed: {str(error) or type(error).__name__}",
                hint=f"{hint}; {_PROXY_HINT}" if self._may_be_proxied else hint,
            ) from error


async def _read_some(response: httpx2.Response) -> bytes:
    """Return the body of an error as far as it can be read; the status counts, whatever is wrong with the body."""
    body = bytearray()
    try:
        unpacker = Unpacker(response.headers.get("content-encoding", ""), MOST_ERROR_BYTES)
        opened = aclosing(_iterate_body(response))
        async with asyncio.timeout(ERROR_SECONDS), aclosing(response), opened as pieces:
            async for data in pieces:
                for piece in unpacker.feed(data):
                    body += piece
            for piece in unpacker.close():
                body += piece
    except (httpx2.HTTPError, OSError, anyio.EndOfStream, zlib.error, ReplyError):  # TimeoutError is an OSError
        pass
    return bytes(body)


def _iterate_body(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """Return the body as it arrives, still compressed. Both the response and the iterator are to be closed.

    `Response.aiter_raw` does this too, and takes 1 µs for each piece, as much as reading its JSON.
    """
    # The client wraps every body in a stream whose iterator is a generator.
    return cast("AsyncGenerator[bytes]", aiter(cast("httpx2.AsyncByteStream", response.stream)))


class _Client(openai.AsyncOpenAI):
    """The SDK's client, with a short way for requests that are bytes already.

    The SDK's own `post` makes models of the request's options, copies them and reads them again. It also adds headers
    from OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID, which are meant for another endpoint, and a
    description of this machine. All this takes 0.2 ms of CPU, as much as aiohttp needs for a whole request.
    """

    async def exchange(self, url: httpx2.URL, body: bytes) -> httpx2.Response:
        """Post the body and return the response, whose body is not read yet.

        Raises:
            httpx2.HTTPError: there was no response.
        """
        headers = self._client.headers.copy()
        headers["Content-Length"] = str(len(body))
        # A request that is made of a stream takes its headers as they are; working them out takes 15 µs.
        request = httpx2.Request("POST", url, headers=headers, stream=httpx2.ByteStream(body))
        return await self._client.send(request, stream=True)


@lru_cache(maxsize=64)
def _url(text: str) -> httpx2.URL:
    return httpx2.URL(text)


def _http_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    return _client_class(endpoint.http)(
        headers=_headers(endpoint),
        verify=_read_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        # `Deadline` times the whole request, which is cheaper than one timer per read.
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS
        ),
        # A redirected POST becomes a GET, and would send the endpoint's own headers to another host.
        follow_redirects=False,
        proxy=endpoint.proxy,
        # A server on this machine is seldom one that a proxy can reach.
        trust_env=not is_local(endpoint.base_url),
    )


def _client_class(http: HttpClient) -> type[httpx2.AsyncClient]:
    if http == "httpx":
        return httpx2.AsyncClient
    try:
        room = import_module("agentloop.ext.aiohttp")
    except ImportError:
        if http == "auto":
            return httpx2.AsyncClient
        raise ConfigurationError(
            'Endpoint(http="aiohttp") needs the extra `aiohttp`, which is not installed',
            hint=describe_install("aiohttp"),
        ) from None
    return cast("type[httpx2.AsyncClient]", room.AiohttpClient)


def _headers(endpoint: Endpoint) -> httpx2.Headers:
    url = httpx2.URL(endpoint.base_url)
    headers = httpx2.Headers({"Accept": "application/json", "Accept-Encoding": ACCEPTED, "User-Agent": "agentloop"})
    if endpoint.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    headers.update(endpoint.headers)
    headers["Content-Type"] = "application/json"
    headers.setdefault("Host", url.netloc.decode())
    if url.userinfo:
        credentials = base64.b64encode(f"{url.username}:{url.password}".encode())
        headers["Authorization"] = f"Basic {credentials.decode()}"
    return headers


@lru_cache(maxsize=8)
def _read_certificates(*_: str | None) -> ssl.SSLContext:
    """Read the certificates that these variables name, which takes 40 ms, once for all connections of this process."""
    return httpx2.create_ssl_context()


def _refusal(response: httpx2.Response, body: bytes) -> EndpointError:
    if response.has_redirect_location:
        return ReplyError(
            f"the endpoint redirects to {response.headers['location'].partition('?')[0]}",
            hint="give the Endpoint the base_url to which it redirects",
            status=response.status_code,
        )
    return read_error(response.status_code, response.headers, body, now=time.time())
