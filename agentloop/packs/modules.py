"""Imports Python files of users, which have tools and packs that are not installed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from zlib import crc32

from agentloop.errors import ConfigurationError, UserError


def find_file(given: str) -> Path:
    """Return the path of a file that exists.

    Raises:
        ConfigurationError: there is no such file.
    """
    path = Path(given).expanduser().resolve()
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {path}", hint="give the path of a Python file: FILE.py or FILE.py:NAME"
        )
    return path


def import_file(path: Path) -> ModuleType:
    """Import a file by its path under a unique module name; a second import returns the same module.

    Raises:
        ConfigurationError: the import fails with any other exception.
        ToolDefinitionError: a function in the file can't become a tool.
        DuplicateToolError: two tools in the file have the same name.
    """
    name = f"{path.stem.replace('.', '_')}_{crc32(bytes(path)):08x}"
    if name in sys.modules:
        return sys.modules[name]
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        with _import_from_folder(path):
            SourceFileLoader(name, str(path)).exec_module(module)
    except UserError as error:
        del sys.modules[name]
        error.add_note(f"the import of {path.name} stopped there; the rest of the file was not checked")
        raise
    except BaseException as error:  # a user's file may raise anything, such as SystemExit or a panic from Rust
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _explain(error, path) from error
    return module


@contextmanager
def _import_from_folder(path: Path) -> Generator[None]:
    """Let a file import other files of its folder, as a script can."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        # The folder stays at the end of the path, because functions may import later. It is not at the front, because
        # its files must not hide modules that agentloop itself imports later.
        sys.path.append(folder)


def _explain(error: BaseException, path: Path) -> ConfigurationError:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not lines:
        return ConfigurationError(f"{path.name} can't be read as Python: {error}", hint="give a file of Python source")
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ConfigurationError(
        f"{path.name} raised {what} in line {lines[-1]} when it was imported",
        hint='fix that line, or put code that only a script should run below `if __name__ == "__main__":`',
    )
