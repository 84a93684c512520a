"""`agentloop packs new`: writes a complete package with a small pack, as the start of a user's own pack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agentloop.cli.failure import DONE, report
from agentloop.cli.terminal import keep_stdout
from agentloop.errors import ConfigurationError, UserError
from agentloop.installation import find_distribution
from agentloop.packs.discovery import list_packs

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST: Final = 40
_RESERVED: Final = frozenset(  # the pack's class, or its configuration's, would have a name that is already in use
    ["agent", "effects", "false", "field", "none", "pack", "scripted-endpoint", "tool-error", "tool-pack", "true"]
)

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{package}"
version = "0.1.0"
description = "The tool pack {name} for agentloop."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["{agentloop}>={version}", "pydantic>=2"]

[project.optional-dependencies]
dev = ["pytest>=8"]

# What users name: --pack {name}
[project.entry-points."agentloop.packs"]
{name} = "{module}:{class_name}"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]

[tool.ruff]
line-length = 120

[tool.mypy]
strict = true
packages = ["{module}"]
"""

_README = """\
# {package}

A tool pack for agentloop.

```
pip install -e .
agentloop packs show {name}
agentloop tools call --pack {name}:ignore_case=true {name}.count '{{"word": "a", "text": "A cat and a dog"}}'
agentloop run --pack {name} "How often does the word to occur in: to be or not to be"
```

| field | default | meaning |
|---|---|---|
| `ignore_case` | `false` | Whether `The` is counted as `the`. |

| tool | effects |
|---|---|
| `{name}.count` | computes |

The pack is in `{module}/__init__.py`; `pip install -e '.[dev]'` and `pytest` test it.
"""

_PACK = '''\
"""The tool pack {name}."""

from agentloop import Effects, PackConfig, ToolError, ToolPack, tool
from pydantic import Field


class {class_name}Config(PackConfig):
    """The settings: `--pack {name}:ignore_case=true`, or `{class_name}({class_name}Config(ignore_case=True))`."""

    ignore_case: bool = Field(False, description="Whether `The` is counted as `the`.")


class {class_name}(ToolPack[{class_name}Config]):
    """Counts words. A model sees its tool as `{name}_count`, a policy as `{name}.count`."""

    name = "{name}"
    version = "0.1.0"

    # Effects() means that the tool only computes. Set read, write, network or execute to True if it does more.
    @tool(effects=Effects(), timeout=10)
    def count(self, word: str, text: str) -> int:
        """Count how often a word occurs in a text.

        Args:
            word: The word, without spaces.
            text: The text to look through.
        """
        if not word or word.split() != [word]:
            raise ToolError("word must be one word, without spaces")
        if self.config.ignore_case:
            word, text = word.casefold(), text.casefold()
        return text.split().count(word)
'''

_TEST = """\
from agentloop import Agent
from agentloop.testing import ScriptedEndpoint, call, check_pack

from {module} import {class_name}, {class_name}Config

EXAMPLE = {{"word": "the", "text": "The cat and the dog"}}


def test_the_pack_passes_the_checks_of_agentloop() -> None:
    check_pack({class_name}(), examples={{"count": EXAMPLE}})


def test_a_model_can_use_it() -> None:
    endpoint = ScriptedEndpoint([call("{name}_count", EXAMPLE), "Once."])
    result = Agent("scripted", endpoint=endpoint, tools=[{class_name}()]).run_sync("How often?")
    assert result.text == "Once."
    assert endpoint.requests[1]["input"][-1]["output"] == "1"


def test_its_configuration_is_used() -> None:
    assert {class_name}({class_name}Config(ignore_case=True)).count("the", "The cat and the dog") == 2
"""

_FILES: Mapping[str, str] = {
    "pyproject.toml": _PYPROJECT,
    "README.md": _README,
    "{module}/__init__.py": _PACK,
    "{module}/py.typed": "",
    "tests/test_{snake}.py": _TEST,
}


def write_package(name: str) -> int:
    """Write a package into a new folder of the current one, print the next steps, and return the exit status."""
    with keep_stdout() as stdout:
        try:
            folder = _write(name)
        except UserError as error:
            return report(error)
        print(f"wrote {folder}/; next: cd {folder} && pip install -e '.[dev]' && pytest", file=stdout)
        return DONE


def _write(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ConfigurationError(
            f"{name!r} is not a valid name for a pack",
            hint="use lower-case letters and digits, with `_` or `-` between words, at most 40 characters",
        )
    words = _choose_words(name)
    _check_free(words)
    folder = Path(words["package"])
    try:
        folder.mkdir()
        for path, text in _FILES.items():
            file = folder / path.format(**words)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.format(**words), encoding="utf-8")
    except FileExistsError:
        raise ConfigurationError(f"{folder} already exists", hint="give another name, or move the folder") from None
    except OSError as error:
        raise ConfigurationError(
            f"{folder} can't be written: {error.strerror}", hint="change to a folder where you can write"
        ) from None
    return str(folder)


def _choose_words(name: str) -> Mapping[str, str]:
    """Return the values of the names in braces in the templates.

    Raises:
        ConfigurationError: agentloop is not installed, so that no package can depend on it.
    """
    agentloop = find_distribution()
    if agentloop is None:
        raise ConfigurationError(
            "a new package depends on agentloop, which is not installed here: it runs from its sources",
            hint="run `pip install .` in the folder of its sources",
        )
    snake, dashed = name.replace("-", "_"), name.replace("_", "-")
    return {
        "name": name,
        "snake": snake,
        "package": f"agentloop-{dashed}",
        "module": f"agentloop_{snake}",
        "class_name": snake.title().replace("_", ""),
        "agentloop": agentloop.name,
        "version": ".".join(agentloop.version.split(".")[:2]),
    }


def _check_free(words: Mapping[str, str]) -> None:
    """Check that the name is not in use.

    Raises:
        ConfigurationError: the name is in use.
    """
    name, module = words["name"], words["module"]
    taken = [f"{pack.distribution} has a pack of this name" for pack in list_packs() if pack.name == name]
    if name.replace("_", "-") in _RESERVED:
        taken.append("the generated Python code uses this name for something else")
    if words["package"] == words["agentloop"]:
        taken.append(f"{words['package']} is the package of agentloop itself")
    if find_spec(module) is not None:
        taken.append(f"the module {module} already exists")
    if taken:
        raise ConfigurationError(f"a new pack can't be named {name!r}: {taken[0]}", hint="give another name")
