"""Defines ToolPack, tools with a configuration and a lifetime, and its views, which are packs made from packs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, cast, get_args, get_origin

from typing_extensions import TypeVar

from agentloop.errors import ConfigurationError
from agentloop.options import Kind, find_fault, number, whole_number
from agentloop.policy import Policy
from agentloop.tools import Quota, Tool, ToolRegistry, near_names
from agentloop.tools.definition import LEAST_OUTPUT

if TYPE_CHECKING:
    from agentloop.packs.config import PackConfig

ConfigT = TypeVar("ConfigT", bound="PackConfig", default="PackConfig")
Change = Callable[[Sequence[Tool]], list[Tool]]

API = 1


class ToolPack(Generic[ConfigT]):
    """Tools that belong together: methods marked with `@tool`, a configuration, and a lifetime of one run.

    ```python
    class Greetings(ToolPack[GreetingsConfig]):
        name = "greetings"
        version = "1.0"

        @tool(effects=Effects())
        def greet(self, who: str) -> str: ...
    ```

    Args:
        config: The configuration of the pack; by default, every field has its default value.

    Attributes:
        name: The name of the pack; its tools are `name_tool` for the model and `name.tool` for policies.
        version: The version of the pack.
        api: The version of the interface between agentloop and packs that the pack was written for.
        Config: The type of `config`, taken from `ToolPack[...]`.
        prefix: The prefix of the tools' names in place of `name`, or "".
        imports: The modules that the tools import when they are first used, such as `("numpy",)`. `agentloop packs
            --check` imports them too, and reports those that are missing or broken.
        extra: The extra of the pack's distribution that installs these modules, or "". The report says how to install
            it.

    Raises:
        ConfigurationError: a required field has no value.
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
        """Return the pack, configured with values by field name; a value may be text in place of another type.

        Raises:
            ConfigurationError: a value is not valid; the error lists the fields.
        """
        return cls(cls._read_config(options))

    @classmethod
    def _read_config(cls, options: Mapping[str, object]) -> ConfigT:
        from agentloop.packs.config import PackConfig, read_config  # noqa: PLC0415 - 0.2 s of pydantic

        kind = cast("type[PackConfig]", getattr(cls, "Config", PackConfig))
        return cast("ConfigT", read_config(kind, cls.name, options))

    def tools(self) -> list[Tool]:
        """Return the tools that the pack's classes define, in the order of their definition."""
        return bound_tools(self)

    def open(self) -> AbstractAsyncContextManager[Iterable[Tool]]:
        """Return a context manager that is entered once per run and yields the run's tools; by default `tools()`.

        Several runs of one agent may be active at the same time, so keep the state of a run in the yielded tools, not
        on the pack.
        """
        return _open_without_setup(self.tools)

    @classmethod
    def from_registry(cls, name: str, registry: ToolRegistry, *, version: str = "0") -> ToolPack:
        """Return the tools of a registry as a pack."""
        return _RegistryPack(name, registry, version)

    # --- views ---

    def only(self, *names: str) -> ToolPack:
        """Return this pack with only these tools; write `read`, not `files_read`."""
        return self._view(lambda tools: [tool for tool in _check_names(self, tools, names) if tool.name in names])

    def without(self, *names: str) -> ToolPack:
        """Return this pack without these tools."""
        return self._view(lambda tools: [tool for tool in _check_names(self, tools, names) if tool.name not in names])

    def prefixed(self, prefix: str) -> ToolPack:
        """Return this pack with `prefix` in place of its name in the names of its tools."""
        return self._view(list, prefix=prefix)

    def renamed(self, names: Mapping[str, str]) -> ToolPack:
        """Return this pack with other names for some tools: `{"read": "cat"}`."""
        return self._view(
            lambda tools: [replace(t, name=names.get(t.name, t.name)) for t in _check_names(self, tools, names)]
        )

    def limited(
        self, *, calls: int | None = None, timeout: float | None = None, max_output: int | None = None
    ) -> ToolPack:
        """Return this pack with additional limits; the limits that its tools already have stay in force.

        Args:
            calls: How many calls all of its tools may have together in a run.
            timeout: Seconds that a call may take.
            max_output: How many characters of a result the model gets at most.

        Raises:
            ConfigurationError: a limit is too small.
        """
        _check_limits(calls, timeout, max_output)
        # The number makes each quota unique, so that packs and views with the same name do not share a quota.
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
        """Return this pack with additional rules; the strictest of all rules applies.

        Args:
            policy: The rules and hosts; its other fields have no effect. The rules use the present names of the tools
                and stay valid if the tools get other names later. A run raises a ConfigurationError if a rule names no
                tool of the pack.
        """

        def add_policy(tools: Sequence[Tool]) -> list[Tool]:
            named = [
                replace(
                    tool,
                    policy=tool.policy.join(policy) if tool.policy else policy,
                    former_names=(*tool.former_names, tool.name, *(f"{prefix}{mark}{tool.name}" for mark in "._")),
                )
                for tool in tools
            ]
            _check_rules(self, named, policy)
            return named

        prefix = self.prefix or self.name
        return self._view(add_policy)

    def _view(self, change: Change, prefix: str = "") -> ToolPack:
        return _View(self, change, prefix)


class _View(ToolPack):
    """A pack with the changed tools of another pack."""

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
    """A pack with the tools of a registry."""

    def __init__(self, name: str, registry: ToolRegistry, version: str) -> None:
        super().__init__()
        self.name, self.version = name, version
        self._registry = registry

    def tools(self) -> list[Tool]:
        return list(self._registry)


_NUMBERS = count()
_LIMITS = {
    "calls": whole_number(0).or_none(),
    "timeout": Kind("a number of seconds above 0", number(above=0).fits).or_none(),
    "max_output": whole_number(LEAST_OUTPUT).or_none(),
}


def _check_limits(calls: int | None, timeout: float | None, max_output: int | None) -> None:
    given = {"calls": calls, "timeout": timeout, "max_output": max_output}
    for name, kind in _LIMITS.items():
        if fault := find_fault(name, given[name], kind):
            raise ConfigurationError(f"limited({fault})", hint=f"give {kind.words}")


def bound_tools(thing: object) -> list[Tool]:
    """Return the `@tool` methods of an object, bound to it, in the order of their definition in its classes."""
    names = {name: None for kind in reversed(type(thing).__mro__) for name in vars(kind)}
    return [getattr(thing, name) for name in names if isinstance(getattr(type(thing), name, None), Tool)]


@asynccontextmanager
async def _open_without_setup(tools: Callable[[], Iterable[Tool]]) -> AsyncGenerator[Iterable[Tool]]:
    yield tools()


def _check_names(pack: ToolPack[Any], tools: Sequence[Tool], names: Iterable[str]) -> Sequence[Tool]:
    """Return the tools, or raise an error if one of the names is not a tool's."""
    known = [tool.name for tool in tools]
    for name in names:
        if name not in known:
            _raise_unknown(pack, name, known, repr(name))
    return tools


def _check_rules(pack: ToolPack[Any], tools: Sequence[Tool], policy: Policy) -> None:
    """Raise an error if a rule names no tool; a pattern may match none."""
    for where, rule in replace(policy, approver=None).all_rules:
        if not rule.is_pattern and not any(rule.names(tool.former_names) for tool in tools):
            name = rule.text.partition("(")[0].strip()
            _raise_unknown(pack, name, [tool.name for tool in tools], f"for {where}: {rule.text!r}")


def _raise_unknown(pack: ToolPack[Any], name: str, known: Sequence[str], what: str) -> NoReturn:
    near = near_names(name, known)
    raise ConfigurationError(
        f"the pack {pack.name!r} has no tool {what}",
        hint=f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known) or 'no tools'}",
    )
