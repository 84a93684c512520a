"""How agentloop was installed: the distribution that it came with, its version, and what its extras bring.

The name of the distribution stands in pyproject.toml alone; everything else reads it from here.
"""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from shlex import quote
from typing import Final

GROUP: Final = "agentloop.packs"

UNKNOWN_VERSION: Final = "0+unknown"
"""The version of sources that are run without being installed."""


def find_distribution() -> Distribution | None:
    """Return the distribution that agentloop was installed with, or None where its sources are run as they are.

    It is known by the pack that it publishes out of `agentloop` itself, since its name may change, and since the
    metadata of an editable install don't list the modules.
    """
    for each in distributions():
        if any(entry.value.startswith("agentloop.") for entry in read_packs(each)):
            return each
    return None


def read_version() -> str:
    """Return the version of agentloop, or `UNKNOWN_VERSION`."""
    found = find_distribution()
    return UNKNOWN_VERSION if found is None else found.version


def read_packs(found: Distribution) -> tuple[EntryPoint, ...]:
    """Return the packs that a distribution publishes; none where it is half installed or removed, and can't be read."""
    try:
        return tuple(found.entry_points.select(group=GROUP))
    except (OSError, TypeError, ValueError):
        return ()


def describe_install(extra: str, name: str = "") -> str:
    """Return the command that installs what an extra brings.

    It names the requirements, as the distribution's metadata have them for this system, and not the distribution:
    that may come from a folder or a file, and another one of its name from an index.

    Args:
        extra: The name of the extra, such as `web`.
        name: The name of the distribution, by default that of agentloop. A pack of your own gives the one it is in.
    """
    needed = _read_requirements(extra, name)
    if not needed:
        return f"install {name or 'agentloop'} with its extra, by pip install '.[{extra}]' in the folder of its sources"
    return " ".join(["pip install", *map(quote, needed)])


def _read_requirements(extra: str, name: str) -> list[str]:
    """Return what an extra adds on this system, without markers; nothing where the distribution is not installed."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - 10 ms, for a hint only

    try:
        found = distribution(name) if name else find_distribution()
    except PackageNotFoundError:
        found = None
    needed: list[str] = []
    for line in (found and found.requires) or ():
        requirement = Requirement(line)
        marker, requirement.marker = requirement.marker, None
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            needed.append(str(requirement))
    return needed
