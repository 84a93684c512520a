"""What may be published as a pack, and the pack that it becomes: a ToolPack or its class, a registry, a function."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import ModuleType
from typing import Any, TypeGuard, TypeVar, cast

from agentloop.errors import AgentloopError, ConfigurationError, PackError
from agentloop.packs.pack import API, ToolPack
from agentloop.packs.spec import PREFIX
from agentloop.tools import Tool, ToolRegistry

T = TypeVar("T")
Published = type[ToolPack[Any]] | ToolPack[Any] | ToolRegistry


def read_published(thing: object, origin: str) -> Published:
    """Return what was published, of a function what it returns.

    Args:
        thing: What stands in the module.
        origin: Where it was found, for what is said about it.

    Raises:
        PackError: it is no pack, or one for a later agentloop.
    """
    if _is_function(thing):
        thing = attempt(thing, f"{origin} can't be made")
    if isinstance(thing, ToolRegistry):
        return thing
    published = _as_pack(thing)
    if published is None:
        what = "a tool" if isinstance(thing, Tool) else f"a {type(thing).__name__}"
        raise PackError(
            f"{origin} is no pack but {what}",
            hint="publish a ToolPack, a ToolRegistry, or a function without parameters that returns one",
        )
    api = cast("object", published.api)
    if not isinstance(api, int) or api > API:
        raise PackError(
            f"{origin} was written for version {api!r} of what packs rely on; this agentloop has version {API}",
            hint="upgrade agentloop, or install an earlier version of the pack",
        )
    return published


def make_pack(published: Published, name: str, options: Mapping[str, object], origin: str) -> ToolPack[Any]:
    """Return the pack, configured.

    Args:
        published: What `read_published` returned.
        name: What it is called where it has no name of its own.
        options: Its configuration by field name.
        origin: Where it was found.

    Raises:
        ConfigurationError: the options don't fit.
        PackError: it can't be made, or its name is none.
    """
    if isinstance(published, type):
        pack = attempt(lambda: published.from_options(options), f"{origin} can't be made")
    elif options:
        raise ConfigurationError(
            f"{origin} takes no configuration: it is published as it is", hint="leave out what follows its name"
        )
    else:
        pack = published if isinstance(published, ToolPack) else ToolPack.from_registry(name, published)
    if not hasattr(pack, "config"):
        raise PackError(f"{origin} has no configuration", hint="call super().__init__(config) in its __init__")
    if not isinstance(cast("object", pack.name), str) or (pack.name and not PREFIX.fullmatch(pack.name)):
        raise PackError(
            f"{origin} has {pack.name!r} for its name", hint="give it letters, digits, `_` or `-`, 40 at the most"
        )
    return pack if pack.name else pack.prefixed(name)


def find_published(module: ModuleType, thing: str, origin: str) -> object:
    """Return what a module publishes: what is called so, or else the only pack or registry in it.

    Raises:
        ConfigurationError: there is none, or several.
    """
    if thing:
        return attempt(lambda: _follow(module, thing), f"{origin} can't be found")
    defined = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    kinds: tuple[Callable[[object], bool], ...] = (
        lambda value: isinstance(value, ToolPack),
        lambda value: _is_pack_class(value) and value.__module__ == module.__name__,
        lambda value: isinstance(value, ToolRegistry),
    )
    for belongs in kinds:
        found = [name for name, value in defined.items() if belongs(value)]
        if len(found) > 1:
            raise ConfigurationError(f"{origin} has several packs: {', '.join(found)}", hint="name one: ...:NAME")
        if found:
            return defined[found[0]]
    raise ConfigurationError(
        f"{origin} defines no pack", hint="define a subclass of ToolPack in it, or a ToolRegistry with tools"
    )


def attempt(work: Callable[[], T], failure: str) -> T:
    """Return what the work returns.

    Raises:
        PackError: it raised something; whatever that was, it is the pack's and not the program's.
    """
    try:
        return work()
    except ConfigurationError:
        raise
    except AgentloopError as error:
        raise PackError(f"{failure}: {error.message}", hint=error.hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's code may raise: SystemExit, what is a panic in Rust
        raise PackError(f"{failure}: {_describe(error)}", hint=_advise(error)) from error


def _describe(error: BaseException) -> str:
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = last.filename == __file__ or "importlib" in last.filename
    # A SyntaxError says where it is itself, and what was not found is nowhere.
    return (
        words
        if ours or isinstance(error, SyntaxError)
        else f"{words} ({PurePath(last.filename).name}, line {last.lineno})"
    )


def _advise(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
        return f"install {error.name!r}, perhaps with one of the extras of the pack's distribution"
    return "mend it or do without it; other packs are not concerned"


def _follow(module: ModuleType, path: str) -> object:
    found: object = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _as_pack(thing: object) -> type[ToolPack[Any]] | ToolPack[Any] | None:
    if _is_pack_class(thing):
        return thing
    return thing if _is_pack(thing) else None


def _is_function(thing: object) -> TypeGuard[Callable[[], object]]:
    return callable(thing) and not isinstance(thing, Tool | ToolRegistry | ToolPack) and not _is_pack_class(thing)


def _is_pack(thing: object) -> TypeGuard[ToolPack[Any]]:
    return isinstance(thing, ToolPack)


def _is_pack_class(thing: object) -> TypeGuard[type[ToolPack[Any]]]:
    return isinstance(thing, type) and issubclass(thing, ToolPack)
