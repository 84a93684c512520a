"""HttpConfig: the API, the allowed methods, and the names of the secrets. The secrets are in environment variables."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from agentloop import PackConfig

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NAMES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAME = re.compile(r"authorization|cookie|key|token|secret|password", re.IGNORECASE)
_PORT = re.compile(r":\d*\Z")
_PORTS = {"http": 80, "https": 443}
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})

Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def _split(value: Any) -> Any:
    """Split a text into words, because a command line has no lists."""
    return tuple(re.findall(r"\w+", value.upper())) if isinstance(value, str) else value


def _read_lines(value: Any) -> Any:
    """Return `Name: value; Name: value` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [line.partition(":") for line in re.split(r"[;\n]", value) if line.strip()]
    return {name.strip(): text.strip() for name, _, text in pairs}


def _check_base(url: str) -> str:
    parts = urlsplit(url)
    if " " in url or not url.isprintable() or parts.port == 0:  # urlsplit raises if the port is not a number
        raise ValueError("it has a character or a port that a URL can't have")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is not an http or https URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("it may not have a user name or a query: secrets go into headers, as {NAME}")
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    # In the form in which a redirect or a model names it.
    return parts._replace(netloc=_PORT.sub("", parts.netloc).lower() + port).geturl().rstrip("/")


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ValueError(f"{name!r} is not a valid header: it must be one line of ASCII")
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by the pack itself")
    return _check_literals(headers)


def _check_literals(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if _SECRET_NAME.search(name) and not names_in(value):
            raise ValueError(f"{name} looks like a secret: write it as {{NAME}}, the name of an environment variable")
    return values


def names_in(template: str) -> list[str]:
    """Return the names of the environment variables in a template."""
    return NAMES.findall(template)


class HttpConfig(PackConfig):
    """The configuration of the http pack."""

    base_url: Annotated[str, AfterValidator(_check_base)] = Field(
        description="the base URL of the API, under which all requests stay; it may be on a private network"
    )
    methods: Annotated[tuple[Method, ...], BeforeValidator(_split)] = Field(
        ("GET", "HEAD"), min_length=1, description="the allowed methods"
    )
    headers: Annotated[dict[str, str], BeforeValidator(_read_lines), AfterValidator(_check_headers)] = Field(
        default_factory=dict[str, str],
        description="headers of each request; {NAME} is an environment variable: `Authorization: Bearer {MY_TOKEN}`",
    )
    query: Annotated[dict[str, str], BeforeValidator(_read_lines), AfterValidator(_check_literals)] = Field(
        default_factory=dict[str, str], description="query parameters of each request, written in the same way"
    )
    about: str = Field("", description="what the API does and which paths it has, as a text for the model")
    trusted: bool = Field(default=False, description="whether the API's answers hold no untrusted text")
    max_bytes: int = Field(
        1_000_000, ge=100, le=5_000_000, description="the size of the largest answer, compressed or not"
    )
    seconds: float = Field(30.0, gt=0, le=300, description="how long a call may take, retries included")
    retries: int = Field(2, ge=0, le=10, description="how often an idempotent request is retried")
