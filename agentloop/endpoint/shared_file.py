"""A small file that several threads and processes read, change and write."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import ETIMEDOUT
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

WAIT_SECONDS: Final = 10.0
"""How long a process waits for another one, which needs a few milliseconds unless it hangs."""


@contextmanager
def hold_file(path: Path, seconds: float = WAIT_SECONDS) -> Generator[None]:
    """Keep others that hold the file too from reading and writing it, by a lock on `NAME.lock` beside it.

    The system gives up the lock of a process that ends, however it ends. Readers need no lock: a file is replaced as a
    whole.

    Raises:
        OSError: there can be no file there, or somebody else has held it for too long.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - 0.1 s, for those who write

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
    """Write a file as a whole: who reads it meanwhile gets either the old text or the new one.

    Raises:
        OSError: it can't be written; the old one is left as it was.
    """
    with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    try:
        Path(file.name).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(file.name).unlink()
