"""The configuration of an MCP server: how it is reached, what it may see, and how far it is trusted."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from agentloop.packs.config import PackConfig


def _split(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


# Of headers, parameters of the address and environment variables; the values of others may be ordinary words.
_SECRET_NAME = re.compile(r"auth|cookie|key|token|secret|passw", re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)

Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class McpConfig(PackConfig):
    """How a server is reached, by `command` or by `url`, and how its answers are treated."""

    name: str = Field("mcp", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="the prefix of its tools' names")
    command: Words = Field((), description="the program and its arguments, for a server on standard input and output")
    cwd: str = Field("", description="the folder in which the program is started; by default the working directory")
    env: Words = Field((), description="names of further environment variables that the program may see")
    variables: Mapping[str, SecretStr] = Field({}, description="environment variables to set for the program")
    url: str = Field("", repr=False, description="the address of a server that uses streamable HTTP")
    headers: Mapping[str, SecretStr] = Field({}, description="headers that are sent to the address")
    token_env: str = Field("", description="the environment variable with the bearer token for the address")
    timeout: float = Field(60, gt=0, description="seconds that a call may take")
    start_timeout: float = Field(30, gt=0, description="seconds that the server has to start and to list its tools")
    max_output: int = Field(20_000, ge=200, description="characters of a result that the model is given")
    max_description: int = Field(2_000, ge=80, description="characters of each description that the model is given")
    max_message: int = Field(8_000_000, ge=10_000, description="bytes of one message; a longer one ends the connection")
    trust_annotations: bool = Field(
        default=False, description="trust what the server says about its tools; otherwise every call asks for approval"
    )
    pin: str = Field("", description="the fingerprint that all its tools must have; by default that of the first use")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("give either command, the words of a program, or url, an http or https address")
        if self.url and (urlsplit(self.url).scheme not in {"http", "https"} or not self.host):
            raise ValueError("url is not an http or https address")
        return self

    @property
    def host(self) -> str:
        """The host of the address, or "" for a program."""
        return urlsplit(self.url).hostname or ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that the server is given."""
        return tuple(_SCHEME.sub("", value.strip(), count=1) for value in self._list_secrets())

    def _list_secrets(self) -> Iterator[str]:
        url = urlsplit(self.url)
        yield unquote(url.password or url.username or "")
        yield os.environ.get(self.token_env, "")
        set_here = {**self.variables, **self.headers}
        named = [(name, value.get_secret_value()) for name, value in set_here.items()]
        named += [*parse_qsl(url.query), *((name, os.environ.get(name, "")) for name in self.env)]
        yield from (value for name, value in named if _SECRET_NAME.search(name))

    @property
    def identity(self) -> str:
        """The key of a server's pins: its name, and a digest of its command or address."""
        reached = "\0".join(self.command) or self.url
        return f"{self.name} {sha256(reached.encode(errors='surrogateescape')).hexdigest()[:16]}"
