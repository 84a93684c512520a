"""Fits a conversation into a model's window: what is sent gets shorter, the transcript never does. Pure.

A turn is what a user said, or what the model replied together with the results of its calls. When room runs out, large
results of old turns are shortened first, then whole turns are left out, oldest first. What stays in any case: system
messages, the first user message, the one with which the run began, the latest one, and the latest turn.

Tokens are estimated: a quarter of a text's bytes, so that scripts which take more tokens a letter count for more, a few
for what surrounds each item, and a fixed number for an image. `window` corrects that by what an endpoint reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import assert_never

from agentloop.items import Image, Item, Message, Opaque, Reasoning, Text, ToolCall, ToolResult

BYTES_A_TOKEN = 4
TOKENS_AN_ITEM = 4
TOKENS_AN_IMAGE = 1000
OLD_RESULT_CHARACTERS = 2000
RESULT_CHARACTERS = (16_000, 8000, 4000, 2000, 1000)
"""To how much other results are shortened, as far as it takes."""

LEFT_OUT = Message("assistant", "[What was said here is left out.]")

_CUT_MARK = "\n[... {} characters left out ...]\n"
_IMAGES_MARK = "\n[images left out: {}]"


@dataclass(frozen=True, slots=True)
class TrimmedConversation:
    """What of a conversation is sent.

    Attributes:
        items: In their order; what did not change is the very same object.
        dropped: How many turns were left out, in whole or but for what must stay.
        shortened: How many of the results that are left were shortened.
        left_out: The items of the turns that were left out.
    """

    items: Sequence[Item]
    dropped: int = 0
    shortened: int = 0
    left_out: Sequence[Item] = ()


def measure(item: Item) -> int:
    """Return about how many tokens an item takes."""
    return TOKENS_AN_ITEM + _measure_content(item)


def fit(items: Sequence[Item], *, tokens: int, start: int = 0) -> TrimmedConversation:
    """Return what of the items is to be sent, so that they take at most so many tokens.

    What must stay may take more; then it is all that is left.

    Args:
        items: The whole conversation.
        tokens: The room there is, as `measure` counts.
        start: Where the run began, after the history that it was given.
    """
    draft = _Draft(items, start)
    draft.shorten_latest(tokens)
    draft.shorten_old(tokens)
    draft.drop_old(tokens)
    return draft.finish()


def shorten_results(items: Sequence[Item], characters: int, *, start: int = 0) -> TrimmedConversation:
    """Return the items with every result of a tool shortened to so many characters, and images in the latest ones only.

    Args:
        items: The whole conversation.
        characters: How long a result may be.
        start: Where the run began, after the history that it was given.
    """
    draft = _Draft(items, start)
    draft.shorten_all(characters)
    return draft.finish()


def cut(text: str, characters: int) -> str:
    """Return a text shortened to so many characters, with its head and its tail and a word on what is missing."""
    if len(text) <= characters:
        return text
    room = characters - len(_CUT_MARK.format(len(text)))
    tail = room // 3
    return text[: room - tail] + _CUT_MARK.format(len(text) - room) + text[len(text) - tail :]


def split_turns(items: Sequence[Item]) -> list[range]:
    """Return where each turn begins and ends; a call and its result are always in one."""
    turns: list[range] = []
    begin = bound = 0
    bounds = _answered_at(items)
    for at, item in enumerate(items):
        if at > max(begin, bound) and _begins_turn(item, items[at - 1]):
            turns.append(range(begin, at))
            begin = at
        bound = max(bound, bounds.get(at, 0))
    return [*turns, range(begin, len(items))] if items else []


def mark_gaps(items: Sequence[Item], whole: Sequence[Item]) -> list[Item]:
    """Return the items with a word between two messages of the user where what lay between is left out.

    Templates of Mistral and Gemma refuse two of them in a row.

    Args:
        items: What is left of the conversation.
        whole: The whole conversation.
    """
    in_a_row = {(id(one), id(two)) for one, two in pairwise(whole)}
    marked = list(items[:1])
    for one, two in pairwise(items):
        if is_from_user(one) and is_from_user(two) and (id(one), id(two)) not in in_a_row:
            marked.append(LEFT_OUT)
        marked.append(two)
    return marked


def is_from_user(item: Item) -> bool:
    """Tell whether an item is something that the user said."""
    return isinstance(item, Message) and item.role == "user"


def describe_largest(items: Iterable[Item], *, most: int = 3) -> str:
    """Return in words which parts of a conversation are large: `the result of read_file (1.40 MB), ...`.

    Those that are left out take less than a tenth of the largest.
    """
    names: dict[str, str] = {}
    parts: list[tuple[int, str]] = []
    for item in items:
        if isinstance(item, ToolCall):
            names[item.call_id] = item.name
        parts += _describe_parts(item, names)
    largest = sorted(parts, key=lambda part: -part[0])[:most]
    return ", ".join(f"{what} ({size / 1e6:.2f} MB)" for size, what in largest if size * 10 >= largest[0][0])


class _Draft:
    """A conversation that is being made shorter, item by item; None stands for one that is left out."""

    def __init__(self, items: Sequence[Item], start: int) -> None:
        turns = split_turns(items)
        latest = _find_latest(items, turns, start)
        self._before = items
        self._items: list[Item | None] = list(items)
        self._sizes = [measure(item) for item in items]
        self._old = turns[:latest]
        self._latest = [at for turn in turns[latest:] for at in turn]
        self._staying = _find_staying(items, start)
        self._dropped = 0

    def shorten_latest(self, tokens: int) -> None:
        """Shorten the results of the latest turn, if what must stay would take more than all the room."""
        staying = self._staying | set(self._latest)
        excess = sum(self._sizes[at] for at in staying) - tokens
        for characters in RESULT_CHARACTERS:
            for at in self._latest:
                if excess > 0:
                    excess -= self._shorten(at, characters, images=True)

    def shorten_old(self, tokens: int) -> None:
        """Shorten results of the other turns, oldest first, until there is room."""
        excess = sum(self._sizes) - tokens
        for turn in self._old:
            for at in turn:
                if excess > 0:
                    excess -= self._shorten(at, OLD_RESULT_CHARACTERS, images=False)

    def shorten_all(self, characters: int) -> None:
        """Shorten all results, and leave out the images of old ones."""
        for turn in self._old:
            for at in turn:
                self._shorten(at, characters, images=False)
        for at in self._latest:
            self._shorten(at, characters, images=True)

    def drop_old(self, tokens: int) -> None:
        """Leave out turns, oldest first, until there is room."""
        excess = sum(self._sizes) - tokens
        for turn in self._old:
            leaving = [at for at in turn if at not in self._staying]
            if excess > 0 and leaving:
                excess -= sum(self._sizes[at] for at in leaving)
                self._dropped += 1
                for at in leaving:
                    self._items[at], self._sizes[at] = None, 0

    def finish(self) -> TrimmedConversation:
        """Return what is left."""
        pairs = list(zip(self._items, self._before, strict=True))
        kept = [new for new, _ in pairs if new is not None]
        shortened = sum(new is not None and new is not old for new, old in pairs)
        if not self._dropped and not shortened:
            return TrimmedConversation(self._before)
        return TrimmedConversation(kept, self._dropped, shortened, [old for new, old in pairs if new is None])

    def _shorten(self, at: int, characters: int, *, images: bool) -> int:
        """Shorten the item if it is a long result, and return how many tokens that saves."""
        item = self._before[at]
        if not isinstance(item, ToolResult):
            return 0
        shorter = _shorten(item, characters, images=images)
        size = self._sizes[at]
        if shorter is not item:
            self._items[at], self._sizes[at] = shorter, measure(shorter)
        return size - self._sizes[at]


def _find_latest(items: Sequence[Item], turns: Sequence[range], start: int) -> int:
    """Return which turn is the latest: the last of the model's in this run, else the very last."""
    for number in reversed(range(len(turns))):
        begin = turns[number].start
        if begin > start and not _is_prompt(items[begin]):
            return number
    return max(0, len(turns) - 1)


def _find_staying(items: Sequence[Item], start: int) -> set[int]:
    """Return where the items are that stay whatever happens."""
    system = {at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "system"}
    user = [at for at, item in enumerate(items) if is_from_user(item)]
    begun = next((at for at in user if at >= start), None)
    return system | {at for at in (*user[:1], *user[-1:], begun) if at is not None}


def _answered_at(items: Sequence[Item]) -> dict[int, int]:
    """Return by the place of each call the place of its result."""
    results: dict[str, int] = {}
    answered: dict[int, int] = {}
    for at in reversed(range(len(items))):
        match items[at]:
            case ToolResult(call_id=call_id):
                results[call_id] = at
            case ToolCall(call_id=call_id) if call_id in results:
                answered[at] = results[call_id]
            case _:
                pass
    return answered


def _begins_turn(item: Item, previous: Item) -> bool:
    return not isinstance(item, ToolResult) and (
        isinstance(previous, ToolResult) or _is_prompt(item) or _is_prompt(previous)
    )


def _is_prompt(item: Item) -> bool:
    return isinstance(item, Message) and item.role != "assistant"


def _shorten(result: ToolResult, characters: int, *, images: bool) -> ToolResult:
    kept = result.images if images else ()
    note = "" if len(kept) == len(result.images) else _IMAGES_MARK.format(len(result.images))
    content = cut(result.content, characters - len(note)) + note
    return result if content == result.content else replace(result, content=content, images=kept)


def _measure_content(item: Item) -> int:
    match item:
        case Message(content=parts):
            return sum(TOKENS_AN_IMAGE if isinstance(part, Image) else measure_text(part.text) for part in parts)
        case Reasoning(text=text, encrypted=encrypted):
            return measure_text(text) + measure_text(encrypted or "")
        case ToolCall(name=name, arguments=arguments):
            return measure_text(name) + measure_text(arguments)
        case ToolResult(content=content, images=images):
            return measure_text(content) + len(images) * TOKENS_AN_IMAGE
        case Opaque(raw=raw):
            return measure_text(str(raw))
        case _:
            assert_never(item)


def measure_text(text: str) -> int:
    """Return about how many tokens a text takes."""
    return _count_bytes(text) // BYTES_A_TOKEN


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _describe_parts(item: Item, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    match item:
        case Message(role=role, content=parts):
            for part in parts:
                if isinstance(part, Text):
                    yield _count_bytes(part.text), f"a {role} message's text"
                else:
                    yield _count_bytes(part.url), f"an image of a {role} message"
        case ToolResult(call_id=call_id, content=content, images=images):
            result = f"the result of {names.get(call_id, call_id)}"
            yield _count_bytes(content), result
            yield from ((_count_bytes(image.url), f"an image in {result}") for image in images)
        case ToolCall(name=name, arguments=arguments):
            yield _count_bytes(arguments), f"the arguments for {name}"
        case Reasoning(text=text, encrypted=encrypted):
            yield _count_bytes(text) + _count_bytes(encrypted or ""), "the model's reasoning"
        case Opaque(raw=raw):
            yield _count_bytes(str(raw)), f"an item of type {raw.get('type')}"
        case _:
            assert_never(item)
