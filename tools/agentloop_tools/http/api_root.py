"""ApiRoot: the base URL of an API. Makes URLs under it, and checks that a URL is under it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from agentloop import FetchError, ToolError
from agentloop_tools.network.url_forms import read_path, tidy, unquote_plainly

if TYPE_CHECKING:
    import httpx2

Pair = tuple[str, str]

_NONE: Mapping[str, str] = MappingProxyType({})
_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_HALF_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_CHARACTERS = 4_000
_MOST_LAYERS = 5


@dataclass(frozen=True)
class ApiRoot:
    """The base URL of an API.

    Attributes:
        text: The URL, without a slash at the end.
    """

    text: str

    @cached_property
    def url(self) -> httpx2.URL:
        """The parsed URL."""
        import httpx2  # noqa: PLC0415 - with the fetcher it takes 0.15 s, so only the first request imports it

        return httpx2.URL(self.text)

    @property
    def host(self) -> str:
        """The host."""
        return urlsplit(self.text).hostname or ""

    @cached_property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, the host and the port."""
        return _origin(self.url)

    def locate(self, path: str, query: Iterable[Pair] = (), own: Mapping[str, str] = _NONE) -> str:
        """Return the URL of a path under the base.

        Args:
            path: The path, as the model wrote it. It may have a query.
            query: More query parameters.
            own: The configured query parameters, which the model can't change.

        Raises:
            ToolError: the URL would not be under the base, or is invalid. The text is for the model.
        """
        path = path.removeprefix(self.text)
        path, _, path_query = path.partition("?")
        pairs = [pair for pair in (*parse_qsl(path_query, keep_blank_values=True), *query) if pair[0] not in own]
        if len(path) > _PATH_CHARACTERS or path.startswith("//") or "://" in path or leaves(path):
            raise ToolError(f"the path must be under {self.text}, such as /items/7")
        if _HALF_ESCAPE.search(path):
            raise ToolError("the path has a % without two hexadecimal digits: write it as %25")
        try:
            quoted = quote(path.lstrip("/"), safe="/%:@!$&'()*+,;=~")
            ending = urlencode([*pairs, *own.items()])
        except UnicodeEncodeError:
            raise ToolError("the path or the query holds a lone surrogate character") from None
        return self.text + (f"/{quoted}" if quoted else "") + (f"?{ending}" if ending else "")

    def read_path(self, path: str) -> list[str]:
        """Return the forms of the path that a request with this path asks for, relative to the base.

        Raises:
            ToolError: as `locate`.
        """
        return read_path(self.locate(path).removeprefix(self.text).partition("?")[0])

    def read_pattern(self, pattern: str) -> str:
        """Return the pattern of a rule about paths in the same form."""
        below = pattern.removeprefix(self.text)
        return below if below[:1] in set("*?[") else tidy(unquote_plainly(below))

    def vet(self, url: httpx2.URL) -> None:
        """Check that a URL is under the base.

        Raises:
            FetchError: it is not.
        """
        own, path = self.url.path.rstrip("/"), url.raw_path.partition(b"?")[0].decode("ascii")
        own_raw = self.url.raw_path.decode("ascii").rstrip("/")
        inside = path == own_raw or path.startswith(f"{own_raw}/")
        if _origin(url) != self.origin or not inside or leaves(path.removeprefix(own)):
            raise FetchError(f"the request to {url.scheme}://{url.host} is not under {self.text}")


def leaves(path: str) -> bool:
    """Return whether a path goes up, or might do so on some server, however often the server unquotes it."""
    for _ in range(_MOST_LAYERS):
        segments = re.split(r"[/\\]", unicodedata.normalize("NFKC", path))
        if _UNSAFE.search(path) or any(segment.partition(";")[0].strip() in {".", ".."} for segment in segments):
            return True
        try:
            unpacked = unquote(path, errors="strict")
        except UnicodeDecodeError:
            return True
        if unpacked == path:
            return False
        path = unpacked
    return True


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
