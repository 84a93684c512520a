"""Holds the connections of one event loop to an endpoint. This is the only module that uses the openai SDK.

The first request imports it. Exceptions of the SDK and its HTTP client become agentloop's own here. Nothing is sent
twice here: `retry` decides when to send again.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from functools import lru_cache
from importlib import import_module
from typing import cast
from urllib.parse import urlsplit

import anyio
import httpx2
import openai

from agentloop.endpoint.transport.deadline import Deadline
from agentloop.errors import ConfigurationError, EndpointError, EndpointTimeoutError, ReplyError, UnreachableError
from agentloop.installation import describe_install
from agentloop.wire.profile import Endpoint, HttpClient
from agentloop.wire.profile.failures import read_error

CONNECT_SECONDS = 10.0
# Tools run between the requests of a run. A connection that is closed in that time costs a TLS handshake.
IDLE_SECONDS = 30.0
CONNECTIONS = 1000
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
        url = urlsplit(endpoint.base_url)
        self._where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
        self._timeout_seconds = endpoint.timeout_seconds
        self._warn = warn
        self._lifetime = self._live()
        try:
            self._base_url = str(httpx2.URL(endpoint.base_url).copy_with(userinfo=b"")).rstrip("/")
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
        with self._our_errors(), Deadline(self._timeout_seconds):
            response = await self._post(path, body, stream=False)
        return response.content

    async def stream(self, path: str, body: bytes) -> AsyncGenerator[bytes]:
        """Post the body and yield the decompressed reply as it arrives."""
        with self._our_errors(), Deadline(self._timeout_seconds) as deadline:
            response = await self._post(path, body, stream=True)
            try:
                async with aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        deadline.pause()
                        yield chunk
                        deadline.go_on()
            finally:
                await response.aclose()

    async def _post(self, path: str, body: bytes, *, stream: bool) -> httpx2.Response:
        response = await self._client.exchange(_url(self._base_url + path), body, stream=stream)
        warning = response.headers.get(WARNING_HEADER)
        if warning:
            self._warn(warning)
        return response

    @contextmanager
    def _our_errors(self) -> Generator[None]:
        try:
            yield
        except openai.APIStatusError as error:
            raise _refusal(error.response) from None
        except TimeoutError as error:
            raise EndpointTimeoutError(
                f"{self._where} gave no whole reply within {self._timeout_seconds:g} s",
                hint="give the Endpoint a longer timeout_seconds, or ask the model for less",
            ) from error
        except (httpx2.HTTPError, OSError, anyio.EndOfStream) as error:
            raise UnreachableError(
                f"the connection to {self._where} failed: {str(error) or type(error).__name__}",
                hint="check that the server is running and that base_url is right",
            ) from error


class _Client(openai.AsyncOpenAI):
    """The SDK's client, with a short way for requests that are bytes already.

    The SDK's own `post` makes models of the request's options, copies and reads them, and adds headers: those of
    OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID, which were meant for another endpoint, and a
    description of this machine. That takes 0.2 ms of CPU, as much as aiohttp needs for the whole request.
    """

    async def exchange(self, url: httpx2.URL, body: bytes, *, stream: bool) -> httpx2.Response:
        """Post the body and return the response, read to its end unless it is streamed.

        Raises:
            openai.APIStatusError: the status is not a 2xx.
            httpx2.HTTPError: there was no response.
        """
        headers = self._client.headers.copy()
        headers["Content-Length"] = str(len(body))
        # A request that is made of a stream takes its headers as they are; working them out takes 15 µs.
        request = httpx2.Request("POST", url, headers=headers, stream=httpx2.ByteStream(body))
        response = await self._client.send(request, stream=stream)
        if response.is_success:
            return response
        await response.aread()
        raise self._make_status_error_from_response(response)


@lru_cache(maxsize=64)
def _url(text: str) -> httpx2.URL:
    return httpx2.URL(text)


def _http_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    return _client_class(endpoint.http)(
        headers=_headers(endpoint),
        verify=_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        # `Deadline` times the whole request, which is cheaper than one timer per read.
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=None, keepalive_expiry=IDLE_SECONDS
        ),
        # A redirected POST becomes a GET, and would send the endpoint's own headers to another host.
        follow_redirects=False,
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
    headers = httpx2.Headers({"Accept": "application/json", "User-Agent": "agentloop"})
    if endpoint.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    headers.update(endpoint.headers)
    headers["Content-Type"] = "application/json"
    headers.setdefault("Host", url.netloc.decode())
    if url.userinfo:
        credentials = base64.b64encode(f"{url.username}:{url.password}".encode())
        headers["Authorization"] = f"Basic {credentials.decode()}"
    return headers


@lru_cache(maxsize=4)
def _certificates(file: str | None, folder: str | None) -> ssl.SSLContext:  # noqa: ARG001 - httpx2 reads them from the environment
    """Return what httpx2 trusts in this environment; loading it takes 35 ms, for each event loop and each proxy."""
    return httpx2.create_ssl_context()


def _refusal(response: httpx2.Response) -> EndpointError:
    if response.has_redirect_location:
        return ReplyError(
            f"the endpoint redirects to {response.headers['location']}",
            hint="give the Endpoint the base_url to which it redirects",
            status=response.status_code,
        )
    return read_error(response.status_code, response.headers, response.content)
