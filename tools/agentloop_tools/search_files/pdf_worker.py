"""A separate program that reads a PDF from standard input and writes the text of each page as a line of JSON.

`pdf` runs it. A malicious file can harm only this process. It imports nothing of agentloop.
"""

import json
import resource
import sys


def main(folder: str, memory_bytes: int, output_bytes: int, seconds: int, most_pages: int) -> None:
    """Limit this process, then read the PDF.

    Args:
        folder: The folder in which pypdf is installed.
        memory_bytes: How much memory may be allocated.
        output_bytes: How much may be written.
        seconds: How much CPU time may be used.
        most_pages: How many pages are read at most.
    """
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    sys.path.append(folder)
    from pypdf import PdfReader  # noqa: PLC0415 - imported under the limits

    for page in PdfReader(sys.stdin.buffer).pages[:most_pages]:
        sys.stdout.write(json.dumps(page.extract_text()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
