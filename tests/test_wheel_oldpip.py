"""The wheel and all packs, as the oldest pip that this Python came with installs them: whether the packs work then."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = os.environ.get("AGENTLOOP_OLDPIP")
PATIENCE_SECONDS = 600
pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="`make oldpip` installs the wheel and runs this against it"),
    pytest.mark.timeout(PATIENCE_SECONDS),
]

SENTENCE = "Lighthouse keepers once wound the clockwork of the lamp by hand, every few hours, all night long."
PAGE = f"""<!doctype html><html><head><title>Keepers</title><script>var hidden = 1;</script></head>
<body><nav><a href="/a">Home</a></nav><article><h1>Keepers</h1><p>{SENTENCE}</p></article></body></html>
"""


class Site(BaseHTTPRequestHandler):
    """One page."""

    def do_GET(self):
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def agentloop():
    """Return a function that runs the command that was installed."""
    command = Path(FOLDER).absolute() / "bin" / "agentloop"
    if not command.exists():
        log = (Path(FOLDER) / "log").read_text()
        if "Retrying (Retry(total=0" in log:
            pytest.skip("pip can reach no index of packages from here, so it could install nothing")
        pytest.fail(f"pip could not install the wheel:\n{log}")

    def agentloop(*arguments):
        return subprocess.run(
            [command, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )

    return agentloop


@pytest.mark.usefixtures("agentloop")
def test_what_was_installed_is_what_the_locks_name():
    locked = set(re.findall(r"sha256:([0-9a-f]{64})", (ROOT / "requirements" / "dev.txt").read_text()))
    report = json.loads((Path(FOLDER) / "report").read_text())
    installed = {each["metadata"]["name"]: each["download_info"] for each in report["install"]}
    hashes = {name: info["archive_info"]["hash"].removeprefix("sha256=") for name, info in installed.items()}
    ours = [name for name, info in installed.items() if info["url"].startswith("file:") and hashes[name] not in locked]
    assert len(ours) == 1
    assert {name for name in hashes if hashes[name] not in locked} == set(ours)


def test_every_pack_can_be_opened_and_what_its_tools_import_is_there(agentloop):
    checked = agentloop("packs", "--check", "--json")
    failures = {pack["name"]: pack["failure"] for pack in json.loads(checked.stdout)}
    assert failures == dict.fromkeys(failures, "")
    assert len(failures) == 11
    assert checked.returncode == 0


def test_a_page_is_fetched_and_its_text_is_found(agentloop):
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        arguments = json.dumps({"url": f"http://{host}/"})
        fetched = agentloop(
            "tools", "call", "web.fetch", arguments, "--pack", f"web:allow={host}", "--yes", "web.fetch"
        )
        server.shutdown()
        thread.join(10)
    assert fetched.returncode == 0, fetched.stderr
    assert SENTENCE in fetched.stdout
    assert "hidden" not in fetched.stdout
