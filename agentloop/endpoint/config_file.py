"""Reads `agentloop.toml`, and lets that of a working folder count."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agentloop.endpoint.trusted_files import hash_content, is_trusted, read_small_file, resolve_path, trust_files
from agentloop.errors import ConfigurationError
from agentloop.items import JsonObject
from agentloop.showable import show_line
from agentloop.wire.payload import mapping
from agentloop.wire.profile.lessons import read_fields

_NAME = "agentloop.toml"
_SHOWN_CHARACTERS = 400
_REPORTED: set[tuple[Path, str]] = set()
"""The ignored files that this process has reported, each with the hash of its content."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file, which may not exist.

    Attributes:
        path: The path.
        trusted: Whether the file counts whoever wrote it: it is in the user's own folder, or the environment names it.
    """

    path: Path
    trusted: bool


def find_configs() -> list[ConfigFile]:
    """Return the configuration files, whether they exist or not; a later one overrides an earlier one."""
    named = os.environ.get("AGENTLOOP_CONFIG")
    if named is not None:
        return [ConfigFile(Path(named), trusted=True)] if named else []
    import platformdirs  # noqa: PLC0415 - takes 0.04 s, on the first run only

    own = platformdirs.user_config_path("agentloop") / _NAME
    files = [ConfigFile(own, trusted=True)]
    with suppress(FileNotFoundError):  # the working directory may be gone
        here = Path.cwd() / _NAME
        if resolve_path(here) != resolve_path(own):
            files.append(ConfigFile(here, trusted=False))
    return files


def read_config(file: ConfigFile, names: Iterable[str], warnings: list[str]) -> JsonObject:
    """Return the fields in the file's tables whose name or pattern matches one of the names."""
    path = file.path
    try:
        data = read_small_file(path)
        content = tomllib.loads(data.decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warnings.append(f"{path} is damaged and is ignored: {error}")
        return {}
    if not file.trusted and not is_trusted(path, hash_content(data)):
        if (report := (path, hash_content(data))) not in _REPORTED:
            _REPORTED.add(report)
            warnings.append(
                f"{path} is ignored, as somebody else may have written it ({_list_tables(content)}); "
                "read it, and `agentloop trust` lets it count"
            )
        return {}
    fields: JsonObject = {}
    profiles = mapping(content.pop("profile", {}))
    ignored = [*content, *(f"profile.{name}" for name, given in profiles.items() if not isinstance(given, dict))]
    warnings += [f'{path}: {name} is ignored: only tables such as [profile."ovh:Qwen3*"] are read' for name in ignored]
    for pattern, given in profiles.items():
        if pattern.rstrip("/") in names or any(fnmatchcase(name, pattern) for name in names):
            read, faults = read_fields(mapping(given))
            fields |= read
            warnings += [f'{path}: [profile."{pattern}"]: {fault}; it is ignored' for fault in faults]
    return fields


def trust_config(folder: Path) -> tuple[Path, str]:
    """Let the configuration file of a folder count, and return its path and what it sets, in words.

    Raises:
        ConfigurationError: there is no such file, it can't be read, or the user's own file can't be written.
    """
    path = folder / _NAME
    try:
        data = read_small_file(path)
        tables = _list_tables(tomllib.loads(data.decode()))
        trust_files({path: hash_content(data)})
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{path} can't be trusted: {why}", hint=f"go to the folder of an {_NAME}, or give the folder"
        ) from error
    return path, tables


def describe_state(file: ConfigFile) -> str:
    """Return in words why a file does not count, or ""."""
    try:
        data = read_small_file(file.path)
    except FileNotFoundError:
        return "it does not exist"
    except OSError as error:
        return f"it can't be read: {error.strerror or error}"
    counts = file.trusted or is_trusted(file.path, hash_content(data))
    return "" if counts else "it is ignored until you run `agentloop trust`"


def _list_tables(content: Mapping[str, object]) -> str:
    profiles = mapping(content.get("profile"))
    tables = [f'[profile."{name}"]: {", ".join(mapping(given)) or "nothing"}' for name, given in profiles.items()]
    others = [name for name in content if name != "profile"]
    listed = "; ".join((*tables, *others)) or "it sets nothing"
    return show_line(listed[:_SHOWN_CHARACTERS]) + "…" * (len(listed) > _SHOWN_CHARACTERS)
