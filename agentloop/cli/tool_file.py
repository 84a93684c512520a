"""`FILE.py[:NAME]`: import a user's file and find the tools in it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from zlib import crc32

from agentloop.errors import ConfigurationError, UserError
from agentloop.tools import Tool, ToolRegistry, collect_tools


def load_tools(spec: str) -> list[Tool]:
    """Return the tools that `FILE.py` or `FILE.py:NAME` names.

    Raises:
        ConfigurationError: there is no such file, it can't be imported, or it holds no such tool.
        ToolDefinitionError: a function can't become a tool.
        DuplicateToolError: two tools bear one name.
    """
    file, colon, name = spec.rpartition(":")
    named = bool(colon) and name.isidentifier()
    path = Path(file if named else spec).resolve()
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {path}", hint="give the path of a Python file: FILE.py or FILE.py:NAME"
        )
    module = _import_file(path)
    if named:
        return _pick(module, path.name, name)
    things: list[Tool | ToolRegistry] = [
        thing for thing in vars(module).values() if isinstance(thing, (Tool, ToolRegistry))
    ]
    tools = list(collect_tools(things).values())
    if not tools:
        functions = _functions(module)
        raise ConfigurationError(
            f"{path.name} defines no tool; it defines {_listed(functions)}",
            hint=f"put @tool (from agentloop import tool) above a function, or name a plain one: {path.name}:NAME",
        )
    return tools


def _pick(module: ModuleType, file: str, name: str) -> list[Tool]:
    thing = getattr(module, name, None)
    if not isinstance(thing, ToolRegistry) and not callable(thing):
        tools = [key for key, value in vars(module).items() if isinstance(value, (Tool, ToolRegistry))]
        what = f"{name!r} in {file} is no function" if hasattr(module, name) else f"{file} has no {name!r}"
        raise ConfigurationError(
            f"{what}; it defines {_listed([*tools, *_functions(module)])}", hint="name one of these"
        )
    return list(collect_tools([thing]).values())


def _functions(module: ModuleType) -> list[str]:
    """Return the names of the plain functions that the file itself defines."""
    return [
        name for name, value in inspect.getmembers(module, inspect.isfunction) if value.__module__ == module.__name__
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no function either"


def _import_file(path: Path) -> ModuleType:
    """Import a file once, by its path, under a name that no other module has."""
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
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        del sys.modules[name]
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
