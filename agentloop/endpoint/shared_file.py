"""Locks and replaces a small file that several threads and processes read and write."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import ETIMEDOUT
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

WAIT_SECONDS: Final = 10.0
"""How long a process waits for the lock. Another process holds it for a few milliseconds, unless it hangs."""


@contextmanager
def hold_file(path: Path, seconds: float = WAIT_SECONDS) -> Generator[None]:
    """Hold the lock of a file inside the block, by a lock on the file `NAME.lock` beside it.

    The system releases the lock when its process ends, however that happens. Reading needs no lock, because the file is
    replaced as a whole.

    Args:
        path: The file.
        seconds: How long to wait for the lock.

    Raises:
        OSError: the lock file can't be created, or another program has held the lock for too long.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - takes 0.1 s, needed only to write

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise TimeoutError(ETIMEDOUT, f"another program has held {lock.lock_file} for {seconds:g} s") from None
    try:
        yield
    finally:
        lock.release()


def replace_file(path: Path, text: str) -> None:
    """Replace the text of a file in one step, so that a reader gets either the old text or the new one.

    Raises:
        OSError: the file can't be written; the old text is unchanged.
    """
    with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    try:
        Path(file.name).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(file.name).unlink()
