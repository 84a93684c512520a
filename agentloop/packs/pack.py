"""ToolPack: tools that belong together, with a configuration and a life; and views, which are packs made from packs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast, get_args, get_origin

from typing_extensions import TypeVar

from agentloop.errors import ConfigurationError
from agentloop.policy import Policy
from agentloop.tools import Quota, Tool, ToolRegistry, near_names
from agentloop.tools.definition import LEAST_OUTPUT

if TYPE_CHECKING:
    from agentloop.packs.config import PackConfig

ConfigT = TypeVar("ConfigT", bound="PackConfig", default="PackConfig")
Change = Callable[[Sequence[Tool]], list[Tool]]

API = 1


class ToolPack(Generic[ConfigT]):
    """Tools that belong together: methods marked `@tool`, a configuration, and a life of one run.

    ```python
    class Greetings(ToolPack[GreetingsConfig]):
        name = "greetings"
        version = "1.0"

        @tool(effects=Effects())
        def greet(self, who: str) -> str: ...
    ```

    Args:
        config: What the pack is configured with; without it, the defaults of its fields.

    Attributes:
        name: What the pack is called; a model sees its tools as `name_tool`, policies as `name.tool`.
        version: The pack's own version.
        api: The version of this contract that it was written for.
        Config: The type of `config`, taken from `ToolPack[...]`.
        prefix: What tools are named after in place of `name`, or "".
        imports: The modules that its tools import when they are first used, such as `("numpy",)`. Nothing else tells
            `agentloop packs --check` of them, which imports them to find out what is missing or broken.
        extra: The extra of its distribution that brings them, so that the check can say how to install them, or "".

    Raises:
        ConfigurationError: a field that is required has no value.
    """

    name: str = ""
    version: str = "0"
    api: ClassVar[int] = API
    Config: ClassVar[type[Any]]
    prefix: str = ""
    imports: tuple[str, ...] = ()
    extra: str = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in getattr(cls, "__orig_bases__", ()):
            given = get_args(base)
            if get_origin(base) is ToolPack and isinstance(given[0], type) and "Config" not in vars(cls):
                cls.Config = given[0]

    def __init__(self, config: ConfigT | None = None) -> None:
        self.config: ConfigT = self._read_config({}) if config is None else config

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """Return the pack with a configuration from values by field name, text included.

        Raises:
            ConfigurationError: they don't fit; the fields are listed.
        """
        return cls(cls._read_config(options))

    @classmethod
    def _read_config(cls, options: Mapping[str, object]) -> ConfigT:
        from agentloop.packs.config import PackConfig, read_config  # noqa: PLC0415 - 0.2 s of pydantic

        kind = cast("type[PackConfig]", getattr(cls, "Config", PackConfig))
        return cast("ConfigT", read_config(kind, cls.name, options))

    def tools(self) -> list[Tool]:
        """Return the tools of its own class, in the order in which they are written."""
        return bound_tools(self)

    def open(self) -> AbstractAsyncContextManager[Iterable[Tool]]:
        """Return a context that is entered once a run and yields that run's tools; by default `tools()`.

        Runs of one agent go on at the same time: what belongs to one run is kept in what is yielded, not on the pack.
        """
        return _at_once(self.tools)

    @classmethod
    def from_registry(cls, name: str, registry: ToolRegistry, *, version: str = "0") -> ToolPack:
        """Return the tools of a registry as a pack."""
        return _RegistryPack(name, registry, version)

    # --- views ---

    def only(self, *names: str) -> ToolPack:
        """Return this pack with these tools alone; `read`, not `files_read`."""
        return self._view(lambda tools: [tool for tool in _named(self, tools, names) if tool.name in names])

    def without(self, *names: str) -> ToolPack:
        """Return this pack without these tools."""
        return self._view(lambda tools: [tool for tool in _named(self, tools, names) if tool.name not in names])

    def prefixed(self, prefix: str) -> ToolPack:
        """Return this pack with its tools named after `prefix` in place of its name."""
        return self._view(list, prefix=prefix)

    def renamed(self, names: Mapping[str, str]) -> ToolPack:
        """Return this pack with other names for some tools: `{"read": "cat"}`."""
        return self._view(
            lambda tools: [replace(t, name=names.get(t.name, t.name)) for t in _named(self, tools, names)]
        )

    def limited(
        self, *, calls: int | None = None, timeout: float | None = None, max_output: int | None = None
    ) -> ToolPack:
        """Return this pack with tighter limits; those that its tools have already still hold.

        Args:
            calls: How many calls all of its tools together may have in a run.
            timeout: Seconds that a call may take.
            max_output: Characters of a result that the model is given.

        Raises:
            ConfigurationError: a limit leaves no room.
        """
        _check_limits(calls, timeout, max_output)
        # Numbered, so that packs and views of one name do not share what each was given for itself.
        quotas = () if calls is None else (Quota(f"{self.name}#{next(_NUMBERS)}", calls),)

        def limit(tool: Tool) -> Tool:
            return replace(
                tool,
                quotas=(*tool.quotas, *quotas),
                timeout=min((each for each in (tool.timeout, timeout) if each is not None), default=None),
                max_output=min(tool.max_output, max_output or tool.max_output),
            )

        return self._view(lambda tools: [limit(tool) for tool in tools])

    def with_policy(self, policy: Policy) -> ToolPack:
        """Return this pack with rules of its own, besides those that it has; the stricter of all counts.

        Args:
            policy: Rules and hosts; the rest is for the agent's policy to say. The rules stay with the tools that are
                named so now, whatever names these are given later.
        """

        def hold(tools: Sequence[Tool]) -> list[Tool]:
            return [
                replace(
                    tool,
                    policy=tool.policy.join(policy) if tool.policy else policy,
                    former_names=(*tool.former_names, tool.name, *(f"{prefix}{mark}{tool.name}" for mark in "._")),
                )
                for tool in tools
            ]

        prefix = self.prefix or self.name
        return self._view(hold)

    def _view(self, change: Change, prefix: str = "") -> ToolPack:
        return _View(self, change, prefix)


class _View(ToolPack):
    """A pack whose tools are those of another one, changed."""

    def __init__(self, inner: ToolPack[Any], change: Change, prefix: str) -> None:
        self.name, self.version, self.config = inner.name, inner.version, inner.config
        self.imports, self.extra = inner.imports, inner.extra
        self.prefix = prefix or inner.prefix
        self._inner, self._change = inner, change

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Iterable[Tool]]:
        async with self._inner.open() as tools:
            yield self._change(list(tools))


class _RegistryPack(ToolPack):
    """A registry that is published as it is."""

    def __init__(self, name: str, registry: ToolRegistry, version: str) -> None:
        super().__init__()
        self.name, self.version = name, version
        self._registry = registry

    def tools(self) -> list[Tool]:
        return list(self._registry)


_NUMBERS = count()


def _check_limits(calls: int | None, timeout: float | None, max_output: int | None) -> None:
    for name, value, least in (("calls", calls, 0), ("max_output", max_output, LEAST_OUTPUT)):
        if value is not None and value < least:
            raise ConfigurationError(f"limited({name}={value!r}) leaves no room", hint=f"give at least {least}")
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"limited(timeout={timeout!r}) is no time", hint="give seconds above 0")


def bound_tools(thing: object) -> list[Tool]:
    """Return the `@tool` methods of an object, bound to it, in the order in which its classes define them."""
    names = {name: None for kind in reversed(type(thing).__mro__) for name in vars(kind)}
    return [getattr(thing, name) for name in names if isinstance(getattr(type(thing), name, None), Tool)]


@asynccontextmanager
async def _at_once(tools: Callable[[], Iterable[Tool]]) -> AsyncGenerator[Iterable[Tool]]:
    yield tools()


def _named(pack: ToolPack[Any], tools: Sequence[Tool], names: Iterable[str]) -> Sequence[Tool]:
    """Return the tools, if all of the names are theirs."""
    known = [tool.name for tool in tools]
    for name in names:
        if name not in known:
            near = near_names(name, known)
            raise ConfigurationError(
                f"the pack {pack.name!r} has no tool {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}",
            )
    return tools
