"""The files that are left out: internals of repositories and packages, secrets, and what ignore files name. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentloop_tools.files.ignore import LONGEST_PATH, choose_patterns, make_spec
from agentloop_tools.files.pack import DENIED
from agentloop_tools.files.root import compile_denial

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"
MOST_BYTES = 64_000

_MOST_PATTERNS = 500

_TOOLS = (
    "node_modules", "bower_components", ".venv", "venv", "__pycache__", "*.pyc", ".tox", ".nox", ".eggs", "*.egg-info",
    ".jj", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".gradle", ".terraform", ".DS_Store",
    "*.agentloop-index*",
)  # fmt: skip
_SECRETS = ("*.env", "*.keystore", "*.ppk", "*.gpg", "*.asc", "credentials", "credentials.json")
_is_denied = compile_denial((*DENIED, *_SECRETS, *_TOOLS))


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is always left out, whatever the ignore files say."""
    return _is_denied(name) or not _is_text(name)


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8. Another name can be neither stored nor shown."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules of all ignore files from the root down to a folder, those of the deepest first.

    Attributes:
        rules: For each ignore file the length of its folder's path, and its patterns.
    """

    rules: tuple[tuple[int, GitIgnoreSpec], ...] = ()

    def deeper(self, folder: str, text: bytes) -> Ignored:
        """Return these rules with those of one more ignore file.

        Args:
            folder: The file's folder: "" or a path that ends with a slash.
            text: The content of the file.
        """
        lines = text.decode("utf-8", "replace").splitlines()[:_MOST_PATTERNS]
        return Ignored(((len(folder), make_spec(choose_patterns(lines))), *self.rules))

    def covers(self, path: str) -> bool:
        """Return whether a path is ignored. The path of a folder ends with a slash."""
        for start, spec in self.rules:
            verdict = spec.check_file(path[start:]).include if len(path) <= LONGEST_PATH else None
            if verdict is not None:
                return verdict
        return False
