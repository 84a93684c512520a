"""Imports the files of users: tools and packs that are not installed."""

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
    """Return the path of a file that is there.

    Raises:
        ConfigurationError: it is not.
    """
    path = Path(given).expanduser().resolve()
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {path}", hint="give the path of a Python file: FILE.py or FILE.py:NAME"
        )
    return path


def import_file(path: Path) -> ModuleType:
    """Import a file once, by its path, under a name that no other module has.

    Raises:
        ConfigurationError: it can't be imported, whatever it raises.
        ToolDefinitionError: a function in it can't become a tool.
        DuplicateToolError: two of its tools bear one name.
    """
    name = f"{path.stem.replace('.', '_')}_{crc32(bytes(path)):08x}"
    if name in sys.modules:
        return sys.modules[name]
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        with _beside(path):
            SourceFileLoader(name, str(path)).exec_module(module)
    except UserError as error:
        del sys.modules[name]
        error.add_note(f"the import of {path.name} stopped there; what follows in it was not looked at")
        raise
    except BaseException as error:  # whatever a user's file may raise: SystemExit, what is a panic in Rust
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _explain(error, path) from error
    return module


@contextmanager
def _beside(path: Path) -> Generator[None]:
    """Let a file import its neighbours, as a script may."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        # Functions import when they run, too; but a neighbour must not hide what agentloop itself has yet to import.
        sys.path.append(folder)


def _explain(error: BaseException, path: Path) -> ConfigurationError:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not lines:
        return ConfigurationError(f"{path.name} can't be read as Python: {error}", hint="give a file of Python source")
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ConfigurationError(
        f"{path.name} raised {what} in line {lines[-1]} when it was imported",
        hint='mend that line, or put what only a script should do below `if __name__ == "__main__":`',
    )
