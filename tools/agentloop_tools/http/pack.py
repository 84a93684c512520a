"""Http: the pack, and its tools in one run."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

from agentloop import ArgumentReading, Effects, FetchError, Tool, ToolError, ToolPack, bound_tools, tool
from agentloop_tools.http.api_root import ApiRoot
from agentloop_tools.http.config import HttpConfig
from agentloop_tools.http.pick import pick as pick_part
from agentloop_tools.http.quiet import quiet
from agentloop_tools.http.retry import Retry, Sleep
from agentloop_tools.http.secrets import Secrets
from agentloop_tools.network.charset import decode

if TYPE_CHECKING:
    from agentloop import Fetched, Fetcher

Resolve = Callable[[str, int], Awaitable[Sequence[Any]]]
Query = dict[str, str | int | float | bool]

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_REPEATED = 50
_BODY_BYTES = 1_000_000
_MARGIN_SECONDS = 5.0
_TEXT = ("text/", "json", "xml", "yaml", "javascript", "x-www-form-urlencoded", "csv")


class Http(ToolPack[HttpConfig]):
    """Sends requests to one API.

    Args:
        config: The API, and the names of its secrets.
        environment: The variables in which secrets are looked up when a request is sent.
        resolve: Returns the addresses of a host, in place of the system's resolver.
        sleep: Waits before a request is sent again.
    """

    name = "http"
    version = "1.0"
    imports = ("httpcore2", "httpx2", "tenacity")

    def __init__(
        self,
        config: HttpConfig | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        resolve: Resolve | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(config)
        self._environment = environment
        self._resolve = resolve
        self._sleep = sleep

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        """Yield `get`, `send` or both, depending on the allowed methods. The secrets must be set by then."""
        config = self.config
        api = OpenApi(config, self._environment, self._resolve, self._sleep)
        api.read_secrets()
        common = Effects(network=True, open_world=not config.trusted, hosts=(ApiRoot(config.base_url).host,))
        about = f"\n\nThe API is at {config.base_url}. Methods: {', '.join(config.methods)}. {config.about}".rstrip()
        tools = {each.name: each for each in bound_tools(api)}
        opened = {
            "get": replace(tools["get"], effects=common, readings=api.readings),
            "send": replace(
                tools["send"],
                effects=replace(common, write=True, destructive=True),
                preview=api.preview,
                readings=api.readings,
            ),
        }
        offered = {"get" if method in _READING else "send": None for method in config.methods}
        yield [
            replace(
                opened[name], description=opened[name].description + about, timeout=config.seconds + _MARGIN_SECONDS
            )
            for name in sorted(offered)
        ]


class OpenApi:
    """The tools of one run.

    Args:
        config: The API.
        environment: The variables with its secrets.
        resolve: Returns the addresses of its host, or None for the system's resolver.
        sleep: Waits before a request is sent again.

    Attributes:
        readings: How the tools read paths and queries, for rules.
    """

    def __init__(
        self, config: HttpConfig, environment: Mapping[str, str], resolve: Resolve | None, sleep: Sleep
    ) -> None:
        self._config = config
        self._environment = environment
        self._resolve = resolve
        self._root = ApiRoot(config.base_url)
        self._retry = Retry(config.retries, config.seconds, sleep)
        self.readings = {
            "path": ArgumentReading(
                lambda given: self._root.read_path(given["path"]), self._root.read_pattern, is_address=True
            ),
            "query": ArgumentReading(lambda given: _read_query(given["path"], given["query"])),
        }

    def read_secrets(self) -> Secrets:
        """Return the current secrets.

        Raises:
            ConfigurationError: a secret is missing.
        """
        return Secrets([*self._config.headers.values(), *self._config.query.values()], self._environment)

    @tool(strict=False)
    async def get(
        self,
        path: str,
        query: Query | None = None,
        pick: str = "",
        method: Literal["GET", "HEAD", "OPTIONS"] = "GET",
    ) -> str:
        """Ask the API for something and return its answer. Keys are added automatically; give none.

        Args:
            path: Under the API's address, such as /items/7.
            query: Parameters of the URL by name.
            pick: The part of a JSON answer to return, such as items.0.name or items.*.id; "" for all of it.
            method: GET, unless something else is meant.
        """
        return await self._ask(method, path, query, None, pick)

    @tool(strict=False, parallel=False)
    async def send(
        self,
        method: Literal["POST", "PUT", "PATCH", "DELETE"],
        path: str,
        body: dict[str, Any] | list[Any] | None = None,
        query: Query | None = None,
        pick: str = "",
    ) -> str:
        """Have the API change something and return its answer. Keys are added automatically; give none.

        Args:
            method: What to do with the resource at the path.
            path: Under the API's address, such as /items/7.
            body: What to send, as JSON; nothing without it.
            query: Parameters of the URL by name.
            pick: The part of a JSON answer to return, such as items.0.name or items.*.id; "" for all of it.
        """
        return await self._ask(method, path, query, body, pick)

    def preview(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Query | None = None,
        pick: str = "",  # noqa: ARG002 - a preview has the same parameters as its tool
    ) -> str:
        """Return the request that a call of `send` would make, without secrets."""
        url = self._root.locate(path, _pairs(query))
        return f"{method} {url}" + ("" if body is None else f"\n{json.dumps(body, ensure_ascii=False, indent=1)}")

    async def _ask(self, method: str, path: str, query: Query | None, body: Any, pick: str) -> str:
        if method not in self._config.methods:
            raise ToolError(f"{method} is not allowed here; allowed are {', '.join(self._config.methods)}")
        content = b"" if body is None else json.dumps(body).encode()
        if len(content) > _BODY_BYTES:
            raise ToolError(f"the body is larger than {_BODY_BYTES:,} bytes")
        secrets = self.read_secrets()
        own = {name: secrets.fill(value) for name, value in self._config.query.items()}
        url = self._root.locate(path, _pairs(query), own)
        headers = {name: secrets.fill(value) for name, value in self._config.headers.items()}
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}

        async def attempt() -> Fetched:
            return await self._fetcher.send(method, url, headers=headers, content=content)

        try:
            with quiet():
                async with asyncio.timeout(self._config.seconds):
                    answer = await self._retry.call(method, attempt)
        except TimeoutError:
            raise ToolError(f"the API did not answer within {self._config.seconds:g} s") from None
        except FetchError as error:
            raise ToolError(secrets.redact(error.message)) from None  # the cause may hold a header with a secret
        try:
            text = secrets.redact(_write(method, answer, pick))
        except ToolError as error:  # its text quotes the answer
            raise ToolError(secrets.redact(error.message)) from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ToolError(text)
        return text

    @cached_property
    def _fetcher(self) -> Fetcher:
        from agentloop import Fetcher  # noqa: PLC0415 - it takes 0.15 s, so only the first request imports it

        _, host, port = self._root.origin
        fetcher = Fetcher(
            max_bytes=self._config.max_bytes,
            seconds=self._config.seconds,
            accept="application/json, text/*;q=0.9, */*;q=0.5",
            private=frozenset({(host, port)}),
            vet=self._root.vet,
        )
        return fetcher if self._resolve is None else replace(fetcher, resolve=self._resolve)


def _pairs(query: Query | None) -> list[tuple[str, str]]:
    """Return query parameters as text; booleans are written as in JSON."""
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in (query or {}).items()
    ]


def _read_query(path: str, query: Query | None) -> set[str]:
    """Return the query of a request as JSON. A path may have one too, and servers differ in which value counts.

    Raises:
        ToolError: there are too many values for one name to tell.
    """
    more = parse_qsl(path.partition("?")[2], keep_blank_values=True)
    given = query or {}
    last = {**given, **dict(more)}
    others = [(name, value) for name, value in more if last[name] != value]
    if len(others) > _MOST_REPEATED:
        raise ToolError("the query has too many values for one name")
    readings = ({**dict(more), **given}, last, *({**last, name: value} for name, value in others))
    return {
        json.dumps(reading if more else query, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for reading in readings
    }


def _write(method: str, answer: Fetched, pick: str) -> str:
    """Return an answer as text: its status and content type, then its body or the picked part of it."""
    kind = answer.content_type.partition(";")[0].strip().lower()
    head = f"{answer.status} {kind}".rstrip()
    if location := answer.headers.get("location"):
        head += f"\nlocation: {location}"
    if method == "HEAD":
        return "\n".join([head, *(f"{name}: {value}" for name, value in answer.headers.items())])
    if kind and not any(part in kind for part in _TEXT):
        return f"{head}\n[{len(answer.content):,} bytes, which are not text]"
    text = decode(answer.content, answer.content_type)
    if pick and text and answer.status < HTTPStatus.BAD_REQUEST:
        try:
            part = pick_part(json.loads(text), pick)
        except (ValueError, RecursionError):
            raise ToolError("the answer is not JSON: nothing can be picked from it") from None
        text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
    return f"{head}\n{text}".rstrip()
