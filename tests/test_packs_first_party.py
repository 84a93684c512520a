"""Every pack that is shipped keeps its word, as `check_pack` has it."""

import ast
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentloop.installation import find_distribution
from agentloop.packs.discovery import list_packs
from agentloop.testing import PackCheckError, check_pack


class Site(BaseHTTPRequestHandler):
    """A page, a search engine and an API."""

    def do_GET(self):
        is_page = self.path.startswith("/page")
        found = {"results": [{"title": "A", "url": "https://a.example/", "content": "hello"}]}
        body = b"<html><body><p>hello world</p></body></html>" if is_page else json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    return path


def test_calculate():
    check_pack(
        "agentloop_tools.calculate:Calculate",
        {"calculate": {"expression": "1 + 1"}, "convert": {"amount": "1", "from_unit": "m", "to_unit": "km"}},
    )


def test_time():
    moment = "2026-11-22T12:00"
    check_pack(
        "agentloop_tools.time:Time:zone=Europe/Berlin",
        {
            "now": {},
            "convert": {"time": moment, "to_zone": "Asia/Tokyo"},
            "add": {"time": moment, "duration": "P1D"},
            "difference": {"start": moment, "end": "2026-11-23"},
        },
    )


def test_sql(database):
    check_pack(f"agentloop_tools.sql:Sql:database={database}", {"schema": {}, "query": {"sql": "SELECT * FROM t"}})


def test_files(tmp_path):
    (tmp_path / "a.txt").write_text("hello\n")
    (tmp_path / "b.txt").write_text("hello\n")
    check_pack(
        f"agentloop_tools.files:Files:root={tmp_path},write=true",
        {
            "read": [{"path": "a.txt"}, {"path": "b.txt"}],
            "list": {},
            "glob": {"pattern": "*.txt"},
            "grep": {"pattern": "hello"},
            "stat": {"path": "a.txt"},
            "write": [{"path": "new.txt", "content": "1"}, {"path": "b.txt", "content": "2"}],
            "edit": [{"path": "a.txt", "old": "hello", "new": "bye"}, {"path": "a.txt", "old": "bye", "new": "hello"}],
        },
    )


def test_search_files(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Hello\n\nworld\n")
    check_pack(
        f"agentloop_tools.search_files:SearchFiles:root={tmp_path / 'docs'},index={tmp_path / 'index'}",
        {"search": {"query": "world"}},
    )


def test_notes(tmp_path):
    check_pack(
        f"agentloop_tools.notes:Notes:folder={tmp_path},user=ann",
        {
            "add": [{"text": "one"}, {"text": "two"}],
            "search": {"query": "one"},
            "read": {"number": 1},
            "update": [{"number": 1, "text": "three"}, {"number": 1, "text": "four"}],
            "delete": [{"number": 1}, {"number": 2}],
            "todo_add": [{"items": ["one"]}, {"items": ["two"]}],
            "todo_list": {},
            "todo_update": [{"number": 1, "state": "done"}, {"number": 2, "state": "done"}],
        },
    )


def test_python():
    check_pack("agentloop_tools.python:Python", {"run": {"code": "1 + 1"}})


def test_shell(tmp_path):
    check_pack(f"agentloop_tools.shell:Shell:root={tmp_path},unsafe_host=true", {"run": {"argv": ["true"]}})


def test_web(site):
    check_pack(
        f"agentloop_tools.web:Web:allow={site},search_url=http://{site},backend=searxng",
        {"fetch": {"url": f"http://{site}/page"}, "search": {"query": "hello"}},
    )


def test_http_but_for_its_schemas_which_take_any_parameter(site):
    with pytest.raises(PackCheckError) as caught:
        check_pack(f"agentloop_tools.http:Http:base_url=http://{site}/api,methods=GET", {"get": {"path": "things"}})
    assert caught.value.faults == (
        "http.get has a schema that is not strict: give its parameters types, without strict=False",
    )


# --- what their tools import when they are first used ---

OURS = [pack for pack in list_packs() if pack.distribution == find_distribution().name]


def find_imports(module):
    """Return the modules of others that a pack's room or file imports anywhere, but for those that types alone need."""
    place = Path(find_spec(module).origin)
    files = sorted(place.parent.rglob("*.py")) if place.name == "__init__.py" else [place]
    found = set()
    for file in files:
        tree = ast.parse(file.read_text("utf-8"))
        for_types = {id(node) for branch in ast.walk(tree) if is_for_types(branch) for node in ast.walk(branch)}
        for node in ast.walk(tree):
            if id(node) not in for_types:
                found |= set(read_import(node))
    ours = {"agentloop", "agentloop_tools"}
    return {name for name in found if name.partition(".")[0] not in ours | sys.stdlib_module_names}


def is_for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def read_import(node):
    """Return what a statement, or a call of import_module or find_spec, imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(name), level=0):
            return [name]
        case ast.Call(func=ast.Name(id="import_module" | "find_spec"), args=[ast.Constant(value=str(name))]):
            return [name]
    return []


IMPORTED = """
import json, os, sys
from importlib import import_module
from agentloop.packs.discovery import list_packs
for pack in list_packs():
    if pack.value in sys.argv:
        if not (child := os.fork()):
            kind = pack.load()
            before = sorted(sys.modules)
            for name in kind.imports:
                import_module(name)
            print(json.dumps([pack.value, list(kind.imports), before, sorted(sys.modules)]), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def imported():
    """What each pack says that it imports, and the modules that are there before and after, each in its own process."""
    command = [sys.executable, "-c", IMPORTED, *(pack.value for pack in OURS)]
    done = subprocess.run(command, capture_output=True, timeout=110, check=True)
    return {pack: lists for pack, *lists in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("pack", OURS, ids=lambda pack: pack.name)
def test_what_the_tools_import_late_is_declared_so_that_a_check_finds_it(pack, imported):
    declared, before, after = imported[pack.value]
    found = find_imports(pack.value.partition(":")[0])
    assert found - set(after) == set()
    assert [name for name in declared if name in before] == []  # that would be found out without it


def test_all_packs_are_looked_at_and_each_names_an_extra_that_there_is():
    extras = set(find_distribution().metadata.get_all("Provides-Extra"))
    assert len(OURS) == 11
    assert {kind.extra for kind in (pack.load() for pack in OURS)} - {""} == extras - {"aiohttp", "local", "packs"}
