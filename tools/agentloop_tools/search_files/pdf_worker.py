"""A program of its own that turns the PDF on its standard input into lines of JSON, one a page; see `pdf`.

What a hostile file makes the parser do ends with this process. It imports nothing of agentloop.
"""

import json
import resource
import sys


def main(folder: str, memory_bytes: int, output_bytes: int, seconds: int, most_pages: int) -> None:
    """Limit this process, then read.

    Args:
        folder: Where pypdf is installed.
        memory_bytes: The most that may be allocated.
        output_bytes: The most that may be written.
        seconds: The most time on a processor.
        most_pages: How many pages are read.
    """
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    sys.path.append(folder)
    from pypdf import PdfReader  # noqa: PLC0415 - within the limits

    for page in PdfReader(sys.stdin.buffer).pages[:most_pages]:
        sys.stdout.write(json.dumps(page.extract_text()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
