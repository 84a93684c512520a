"""Stores which files of working folders the user trusts, and reads such files.

A working folder may be a repository that somebody else wrote. So its files count only after `agentloop trust`, which
stores the path of each and a hash of its content: a file that has changed must be trusted again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Final

from agentloop.endpoint.shared_file import hold_file, replace_file
from agentloop.wire.payload import mapping

_MOST_BYTES: Final = 4_000_000


def is_trusted(path: Path, digest: str) -> bool:
    """Return whether the user trusts a file with this content."""
    return _read_trusted().get(_key(path)) == digest


def trust_files(digests: Mapping[Path, str]) -> None:
    """Let files count, with the content that has this hash.

    Raises:
        OSError: the user's own file can't be written.
    """
    stored = _trust_path()
    with hold_file(stored):
        trusted = {_key(path): digest for path, digest in digests.items()}
        replace_file(stored, json.dumps({**_read_trusted(), **trusted}, indent=1))


def read_small_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """Return the content of a file; a pipe would never end, and a huge file would take all memory.

    Raises:
        OSError: the file can't be read, is no regular file, or is too large.
    """
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise OSError("it is no regular file")
    if status.st_size > most_bytes:
        raise OSError(f"it has more than {most_bytes} bytes")
    return path.read_bytes()


def resolve_path(path: Path) -> str:
    """Return the path that a file is known by, whatever links lead to it."""
    return os.path.realpath(path)


def _key(path: Path) -> str:
    """Return the key of a file. A link in a stranger's folder is not the trusted file that it leads to."""
    return str(Path(os.path.realpath(path.parent), path.name))


def hash_content(data: bytes) -> str:
    """Return the hash of a file's content."""
    return sha256(data).hexdigest()


def _trust_path() -> Path:
    named = os.environ.get("AGENTLOOP_STATE")
    if named:
        return Path(named) / "trusted.json"
    import platformdirs  # noqa: PLC0415 - takes 0.04 s, on the first run only

    return platformdirs.user_state_path("agentloop") / "trusted.json"


def _read_trusted() -> Mapping[str, object]:
    try:
        return mapping(json.loads(read_small_file(_trust_path())))
    except (OSError, ValueError, RecursionError):
        return {}  # nothing is trusted, and the next `agentloop trust` makes a new file
