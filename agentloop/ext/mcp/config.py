"""What an MCP server is, as its user declares it: how it is reached, what it may see, how far it is believed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from agentloop.packs.config import PackConfig


def _split(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class McpConfig(PackConfig):
    """How a server is reached, by `command` or by `url`, and what is made of what it says."""

    name: str = Field("mcp", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="what its tools are named after")
    command: Words = Field((), description="the program and its arguments, for a server on standard input and output")
    cwd: str = Field("", description="the folder that the program is started in; by default this one")
    env: Words = Field((), description="names of variables of this process that the program may see as well")
    variables: Mapping[str, SecretStr] = Field({}, description="further variables for the program, with their values")
    url: str = Field("", description="the address of a server that speaks streamable HTTP")
    headers: Mapping[str, SecretStr] = Field({}, description="headers that are sent to the address")
    token_env: str = Field("", description="the variable of this process with the bearer token for the address")
    timeout: float = Field(60, gt=0, description="seconds that a call may take")
    start_timeout: float = Field(30, gt=0, description="seconds that the server has to start and to list its tools")
    max_output: int = Field(20_000, ge=200, description="characters of a result that the model is given")
    max_description: int = Field(2_000, ge=80, description="characters of each description that the model is given")
    max_message: int = Field(8_000_000, ge=10_000, description="bytes of one message; a longer one ends the connection")
    trust_annotations: bool = Field(
        default=False, description="take the server's word for what its tools do; otherwise every call asks"
    )
    pin: str = Field("", description="the fingerprint that its tools must have, all together; by default that of old")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("give either command, the words of a program, or url, an http or https address")
        if self.url and (urlsplit(self.url).scheme not in {"http", "https"} or not self.host):
            raise ValueError("url is no http or https address")
        return self

    @property
    def host(self) -> str:
        """The host of the address, or "" for a program."""
        return urlsplit(self.url).hostname or ""

    @property
    def identity(self) -> str:
        """What is remembered of a server is kept by this: its name, and a digest of how it is reached."""
        reached = "\0".join(self.command) or self.url
        return f"{self.name} {sha256(reached.encode(errors='surrogateescape')).hexdigest()[:16]}"
