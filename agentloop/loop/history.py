"""Repairs a conversation that a user gives: every call gets one result, directly behind the calls of its turn.

A history may be a part of another one (`result.items[-5:]`), or several in one. Servers refuse a result without its
call, a call without its result, and a call id that is empty or occurs twice. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agentloop.items import Item, Message, ToolCall, ToolResult

_NOT_RUN = "Not run: the conversation went on without it."
_SHOWN_IDS, _SHOWN_CHARACTERS = 3, 40


@dataclass(frozen=True, slots=True)
class RepairedHistory:
    """A conversation that a server accepts.

    Attributes:
        items: The items.
        start: The index of the first message that is not history.
        repairs: What was left out, moved or renamed, one sentence each.
    """

    items: tuple[Item, ...]
    start: int
    repairs: tuple[str, ...] = ()


def repair_history(items: Sequence[Item], start: int) -> RepairedHistory:
    """Return the items with exactly one result for each call.

    Args:
        items: The history, and the items after it.
        start: How many of the items are history.
    """
    if _is_whole(items):
        return RepairedHistory(tuple(items), start)
    pairs = _Pairs(items)
    repaired = _Writer(items, pairs, start)
    return RepairedHistory(tuple(repaired.items), repaired.start, tuple(pairs.describe()))


def _is_whole(items: Iterable[Item]) -> bool:
    seen: set[str] = set()
    waiting: set[str] = set()
    for item in items:
        match item:
            case ToolCall(call_id=call_id):
                if call_id in seen or not call_id:
                    return False
                seen.add(call_id)
                waiting.add(call_id)
            case ToolResult(call_id=call_id):
                if call_id not in waiting:
                    return False
                waiting.remove(call_id)
            case Message() if waiting and _ends_turn(item):
                return False
            case _:
                pass
    return not waiting


def _ends_turn(item: Item) -> bool:
    return isinstance(item, Message) and item.role != "assistant"


def find_exchange(items: Sequence[Item], start: int) -> int:
    """Return the index where the current exchange begins: at the last question, with the messages directly before it.

    Earlier exchanges may stand in the history or in the input, which is for the user to choose.

    Args:
        items: The conversation.
        start: How many of the items are history.
    """
    questions = (at for at in reversed(range(len(items))) if _is_question(items[at]))
    begin = next(questions, start)
    while begin > start and _ends_turn(items[begin - 1]):
        begin -= 1
    return begin


def _is_question(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "user"


class _Pairs:
    """Finds the result of each call.

    Attributes:
        results: The results, by the index of the call.
        ids: The new ids of calls that have none, or that of an earlier call, by the index of the call.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.results: dict[int, ToolResult] = {}
        self.ids: dict[int, str] = {}
        self._calls: dict[str, list[int]] = {}  # all calls with an id
        self._turns: dict[int, int] = {}
        self._early: dict[str, ToolResult] = {}  # results that stand before their call
        self._moved: list[str] = []
        self._repeated: list[str] = []
        self._open: list[str] = []
        taken = {item.call_id for item in items if isinstance(item, ToolCall)}
        turn = 0
        for at, item in enumerate(items):
            if isinstance(item, ToolCall):
                self._add_call(at, item, turn, taken)
            elif isinstance(item, ToolResult):
                self._add_result(item)
            elif _ends_turn(item):
                turn += 1
        self._find_early(turn)

    def describe(self) -> Iterable[str]:
        """Yield a sentence for each kind of repair."""
        kinds: Mapping[str, Collection[str]] = {
            "results without a call are left out": self._early,
            "results that came twice are left out": self._repeated,
            "results that stood before their calls are moved": self._moved,
            "calls without an id of their own have new ids": self.ids.values(),
            "calls without a result are answered with: not run": self._open,
        }
        for words, call_ids in kinds.items():
            if call_ids:
                yield f"in the history, {words}: {_show(call_ids)}"

    def _add_call(self, at: int, call: ToolCall, turn: int, taken: set[str]) -> None:
        others = self._calls.setdefault(call.call_id, [])
        if others or not call.call_id:
            base, number = call.call_id or "call", len(others) + 1
            while f"{base}_{number}" in taken:
                number += 1
            self.ids[at] = f"{base}_{number}"
            taken.add(self.ids[at])
        others.append(at)
        self._turns[at] = turn

    def _add_result(self, result: ToolResult) -> None:
        calls = self._calls.get(result.call_id)
        if calls is None:
            if result.call_id in self._early:
                self._repeated.append(result.call_id)
            self._early.setdefault(result.call_id, result)
            return
        last = self._turns[calls[-1]]
        waiting = [at for at in calls if at not in self.results]
        # Of calls with the same id, the first one of the latest turn is meant.
        at = next((at for at in waiting if self._turns[at] == last), waiting[-1] if waiting else None)
        if at is None:
            self._repeated.append(result.call_id)
        else:
            self.results[at] = result

    def _find_early(self, last_turn: int) -> None:
        for call_id, calls in self._calls.items():
            for at in calls:
                if at in self.results:
                    continue
                if call_id in self._early:
                    self.results[at] = self._early.pop(call_id)
                    self._moved.append(call_id)
                elif self._turns[at] + 1 < last_turn:  # the calls before the last question may have waited for approval
                    self._open.append(call_id)


class _Writer:
    """Writes the items in their new order.

    Attributes:
        items: The items.
        start: The index of the first message that is not history.
    """

    def __init__(self, items: Sequence[Item], pairs: _Pairs, start: int) -> None:
        self.items: list[Item] = []
        self.start = -1
        self._pairs = pairs
        self._owed: list[tuple[int, str]] = []
        for at, item in enumerate(items):
            if isinstance(item, ToolResult) or _ends_turn(item):
                self._write_results()
            if isinstance(item, ToolResult):
                continue
            if at >= start and self.start < 0:
                self.start = len(self.items)
            if isinstance(item, ToolCall):
                call_id = pairs.ids.get(at, item.call_id)
                self._owed.append((at, call_id))
                self.items.append(item if call_id == item.call_id else replace(item, call_id=call_id))
            else:
                self.items.append(item)
        self._write_results()
        self.start = len(self.items) if self.start < 0 else self.start

    def _write_results(self) -> None:
        for at, call_id in self._owed:
            result = self._pairs.results.get(at) or ToolResult(call_id, _NOT_RUN, ok=False)
            self.items.append(result if call_id == result.call_id else replace(result, call_id=call_id))
        self._owed = []


def _show(call_ids: Iterable[str]) -> str:
    shown = [call_id[:_SHOWN_CHARACTERS] for call_id in call_ids]
    return ", ".join(shown[:_SHOWN_IDS]) + (", ..." if len(shown) > _SHOWN_IDS else "")
