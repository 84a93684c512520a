"""Finds packs: those that are installed, by their entry points, and those that are named as a file or a module.

A list of packs imports none of them; a pack is imported when it is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from agentloop.errors import ConfigurationError, PackError, UserError
from agentloop.installation import read_packs
from agentloop.packs.modules import find_file, import_file
from agentloop.packs.pack import ToolPack
from agentloop.packs.published import attempt, find_published, make_pack, read_published
from agentloop.packs.spec import PackSpec, read_spec
from agentloop.tools import near_names


@dataclass(frozen=True, slots=True, order=True)
class InstalledPack:
    """A pack as its distribution's metadata tell of it; it has not been imported.

    Attributes:
        name: What it is called.
        distribution: What it was installed with.
        version: The version of that.
        value: Where it is: `module:thing`.
    """

    name: str
    distribution: str
    version: str
    value: str
    _entry: EntryPoint = field(repr=False, compare=False)

    @property
    def origin(self) -> str:
        """The pack in words: its name and where it is from."""
        return f"the pack {self.name!r} ({self.distribution} {self.version})"

    def load(self) -> object:
        """Import it and return what was published.

        Raises:
            PackError: it can't be imported, whatever that raises.
        """
        return attempt(self._entry.load, f"{self.origin} can't be imported")


def list_packs() -> list[InstalledPack]:
    """Return the installed packs by name; where two distributions have one of the same name, both."""
    found: dict[str, list[InstalledPack]] = {}
    for distribution in distributions():
        packs = _read_packs(distribution)
        if packs:  # of one that is there twice, the first is the one that Python imports
            found.setdefault(packs[0].distribution, packs)
    return sorted(pack for packs in found.values() for pack in packs)


def load_pack(spec: str) -> ToolPack[Any]:
    """Return the pack that a text names, configured as it says; `agentloop.packs.spec` has the grammar.

    Raises:
        ConfigurationError: the text can't be read, there is no such pack, or its configuration does not fit.
        PackError: the pack can't be imported, or is none.
    """
    told = read_spec(spec)
    pack = _LOADERS[told.kind](told)
    return pack.prefixed(told.prefix) if told.prefix else pack


def _load_installed(told: PackSpec) -> ToolPack[Any]:
    installed = list_packs()
    found = [pack for pack in installed if pack.name == told.target]
    if not found:
        raise _unknown(told.target, installed)
    if len(found) > 1:
        raise ConfigurationError(
            f"{len(found)} distributions have a pack {told.target!r}: "
            + " and ".join(f"{pack.distribution} {pack.version}" for pack in found),
            hint="name the one you mean by its module: " + " or ".join(pack.value for pack in found),
        )
    [installed_pack] = found
    origin = installed_pack.origin
    pack = make_pack(read_published(installed_pack.load(), origin), told.target, told.options, origin)
    # A pack may be named by its configuration, as an MCP server is.
    is_its_own = told.target in {pack.name, type(pack).name}
    return pack if is_its_own else pack.prefixed(told.target)


def _load_file(told: PackSpec) -> ToolPack[Any]:
    path = find_file(told.target)
    try:
        module = import_file(path)
    except UserError as error:
        raise PackError(error.message, hint=error.hint) from error
    origin = f"{told.thing} of {path.name}" if told.thing else path.name
    return _take(find_published(module, told.thing, origin), path.stem, told, origin)


def _load_module(told: PackSpec) -> ToolPack[Any]:
    if told.thing and any(pack.name == told.target for pack in list_packs()):
        raise ConfigurationError(
            f"the pack {told.target!r} can't be read: {told.thing!r} is not of the form key=value",
            hint=f"write {told.target}:key=value,key=value",
        )
    try:
        module = attempt(lambda: import_module(told.target), f"the module {told.target!r} can't be imported")
    except PackError as error:
        lacking = getattr(error.__cause__, "name", None)
        if isinstance(error.__cause__, ModuleNotFoundError) and f"{told.target}.".startswith(f"{lacking}."):
            error.hint = f"install it, or name its file: ./{told.target.replace('.', '/')}.py"
        raise
    origin = f"{told.target}:{told.thing}" if told.thing else told.target
    return _take(find_published(module, told.thing, origin), told.target.rpartition(".")[2], told, origin)


_LOADERS = {"name": _load_installed, "file": _load_file, "module": _load_module}


def _take(thing: object, name: str, told: PackSpec, origin: str) -> ToolPack[Any]:
    return make_pack(read_published(thing, origin), name, told.options, origin)


def _unknown(name: str, installed: Sequence[InstalledPack]) -> ConfigurationError:
    near = near_names(name, [pack.name for pack in installed])
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return ConfigurationError(
        f"there is no pack {name!r}",
        hint=f"{guess}`agentloop packs` lists those that are installed; others come with `pip install` of the package"
        " that has them, or are named by their file: ./pack.py",
    )


def _read_packs(distribution: Distribution) -> list[InstalledPack]:
    """Return the packs of a distribution; the name and the version are `?` where they can't be read."""
    entries = read_packs(distribution)
    if not entries:
        return []  # what a distribution is called takes a while to find out
    try:
        # Not by `distribution.name`, which warns from Python 3.12 on where there is none.
        name, version = ((distribution.metadata.get_all(key) or ["?"])[0] for key in ("Name", "Version"))
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        name, version = "?", "?"
    return [InstalledPack(entry.name, name, version, entry.value, entry) for entry in entries]
