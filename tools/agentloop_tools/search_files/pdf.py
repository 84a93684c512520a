"""Reads the text of PDF files in a process with limited time and memory, which runs `pdf_worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO

# The process itself is limited to a few seconds of CPU time. This limit is longer, because a machine can be busy.
SECONDS = 15.0
MOST_BYTES = 50_000_000

_PROCESSOR_SECONDS = 5
_MEMORY_BYTES = 512_000_000
_OUTPUT_BYTES = 4_000_000
_MOST_PAGES = 2_000
_PAUSE_SECONDS = 0.05
_WORKER = Path(__file__).with_name("pdf_worker.py")


def can_read_pdf() -> bool:
    """Return whether the extra is installed, and the system can limit a process."""
    return find_spec("pypdf") is not None and find_spec("resource") is not None


def read_pages(file: int, stop: threading.Event, clock: Callable[[], float] = time.monotonic) -> list[str] | None:
    """Return the texts of the pages that can be read, or None if the process did not end in time.

    Args:
        file: A descriptor of the PDF.
        stop: Ends the reading early.
        clock: Returns the time in seconds.
    """
    # The output goes to a file, because the system limits the size of a file but not what is sent through a pipe.
    with tempfile.TemporaryFile() as output:
        process = _start(file, output)
        try:
            ended = _wait(process, clock() + SECONDS, stop, clock)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return _read_lines(output) if ended else None


def _start(file: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
    spec = find_spec("pypdf")
    folder = str(Path(spec.origin).parents[1]) if spec and spec.origin else ""
    limits = map(str, (_MEMORY_BYTES, _OUTPUT_BYTES, _PROCESSOR_SECONDS, _MOST_PAGES))
    # -I isolates Python: neither environment variables nor the current folder have an effect on it.
    return subprocess.Popen(  # noqa: S603 - our own program; the file is data on its standard input
        [sys.executable, "-I", str(_WORKER), folder, *limits],
        stdin=file,
        stdout=output,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )


def _wait(process: subprocess.Popen[bytes], ends: float, stop: threading.Event, clock: Callable[[], float]) -> bool:
    """Wait for the process, and return whether it has ended."""
    while process.poll() is None and clock() < ends and not stop.is_set():
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PAUSE_SECONDS)
    return process.poll() is not None


def _read_lines(output: IO[bytes]) -> list[str]:
    pages = list[str]()
    for line in islice(output, _MOST_PAGES):
        try:
            page = json.loads(line)
        except ValueError:  # the last line, if the process was stopped while it wrote
            break
        pages.append(str(page))
    return pages
