"""ApiBase: where an API is, and whether a URL lies under it."""

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
class ApiBase:
    """Where an API is.

    Attributes:
        text: Its URL, without a slash at the end.
    """

    text: str

    @cached_property
    def url(self) -> httpx2.URL:
        """Its URL, read."""
        import httpx2  # noqa: PLC0415 - 0.15 s, with the fetcher, that the first request pays

        return httpx2.URL(self.text)

    @property
    def host(self) -> str:
        """Its host."""
        return urlsplit(self.text).hostname or ""

    @cached_property
    def origin(self) -> tuple[str, str, int]:
        """With whom one speaks there."""
        return _origin(self.url)

    def locate(self, path: str, query: Iterable[Pair] = (), own: Mapping[str, str] = _NONE) -> str:
        """Return the URL of a path under the base.

        Args:
            path: As a model gives it, perhaps with a query of its own.
            query: What else to ask, by name.
            own: What is asked each time; the model can't say otherwise.

        Raises:
            ToolError: it would lead elsewhere, or nowhere; the text is for the model.
        """
        path = path.removeprefix(self.text)
        path, _, asked = path.partition("?")
        pairs = [pair for pair in (*parse_qsl(asked, keep_blank_values=True), *query) if pair[0] not in own]
        if len(path) > _PATH_CHARACTERS or path.startswith("//") or "://" in path or leaves(path):
            raise ToolError(f"the path has to lead to something under {self.text}, such as /items/7")
        if _HALF_ESCAPE.search(path):
            raise ToolError("the path has a % without two hexadecimal digits: write it as %25")
        try:
            quoted = quote(path.lstrip("/"), safe="/%:@!$&'()*+,;=~")
            ending = urlencode([*pairs, *own.items()])
        except UnicodeEncodeError:
            raise ToolError("the path or the query holds half a character") from None
        return self.text + (f"/{quoted}" if quoted else "") + (f"?{ending}" if ending else "")

    def vet(self, url: httpx2.URL) -> None:
        """Let a URL under the base pass.

        Raises:
            FetchError: it is none.
        """
        own, path = self.url.path.rstrip("/"), url.raw_path.partition(b"?")[0].decode("ascii")
        own_raw = self.url.raw_path.decode("ascii").rstrip("/")
        inside = path == own_raw or path.startswith(f"{own_raw}/")
        if _origin(url) != self.origin or not inside or leaves(path.removeprefix(own)):
            raise FetchError(f"{url.scheme}://{url.host} is asked for something that is not under {self.text}")


def leaves(path: str) -> bool:
    """Tell whether a path climbs, or may do so for some server, after whatever unpacking that server does."""
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
