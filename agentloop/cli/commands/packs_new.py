"""`agentloop packs new`: a package with a pack in it, complete, to begin one's own with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agentloop.cli.failure import DONE, report
from agentloop.cli.terminal import keep_stdout
from agentloop.errors import ConfigurationError, UserError
from agentloop.packs.discovery import list_packs
from agentloop.packs.installation import find_distribution

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST: Final = 40
_MEANT_OTHERWISE: Final = frozenset(  # where the pack's class or its configuration would be called as something else
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
{name} = "{module}:{kind}"

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

| field | default | what it is |
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


class {kind}Config(PackConfig):
    """What users can set: `--pack {name}:ignore_case=true`, or `{kind}({kind}Config(ignore_case=True))`."""

    ignore_case: bool = Field(False, description="Whether `The` is counted as `the`.")


class {kind}(ToolPack[{kind}Config]):
    """Counts words. A model sees its tool as `{name}_count`, policies as `{name}.count`."""

    name = "{name}"
    version = "0.1.0"

    # Effects() only computes; say read=True, write=True, network=True or execute=True for what else a tool does.
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

from {module} import {kind}, {kind}Config

EXAMPLE = {{"word": "the", "text": "The cat and the dog"}}


def test_the_pack_keeps_what_agentloop_relies_on() -> None:
    check_pack({kind}(), examples={{"count": EXAMPLE}})


def test_a_model_can_use_it() -> None:
    endpoint = ScriptedEndpoint([call("{name}_count", EXAMPLE), "Once."])
    result = Agent("scripted", endpoint=endpoint, tools=[{kind}()]).run_sync("How often?")
    assert result.text == "Once."
    assert endpoint.requests[1]["input"][-1]["output"] == "1"


def test_its_configuration_counts() -> None:
    assert {kind}({kind}Config(ignore_case=True)).count("the", "The cat and the dog") == 2
"""

_FILES: Mapping[str, str] = {
    "pyproject.toml": _PYPROJECT,
    "README.md": _README,
    "{module}/__init__.py": _PACK,
    "{module}/py.typed": "",
    "tests/test_{under}.py": _TEST,
}


def write_package(name: str) -> int:
    """Write a package into a new folder of the current one and say what to do with it; return the exit status."""
    with keep_stdout() as stdout:
        try:
            folder = _write(name)
        except UserError as error:
            return report(error)
        print(f"{folder}/ has a pack of its own; next: cd {folder} && pip install -e '.[dev]' && pytest", file=stdout)
        return DONE


def _write(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ConfigurationError(
            f"{name!r} is no name for a pack",
            hint="give small letters and digits, words parted by `_` or `-`, 40 characters at the most",
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
        raise ConfigurationError(f"{folder} is there already", hint="give another name, or move it away") from None
    except OSError as error:
        raise ConfigurationError(
            f"{folder} can't be written: {error.strerror}", hint="change to a folder in which you may write"
        ) from None
    return str(folder)


def _choose_words(name: str) -> Mapping[str, str]:
    """Return what takes the place of the words in braces.

    Raises:
        ConfigurationError: agentloop is not installed, so that no package can depend on it.
    """
    agentloop = find_distribution()
    if agentloop is None:
        raise ConfigurationError(
            "a new package depends on agentloop, and agentloop is not installed here: its sources are run as they are",
            hint="run `pip install .` in the folder of its sources",
        )
    under, dashed = name.replace("-", "_"), name.replace("_", "-")
    return {
        "name": name,
        "under": under,
        "package": f"agentloop-{dashed}",
        "module": f"agentloop_{under}",
        "kind": under.title().replace("_", ""),
        "agentloop": agentloop.name,
        "version": ".".join(agentloop.version.split(".")[:2]),
    }


def _check_free(words: Mapping[str, str]) -> None:
    """Raise an error where the name would be in the way of something else.

    Raises:
        ConfigurationError: it would.
    """
    name, module = words["name"], words["module"]
    taken = [f"{pack.distribution} has a pack of this name" for pack in list_packs() if pack.name == name]
    if name.replace("_", "-") in _MEANT_OTHERWISE:
        taken.append("its Python code needs the name for something else")
    if words["package"] == words["agentloop"]:
        taken.append(f"{words['package']} is the package of agentloop itself")
    if find_spec(module) is not None:
        taken.append(f"there is a module {module} already")
    if taken:
        raise ConfigurationError(f"{name!r} is no name for a new pack: {taken[0]}", hint="give another name")
