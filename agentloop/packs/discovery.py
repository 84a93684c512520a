"""Finds packs: installed packs by their entry points, and packs that are named as a file or a module.

Listing the packs does not import them; a pack is imported when it is named.
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
    """An installed pack as its distribution's metadata describe it; it has not been imported.

    Attributes:
        name: The name of the pack.
        distribution: The name of the distribution that it was installed with.
        version: The version of the distribution.
        value: The location of the pack: `module:thing`.
    """

    name: str
    distribution: str
    version: str
    value: str
    _entry: EntryPoint = field(repr=False, compare=False)

    @property
    def origin(self) -> str:
        """The pack in words: its name, distribution and version."""
        return f"the pack {self.name!r} ({self.distribution} {self.version})"

    def load(self) -> object:
        """Import the pack and return the published object.

        Raises:
            PackError: the import fails with any exception.
        """
        return attempt(self._entry.load, f"{self.origin} can't be imported")


def list_packs() -> list[InstalledPack]:
    """Return the installed packs, sorted by name; if two distributions have a pack of the same name, return both."""
    found: dict[str, list[InstalledPack]] = {}
    for distribution in distributions():
        packs = _read_packs(distribution)
        if packs:  # if a distribution is installed twice, Python imports the first
            found.setdefault(packs[0].distribution, packs)
    return sorted(pack for packs in found.values() for pack in packs)


def load_pack(spec: str) -> ToolPack[Any]:
    """Return the pack that a text names, with its configuration; `agentloop.packs.spec` describes the grammar.

    Raises:
        ConfigurationError: the text can't be read, the pack does not exist, or its configuration is not valid.
        PackError: the pack can't be imported, or the named object is not a pack.
    """
    parsed = read_spec(spec)
    pack = _LOADERS[parsed.kind](parsed)
    return pack.prefixed(parsed.prefix) if parsed.prefix else pack


def _load_installed(spec: PackSpec) -> ToolPack[Any]:
    installed = list_packs()
    found = [pack for pack in installed if pack.name == spec.target]
    if not found:
        raise _unknown_pack(spec.target, installed)
    if len(found) > 1:
        raise ConfigurationError(
            f"{len(found)} distributions have a pack {spec.target!r}: "
            + " and ".join(f"{pack.distribution} {pack.version}" for pack in found),
            hint="name the one you mean by its module: " + " or ".join(pack.value for pack in found),
        )
    [installed_pack] = found
    origin = installed_pack.origin
    pack = make_pack(read_published(installed_pack.load(), origin), spec.target, spec.options, origin)
    # A pack may take its name from its configuration, as an MCP server does.
    has_own_name = spec.target in {pack.name, type(pack).name}
    return pack if has_own_name else pack.prefixed(spec.target)


def _load_file(spec: PackSpec) -> ToolPack[Any]:
    path = find_file(spec.target)
    try:
        module = import_file(path)
    except UserError as error:
        raise PackError(error.message, hint=error.hint) from error
    origin = f"{spec.thing} of {path.name}" if spec.thing else path.name
    return _make(find_published(module, spec.thing, origin), path.stem, spec, origin)


def _load_module(spec: PackSpec) -> ToolPack[Any]:
    if spec.thing and any(pack.name == spec.target for pack in list_packs()):
        raise ConfigurationError(
            f"the pack {spec.target!r} can't be read: {spec.thing!r} is not of the form key=value",
            hint=f"write {spec.target}:key=value,key=value",
        )
    try:
        module = attempt(lambda: import_module(spec.target), f"the module {spec.target!r} can't be imported")
    except PackError as error:
        missing = getattr(error.__cause__, "name", None)
        if isinstance(error.__cause__, ModuleNotFoundError) and f"{spec.target}.".startswith(f"{missing}."):
            error.hint = f"install it, or name its file: ./{spec.target.replace('.', '/')}.py"
        raise
    origin = f"{spec.target}:{spec.thing}" if spec.thing else spec.target
    return _make(find_published(module, spec.thing, origin), spec.target.rpartition(".")[2], spec, origin)


_LOADERS = {"name": _load_installed, "file": _load_file, "module": _load_module}


def _make(thing: object, name: str, spec: PackSpec, origin: str) -> ToolPack[Any]:
    return make_pack(read_published(thing, origin), name, spec.options, origin)


def _unknown_pack(name: str, installed: Sequence[InstalledPack]) -> ConfigurationError:
    near = near_names(name, [pack.name for pack in installed])
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return ConfigurationError(
        f"there is no pack {name!r}",
        hint=f"{guess}`agentloop packs` lists the installed packs; for others, `pip install` the package that has"
        " them, or name their file: ./pack.py",
    )


def _read_packs(distribution: Distribution) -> list[InstalledPack]:
    """Return the packs of a distribution; the name and the version are `?` where they can't be read."""
    entries = read_packs(distribution)
    if not entries:
        return []  # before the name of the distribution is read, which is slow
    try:
        # Not by `distribution.name`, which warns from Python 3.12 on where there is none.
        name, version = ((distribution.metadata.get_all(key) or ["?"])[0] for key in ("Name", "Version"))
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        name, version = "?", "?"
    return [InstalledPack(entry.name, name, version, entry.value, entry) for entry in entries]
