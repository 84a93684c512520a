"""Reads published objects (a ToolPack or its class, a registry, a function) and makes packs from them."""

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
    """Return a published object if it is a pack; if it is a function, call it and return its result.

    Args:
        thing: The object in the module.
        origin: Where it was found, for error messages.

    Raises:
        PackError: it is not a pack, or it is a pack for a later version of agentloop.
    """
    if _is_function(thing):
        thing = attempt(thing, f"{origin} can't be made")
    if isinstance(thing, ToolRegistry):
        return thing
    published = _as_pack(thing)
    if published is None:
        what = "a tool" if isinstance(thing, Tool) else f"a {type(thing).__name__}"
        raise PackError(
            f"{origin} is not a pack but {what}",
            hint="publish a ToolPack, a ToolRegistry, or a function without parameters that returns one",
        )
    api = cast("object", published.api)
    if not isinstance(api, int) or api > API:
        raise PackError(
            f"{origin} was written for version {api!r} of the pack interface; this agentloop has version {API}",
            hint="upgrade agentloop, or install an earlier version of the pack",
        )
    return published


def make_pack(published: Published, name: str, options: Mapping[str, object], origin: str) -> ToolPack[Any]:
    """Return the configured pack.

    Args:
        published: The object that `read_published` returned.
        name: The name for a pack that has none.
        options: The configuration by field name.
        origin: Where the object was found.

    Raises:
        ConfigurationError: the options are not valid.
        PackError: the pack can't be made, or its name is not valid.
    """
    if isinstance(published, type):
        pack = attempt(lambda: published.from_options(options), f"{origin} can't be made")
    elif options:
        raise ConfigurationError(
            f"{origin} takes no configuration: it is a finished pack", hint="leave out the text after its name"
        )
    else:
        pack = published if isinstance(published, ToolPack) else ToolPack.from_registry(name, published)
    if not hasattr(pack, "config"):
        raise PackError(f"{origin} has no configuration", hint="call super().__init__(config) in its __init__")
    if not isinstance(cast("object", pack.name), str) or (pack.name and not PREFIX.fullmatch(pack.name)):
        raise PackError(
            f"{origin} has the name {pack.name!r}", hint="use a letter, then letters, digits, `_` or `-`, at most 40"
        )
    return pack if pack.name else pack.prefixed(name)


def find_published(module: ModuleType, thing: str, origin: str) -> object:
    """Return the object of a module with the given name, or without a name the module's only pack or registry.

    Raises:
        ConfigurationError: the module has no pack, or several.
        PackError: the module has no object of that name.
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
    """Return the result of a function that runs a pack's code.

    Raises:
        ConfigurationError: the function raised it.
        PackError: the function raised any other exception except KeyboardInterrupt.
    """
    try:
        return work()
    except ConfigurationError:
        raise
    except AgentloopError as error:
        raise PackError(f"{failure}: {error.message}", hint=error.hint) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # other people's code may raise anything, such as SystemExit or a panic from Rust
        raise PackError(f"{failure}: {_describe(error)}", hint=_advise(error)) from error


def _describe(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_ours = last.filename == __file__ or "importlib" in last.filename
    # A SyntaxError names its own line. If our code or importlib raised the error, no line of the pack is to blame.
    return (
        text
        if is_ours or isinstance(error, SyntaxError)
        else f"{text} ({PurePath(last.filename).name}, line {last.lineno})"
    )


def _advise(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
        return f"install {error.name!r}, perhaps with one of the extras of the pack's distribution"
    return "fix the pack or leave it out; other packs are not affected"


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
