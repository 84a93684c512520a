"""An MCP server on standard input and output that needs nothing but Python, and misbehaves on request.

The words after its name say how: `mute` never answers, `listless` not when asked for its tools, `dies` ends at once,
`leaves` ends then, `endless` lists pages without end, `many` large ones, `few` small ones, `stubborn` does not end, nor
at a polite signal when `deaf`. A word that begins with `{` is JSON whose
fields replace those of the tool `echo`; one that begins with `@` is a file with one further word.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

WORDS = [Path(word[1:]).read_text("utf-8") if word.startswith("@") else word for word in sys.argv[1:]]
TEXT = {"type": "object", "properties": {"text": {"type": "string", "description": "Any text."}}, "required": ["text"]}
NUMBERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
NOTHING = {"type": "object", "properties": {}}
ECHO = {
    "name": "echo",
    "description": "Return the text.",
    "inputSchema": TEXT,
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
CACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
PARTS = [
    {"type": "text", "text": "first"},
    {"type": "image", "data": PIXEL, "mimeType": "image/png"},
    {"type": "image", "data": "AAAA", "mimeType": "image/tiff"},
    {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
    {"type": "resource", "resource": {"uri": "memo:1", "text": "a memo"}},
    {"type": "resource", "resource": {"uri": "memo:2", "blob": "AAAA", "mimeType": "application/zip"}},
    {"type": "resource_link", "uri": "memo:3", "name": "third"},
]
cancelled = []
pages = []


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def text(words):
    return {"resultType": "complete", "content": [{"type": "text", "text": words}]}


def add(arguments):
    total = {"sum": arguments["a"] + arguments["b"]}
    return text(f"The sum is {total['sum']}") | {"structuredContent": total}


def flood(_):
    for _ in range(1_000):
        sys.stdout.write("x" * 100_000)
    sys.stdout.flush()


def start(_):
    """Start a child in a session of its own that is deaf to a polite signal."""
    child = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    return text(str(child.pid))


def babble(_):
    say("this is no JSON")
    say(json.dumps({"jsonrpc": "2.0", "method": "notifications/unheard_of"}))
    return text("done")


def ping(_):
    """Ask without end, and take no answer."""
    for number in range(6_000):
        say(json.dumps({"jsonrpc": "2.0", "id": f"ping {number}", "method": "ping"}))
    time.sleep(600)


TOOLS = {
    "echo": lambda arguments: text(arguments["text"]),
    "add": add,
    "parts": lambda _: {"content": PARTS},
    "fails": lambda _: text("the disk is full") | {"isError": True},
    "hangs": lambda _: None,
    "crashes": lambda _: os._exit(3),
    "floods": flood,
    "starts": start,
    "environment": lambda _: text(json.dumps(dict(os.environ))),
    "cancellations": lambda _: text(json.dumps(cancelled)),
    "babbles": babble,
    "pings": ping,
    "misses": lambda _: {"contents": 3},
    "refuses": lambda _: {"error": {"code": -32000, "message": "not \u200btoday"}},
    "asks": lambda _: {"resultType": "input_required", "requestState": "x", "inputRequests": {}},
}


def list_tools():
    changed = next((json.loads(word) for word in WORDS if word.startswith("{")), {})
    yield ECHO | changed
    yield {"name": "add", "description": "Add two numbers.", "inputSchema": NUMBERS}
    for name in list(TOOLS)[2:]:
        yield {"name": name, "inputSchema": NOTHING}
    if "extra" in WORDS:
        yield {"name": "extra", "description": "Read me first.", "inputSchema": TEXT}
    if "clash" in WORDS:
        yield {"name": "ec/ho", "inputSchema": TEXT}
        yield {"name": "ec.ho", "inputSchema": TEXT}


def list_page(params):
    tools = list(list_tools())
    start_at = int(params.get("cursor") or 0)
    if "endless" in WORDS:
        if {"many", "few"} & {*WORDS}:
            pages.append(start_at)
        if len(pages) > 5:
            os._exit(1)  # nobody needed so many
        return {"tools": tools * 20 if "many" in WORDS else tools * ("few" in WORDS), "nextCursor": "0"} | CACHED
    more = {"nextCursor": str(start_at + 5)} if start_at + 5 < len(tools) else {}
    return {"tools": tools[start_at : start_at + 5]} | more | CACHED


def answer(message):
    params = message.get("params", {})
    match message["method"]:
        case "initialize":
            names = {"protocolVersion": params["protocolVersion"], "serverInfo": {"name": "plain", "version": "1"}}
            return {"capabilities": {"tools": {}}} | names
        case "server/discover" if "modern" in WORDS:
            return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}} | CACHED
        case "tools/list":
            if "leaves" in WORDS:
                sys.exit("not today")
            return None if "listless" in WORDS else list_page(params)
        case "tools/call":
            return TOOLS[params["name"]](params.get("arguments", {}))
        case "notifications/cancelled":
            cancelled.append(params["requestId"])
            return None
        case _:
            return {"error": {"code": -32601, "message": "no such method"}} if "id" in message else None


def say_farewell():
    if "FAREWELL" in os.environ:
        Path(os.environ["FAREWELL"]).write_text("farewell")
    sys.exit()


def main():
    if "dies" in WORDS:
        sys.exit("the \x1b[31mkey\u200b is missing")
    if "stubborn" in WORDS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in WORDS else lambda *_: say_farewell())
    for line in sys.stdin:
        message = json.loads(line)
        result = None if "mute" in WORDS else answer(message)
        if result is not None:
            key = "error" if "error" in result else "result"
            say(json.dumps({"jsonrpc": "2.0", "id": message["id"], key: result.get("error", result)}))
    if "stubborn" in WORDS:
        time.sleep(600)


if __name__ == "__main__":
    main()
