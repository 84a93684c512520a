"""Rules and people see the arguments of a call as the tool will receive them."""

import io
import json
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
    model_serializer,
)

from agentloop import Agent, Approve, Effects, Policy, Reject, tool
from agentloop.cli.approvals.dialog import Dialog
from agentloop.policy import ApprovalRequest
from agentloop.testing import ScriptedEndpoint, call

WRITES = Effects(write=True)


class Order(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    item: str
    ship_to: str = Field(default="", exclude=True)
    paid_by: str = Field(default="me", alias="payer", serialization_alias="harmless")
    also: str = Field(default="", validation_alias=AliasChoices("cc", "copy"))
    note: str = ""

    @field_serializer("note")
    def _hide(self, _note: str) -> str:
        return "nothing"

    @computed_field
    @property
    def friendly(self) -> str:
        return "yes"


class Odd(BaseModel):
    path: str

    @model_serializer
    def _write(self) -> str:
        return "odd"


class Names(RootModel[list[Order]]):
    pass


@dataclass
class Point:
    x: int
    hidden: int = field(default=0, repr=False)


class Color(Enum):
    RED = "red"


class Handle:
    def __init__(self, path: str) -> None:
        self.path = path


class Plain:
    __slots__ = ()

    def __str__(self) -> str:
        return "plain"


async def ask(function, arguments, **rules):
    """Let a model call a function; return the requests that a person got, and what the model was told."""
    asked = []

    async def person(request):
        asked.append(request)
        return Approve()

    endpoint = ScriptedEndpoint([call(function.__name__, arguments), "done"])
    made = tool(effects=WRITES, strict=False)(function)
    result = await Agent("m", endpoint=endpoint, tools=[made], policy=Policy(approver=person, **rules)).run("go")
    return asked, result.items[2].content


def buy(order: Order) -> str:
    """Buy."""
    return f"{order.item} to {order.ship_to} paid by {order.paid_by}, {order.also}, {order.note}"


ORDER = {"item": "tea", "ship_to": "mallory", "payer": "anna", "cc": "otto", "note": "evil", "extra": [1]}


async def test_a_person_sees_each_field_by_the_name_and_with_the_value_that_the_tool_reads():
    [request], told = await ask(buy, {"order": ORDER})
    assert told == "tea to mallory paid by anna, otto, evil"
    order = {"item": "tea", "ship_to": "mallory", "paid_by": "anna", "also": "otto", "note": "evil", "extra": [1]}
    assert request.arguments == {"order": order}


@pytest.mark.parametrize("word", ["mallory", "anna", "otto", "evil"])
async def test_a_rule_sees_them_too(word):
    asked, told = await ask(buy, {"order": ORDER}, deny=(f"buy(order=*{word}*)",))
    assert asked == []
    assert "not allowed with this `order`" in told


def take(
    odd: Odd | None = None,
    names: Names | None = None,
    point: Point | None = None,
    by_day: dict[date, Order] | None = None,
    several: set[str] | None = None,
) -> str:
    """Take."""
    return "taken"


def hold(
    queue: deque[Point] | None = None,
    color: Color | None = None,
    data: bytes = b"x",
    handle: Annotated[Any, BeforeValidator(lambda path: path if isinstance(path, Handle) else Handle(path))] = None,
    plain: Annotated[Any, AfterValidator(lambda _: Plain())] = None,
) -> str:
    """Hold."""
    return "taken"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"odd": {"path": "/etc"}}, {"path": "/etc"}),
        ({"names": [{"item": "a", "ship_to": "b"}]}, None),
        ({"point": {"x": 1, "hidden": 2}}, {"x": 1, "hidden": 2}),
        ({"by_day": {"2026-01-02": {"item": "a"}}}, None),
        ({"several": ["b", "c", "a", "a"]}, ["a", "b", "c"]),
        ({"queue": [{"x": 1}]}, [{"x": 1, "hidden": 0}]),
        ({"color": "red"}, "red"),
        ({"data": "abc"}, "abc"),
        ({"handle": "/etc/passwd"}, {"path": "/etc/passwd"}),
        ({"plain": 1}, "plain"),
    ],
    ids=lambda given: str(given)[:20],
)
async def test_every_kind_of_value_is_seen(given, seen):
    [request], told = await ask(take if given.keys() <= take.__annotations__.keys() else hold, given)
    assert told == "taken"
    [name] = given
    if seen is None:
        assert json.dumps(request.arguments[name]).count('"item"') == 1
        assert "ship_to" in json.dumps(request.arguments[name])
    else:
        assert request.arguments[name] == seen


def log_in(user: str, password: SecretStr, pin: Secret[int] | None = None, key: SecretBytes | None = None) -> str:
    """Log in."""
    return f"{user} {password.get_secret_value()}"


async def test_a_secret_is_shown_as_its_length_and_compared_as_it_is():
    given = {"user": "anna", "password": "hunter2", "key": "kkk"}
    [request], told = await ask(log_in, given)
    assert told == "anna hunter2"
    assert request.arguments == {
        "user": "anna",
        "password": "••• (7 characters)",
        "pin": None,
        "key": "••• (3 characters)",
    }
    assert "hunter2" not in repr(request.received)
    asked, told = await ask(log_in, given, deny=("log_in(password=hunter*)",))
    assert (asked, "not allowed" in told) == ([], True)


async def test_an_approval_of_arguments_is_not_one_of_another_secret_of_that_length():
    asked, ran = [], []

    async def person(request):
        asked.append(request)
        return Approve(scope="arguments")

    @tool(effects=WRITES, strict=False)
    def enter(secrets: dict[SecretStr, SecretStr]) -> str:
        """Enter."""
        ran.append([each.get_secret_value() for each in secrets.values()])
        return "in"

    script = [call("enter", {"secrets": {"k": word}}, word) for word in ("aaaa", "aaaa", "bbbb")]
    await Agent("m", endpoint=ScriptedEndpoint([*script, "done"]), tools=[enter], policy=Policy(approver=person)).run(
        "go"
    )
    assert ran == [["aaaa"], ["aaaa"], ["bbbb"]]
    assert [request.call.call_id for request in asked] == ["aaaa", "bbbb"]
    assert asked[0].arguments == {"secrets": {"••• (1 characters)": "••• (4 characters)"}}


async def test_a_secret_that_a_person_leaves_as_it_is_when_they_edit_stays_the_secret(tmp_path, monkeypatch):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/anna/otto/ $1\n")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    [request], _ = await ask(log_in, {"user": "anna", "password": "hunter2"})
    with (tmp_path / "typed").open("w+") as read, (tmp_path / "shown").open("w+") as shown:
        read.write("e\n")
        read.seek(0)
        decision = Dialog(read, shown).decide(request)
        shown.seek(0)
        assert "hunter2" not in shown.read()
    assert json.loads(decision.arguments) == {"user": "otto", "password": "hunter2"}


def test_what_a_person_is_shown_of_a_secret_is_its_mask():
    shown = io.StringIO()
    received = json.dumps({"password": "••• (7 characters)"})
    request = ApprovalRequest(run_id="r", call=call("log_in", {}), tool="log_in", received=received)
    assert Dialog(io.StringIO("n\n\n"), shown).decide(request) == Reject()
    assert '  password: "••• (7 characters)"\n' in shown.getvalue()


async def test_arguments_that_are_nested_too_deeply_are_not_read():
    def nest(tree: dict[str, Any]) -> str:
        """Nest."""
        return "nested"

    tree = {}
    for _ in range(150):
        tree = {"a": tree}
    [request], _ = await ask(nest, {"tree": tree})
    assert request.arguments is None


class Ring:
    def __init__(self) -> None:
        self.next = self


async def test_an_object_that_holds_itself_is_not_read():
    def hold_ring(ring: Annotated[Any, BeforeValidator(lambda _: Ring())]) -> str:
        """Hold."""
        return "held"

    [request], told = await ask(hold_ring, {"ring": 1})
    assert (request.arguments, told) == (None, "held")


PROGRAM = """
import asyncio
from agentloop import Agent, Effects, tool
from agentloop.testing import ScriptedEndpoint, call
@tool(effects=Effects(write=True), strict=False)
def mark(words: set[str]) -> str:
    "Mark."
    return "marked"
script = [call("mark", {"words": list("abcdefgh")})]
print(asyncio.run(Agent("m", endpoint=ScriptedEndpoint(script), tools=[mark]).run("go")).approvals[0].received)
"""


def test_a_set_is_shown_in_the_same_order_in_every_process():
    shown = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "AGENTLOOP_CACHE": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1
