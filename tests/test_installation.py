"""What agentloop knows of its own installation: name, version, and the requirements of its extras."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import agentloop
from agentloop import describe_install
from agentloop.installation import UNKNOWN_VERSION, find_distribution, read_version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a distribution's metadata where Python finds them first."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, *lines, entries=""):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines]))
        (info / "entry_points.txt").write_text(entries)

    return install


def test_the_distribution_is_found_by_what_it_publishes_and_not_by_its_name():
    found = find_distribution()
    assert (found.name, found.version) == (PROJECT["name"], PROJECT["version"])
    assert agentloop.__version__ == read_version() == PROJECT["version"]


def test_a_distribution_with_packs_of_its_own_is_not_taken_for_it(install):
    install("agentloop", entries="[agentloop.packs]\nweather = agentloop_weather:Weather\n")
    install("broken", entries="[agentloop.packs]\nbad\n")
    assert find_distribution().name == PROJECT["name"]


def test_the_name_stands_in_pyproject_alone():
    sources = [
        path for folder in ("agentloop", "tools", "examples", "tests") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    files = [*sources, ROOT / "Makefile", *ROOT.glob("requirements/*.in"), *ROOT.glob("requirements/*.txt")]
    assert [str(path) for path in files if PROJECT["name"] in path.read_text("utf-8")] == []


def test_no_hint_names_a_distribution_in_place_of_what_is_missing():
    sources = [path for folder in ("agentloop", "tools") for path in ROOT.glob(f"{folder}/**/*.py")]
    assert [str(path) for path in sources if re.search(r"install ['\"]?agentloop\b", path.read_text("utf-8"))] == []


def test_sources_that_are_not_installed_say_so():
    # -S: without the installed packages, this one included.
    program = "import agentloop; print(agentloop.__version__)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{UNKNOWN_VERSION}\n"


def test_without_metadata_the_way_is_to_install_the_sources(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert describe_install("web") == (
        "install agentloop with its extra, by pip install '.[web]' in the folder of its sources"
    )
    assert describe_install("fast", "weather").startswith("install weather with its extra, by pip install '.[fast]'")


def read(command):
    """Return the requirements that a command installs."""
    pip, install, *needed = shlex.split(command)
    assert (pip, install) == ("pip", "install")
    return set(map(Requirement, needed))


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"packs"}))
def test_the_command_for_an_extra_names_its_requirements(extra):
    needed = list(map(Requirement, EXTRAS[extra]))
    here = [each for each in needed if each.marker is None or each.marker.evaluate()]
    for each in here:
        each.marker = None
    assert here
    assert read(describe_install(extra)) == set(here)


def test_the_command_for_all_packs_names_what_those_for_each_of_them_do():
    [whole] = map(Requirement, EXTRAS["packs"])
    assert whole.name == PROJECT["name"]
    assert whole.extras == set(EXTRAS) - {"packs", "local", "aiohttp"}
    assert read(describe_install("packs")) == {each for extra in whole.extras for each in read(describe_install(extra))}


def test_a_requirement_for_another_system_is_left_out_and_so_is_what_comes_without_the_extra(install):
    install(
        "weather",
        "Requires-Dist: always>=1",
        "Requires-Dist: here>=2; python_version >= '3' and extra == 'fast'",
        "Requires-Dist: elsewhere>=3; sys_platform == 'none' and extra == 'fast'",
        "Requires-Dist: other>=4; extra == 'slow'",
    )
    assert describe_install("fast", "weather") == "pip install 'here>=2'"


def test_the_readme_names_the_extras_the_distribution_and_the_wheel():
    text = (ROOT / "README.md").read_text("utf-8")
    table = text.partition("| extra | what it brings |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(EXTRAS)
    assert f"The distribution is called `{PROJECT['name']}`" in text
    assert f"dist/{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}-py3-none-any.whl[" in text
