"""Packs for `check_pack`: one that keeps its word, and many that don't."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from pydantic import Field, field_validator

from agentloop import Effects, PackConfig, ToolError, ToolPack, ToolRegistry, bound_tools, tool


class DeskConfig(PackConfig):
    root: Path = Field(Path(), description="where its files are")
    loud: bool = Field(default=False, description="whether it shouts")
    names: tuple[str, ...] = Field((), description="whom it knows")


class Desk(ToolPack[DeskConfig]):
    """Keeps its word."""

    name = "desk"
    version = "1.0"

    @tool(effects=Effects(read=True), timeout=60)
    def read(self, path: str) -> str:
        """Read a file.

        Args:
            path: Which.
        """
        print("what a pack prints is no verdict")  # noqa: T201 - packs do
        os.listdir(self.config.root)  # noqa: PTH208 - another event
        return (self.config.root / path).read_text("utf-8")

    @tool(effects=Effects(write=True, destructive=True), timeout=60)
    async def remove(self, path: str) -> dict[str, bool]:
        """Remove a file.

        Args:
            path: Which.
        """
        (self.config.root / path).unlink()
        return {"removed": True}

    @tool(effects=Effects(write=True, own_store=True), timeout=60)
    def note(self, text: str) -> int:
        """Keep a text.

        Args:
            text: Which.
        """
        connection = sqlite3.connect(self.config.root / "notes.db")
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text)")
        connection.execute("INSERT INTO notes VALUES (?)", (text,))
        connection.commit()
        connection.close()
        return 1

    @tool(effects=Effects(execute=True), timeout=60)
    def run(self) -> str:
        """Run a program that does nothing."""
        done = subprocess.run([sys.executable, "-S", "-c", "print(1)"], capture_output=True, check=True, timeout=60)
        return done.stdout.decode()

    @tool(effects=Effects())
    def think(self) -> str:
        """Use what is loaded once, and memory."""
        loaded = load_once(self.config.root / "a.txt")
        connection = sqlite3.connect(":memory:")
        connection.close()
        Path(os.devnull).write_text("x", "utf-8")
        Path(os.devnull).read_text("utf-8")
        os.close(os.dup(1))
        with open(os.dup(1), "wb"):  # noqa: PTH123 - a number
            pass
        return loaded


@cache
def load_once(path):
    return path.read_text("utf-8")


class Nameless(ToolPack):
    name = "9 lives"
    api = 99

    @asynccontextmanager
    async def open(self):
        yield []


class Sloppy(ToolPack):
    """Says too little of its tools."""

    name = "sloppy"

    @tool(timeout=60)
    def undescribed(self, text: str) -> str:
        return text

    @tool(effects=Effects(), strict=False)
    def loose(self, values: dict[str, int]) -> str:
        """Take anything.

        Args:
            values: Whatever.
        """
        return str(values)

    @tool(effects=Effects(), timeout=60, name="sloppy")
    def other(self) -> str:
        """Say."""
        return ""

    @asynccontextmanager
    async def open(self):
        tools = bound_tools(self)
        yield [*tools, tools[-1]]


class Liar(ToolPack):
    """Does more than it says."""

    name = "liar"

    @tool(effects=Effects(), timeout=60)
    def reads(self) -> str:
        """Read."""
        return (
            Path(__file__).with_name("conftest.py").with_suffix("").as_posix()
            + str(Path("/etc/hosts").exists())
            + (Path("notes.txt").read_text("utf-8"))
        )

    @tool(effects=Effects(read=True), timeout=60)
    def writes(self) -> str:
        """Write."""
        Path("notes.txt").write_text("x", "utf-8")
        return ""

    @tool(effects=Effects(read=True), timeout=60)
    def makes(self) -> str:
        """Write otherwise."""
        Path("folder").mkdir(exist_ok=True)
        return ""

    @tool(effects=Effects(), timeout=60)
    def stores(self) -> str:
        """Keep."""
        sqlite3.connect("notes.db").close()
        return ""

    @tool(effects=Effects(read=True), timeout=60)
    def calls(self) -> str:
        """Call."""
        with socket.socket() as connection:
            connection.connect_ex(("127.0.0.1", 9))
        return ""

    @tool(effects=Effects(read=True, write=True, network=True), timeout=60)
    async def runs(self) -> str:
        """Run."""
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "")
        await process.wait()
        return ""

    @tool(timeout=60)
    def silent(self) -> str:
        """Say nothing of effects."""
        Path("notes.txt").write_text("x", "utf-8")
        return ""


class Broken(ToolPack):
    """Fails in every way."""

    name = "broken"

    @tool(effects=Effects(), timeout=0.05)
    async def slow(self) -> str:
        """Take long."""
        await asyncio.sleep(60)
        return ""

    @tool(effects=Effects(), timeout=60)
    def large(self) -> str:
        """Make much."""
        return "x" * 300_000

    @tool(effects=Effects(), timeout=60)
    def strange(self) -> object:
        """Return what is no JSON."""
        return object()

    @tool(effects=Effects(), timeout=60)
    def refuses(self, number: int) -> str:
        """Refuse.

        Args:
            number: Any.
        """
        raise ToolError(f"not {number}")


class Leaky(ToolPack):
    name = "leaky"

    @asynccontextmanager
    async def open(self):
        self.task = asyncio.create_task(asyncio.sleep(60))
        yield self.tools()
        raise OSError("no way out")

    @tool(effects=Effects(), timeout=60)
    def fine(self) -> str:
        """Work."""
        return ""


class OddConfig(PackConfig):
    undescribed: int = 1
    growing: str = Field("", description="longer each time")

    @field_validator("growing")
    @classmethod
    def grow(cls, value: str) -> str:
        return value + "!"


class Odd(ToolPack[OddConfig]):
    name = "odd"
    tools = Leaky.tools

    @tool(effects=Effects(), timeout=60)
    def fine(self) -> str:
        """Work."""
        return ""


class PickyConfig(PackConfig):
    number: int = Field(1, description="no text", strict=True)


class Picky(ToolPack[PickyConfig]):
    name = "picky"

    @tool(effects=Effects(), timeout=60)
    def fine(self) -> str:
        """Work."""
        return ""


class Deadly(ToolPack):
    name = "deadly"

    @tool(effects=Effects(), timeout=60)
    def die(self) -> str:
        """End the process."""
        os._exit(3)


class Undead(ToolPack):
    name = "undead"

    @tool(effects=Effects(), timeout=60)
    def stay(self) -> str:
        """Leave a thread that does not end."""
        threading.Thread(target=threading.Event().wait, daemon=False).start()
        return ""


class Lingering(ToolPack):
    name = "lingering"

    @tool(effects=Effects(), timeout=60)
    def stay(self) -> str:
        """Leave a thread that ends with the process only."""
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return ""


registry = ToolRegistry()
