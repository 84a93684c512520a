"""Fits a conversation into a model's context window. Only the sent items get shorter, not the transcript. Pure.

A turn is a user's message, or a model's reply with the results of its calls. If the items take too many tokens, large
results of old turns are shortened first; then whole turns are left out, the oldest first. These items always stay:
system messages, the first user message, the user message that started the run, the latest one, and the latest turn.

Tokens are estimated: a quarter of a text's bytes (scripts with more tokens per letter also have more bytes per letter),
a few tokens per item, and a fixed number per image. `window` corrects the estimate by what an endpoint reports.
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
"""The lengths that results of the latest turn are shortened to, one after the other, until they fit."""

LEFT_OUT = Message("assistant", "[Some messages are left out here.]")

_CUT_MARK = "\n[... {} characters left out ...]\n"
_IMAGES_MARK = "\n[images left out: {}]"


@dataclass(frozen=True, slots=True)
class TrimmedConversation:
    """The part of a conversation that is sent.

    Attributes:
        items: The items in order; an item that did not change is the same object.
        dropped: How many turns were left out, except for items that must stay.
        shortened: How many of the remaining results were shortened.
        left_out: The items that were left out.
    """

    items: Sequence[Item]
    dropped: int = 0
    shortened: int = 0
    left_out: Sequence[Item] = ()


def measure(item: Item) -> int:
    """Return an estimate of the tokens of an item."""
    state = None if isinstance(item, ToolResult) else item.state
    return TOKENS_AN_ITEM + _measure_content(item) + (measure_text(str(state.fields)) if state else 0)


def fit(items: Sequence[Item], *, tokens: int, start: int = 0) -> TrimmedConversation:
    """Return the items to send, so that they take at most `tokens` tokens.

    If the items that must stay take more, the result has only these.

    Args:
        items: The whole conversation.
        tokens: The number of tokens available, as `measure` counts them.
        start: The index of the run's first item, after its history.
    """
    draft = _Draft(items, start)
    draft.shorten_latest(tokens)
    draft.shorten_old(tokens)
    draft.drop_old(tokens)
    return draft.finish()


def shorten_results(items: Sequence[Item], characters: int, *, start: int = 0) -> TrimmedConversation:
    """Return the items with every tool result shortened, and with images only in the results of the latest turn.

    Args:
        items: The whole conversation.
        characters: The greatest length of a result.
        start: The index of the run's first item, after its history.
    """
    draft = _Draft(items, start)
    draft.shorten_all(characters)
    return draft.finish()


def cut(text: str, characters: int) -> str:
    """Return a text shortened to a number of characters: its head, a note on what is left out, and its tail."""
    if len(text) <= characters:
        return text
    room = characters - len(_CUT_MARK.format(len(text)))
    tail = room // 3
    return text[: room - tail] + _CUT_MARK.format(len(text) - room) + text[len(text) - tail :]


def split_turns(items: Sequence[Item]) -> list[range]:
    """Return the indexes of each turn; a call and its result are always in the same turn."""
    turns: list[range] = []
    begin = bound = 0  # no turn begins before `bound`, the index of the last result of the calls so far
    bounds = _find_result_indexes(items)
    for at, item in enumerate(items):
        if at > max(begin, bound) and _begins_turn(item, items[at - 1]):
            turns.append(range(begin, at))
            begin = at
        bound = max(bound, bounds.get(at, 0))
    return [*turns, range(begin, len(items))] if items else []


def mark_gaps(items: Sequence[Item], whole: Sequence[Item]) -> list[Item]:
    """Return the items with a short message between two user messages if the items between them were left out.

    The chat templates of Mistral and Gemma refuse two user messages in a row.

    Args:
        items: The items that were not left out.
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
    """Tell whether an item is a message of the user."""
    return isinstance(item, Message) and item.role == "user"


def describe_largest(items: Iterable[Item], *, most: int = 3) -> str:
    """Return in words which parts of a conversation are large: `the result of read_file (1.40 MB), ...`.

    At most `most` parts are named, and only those with at least a tenth of the largest part's size.
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
    """A conversation that is shortened item by item; None takes the place of an item that is left out."""

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
        """Shorten the results of the latest turn, if the items that must stay take more than `tokens`."""
        staying = self._staying | set(self._latest)
        excess = sum(self._sizes[at] for at in staying) - tokens
        for characters in RESULT_CHARACTERS:
            for at in self._latest:
                if excess > 0:
                    excess -= self._shorten(at, characters, images=True)

    def shorten_old(self, tokens: int) -> None:
        """Shorten results of the other turns, the oldest first, until all items fit."""
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
        """Leave out turns, the oldest first, until all items fit."""
        excess = sum(self._sizes) - tokens
        for turn in self._old:
            leaving = [at for at in turn if at not in self._staying]
            if excess > 0 and leaving:
                excess -= sum(self._sizes[at] for at in leaving)
                self._dropped += 1
                for at in leaving:
                    self._items[at], self._sizes[at] = None, 0

    def finish(self) -> TrimmedConversation:
        """Return the shortened conversation."""
        pairs = list(zip(self._items, self._before, strict=True))
        kept = [new for new, _ in pairs if new is not None]
        shortened = sum(new is not None and new is not old for new, old in pairs)
        if not self._dropped and not shortened:
            return TrimmedConversation(self._before)
        return TrimmedConversation(kept, self._dropped, shortened, [old for new, old in pairs if new is None])

    def _shorten(self, at: int, characters: int, *, images: bool) -> int:
        """Shorten the item if it is a long result, and return the number of saved tokens."""
        item = self._before[at]
        if not isinstance(item, ToolResult):
            return 0
        shorter = _shorten(item, characters, images=images)
        size = self._sizes[at]
        if shorter is not item:
            self._items[at], self._sizes[at] = shorter, measure(shorter)
        return size - self._sizes[at]


def _find_latest(items: Sequence[Item], turns: Sequence[range], start: int) -> int:
    """Return the index of the latest turn: the model's last turn in this run, or the last turn if it has none."""
    for number in reversed(range(len(turns))):
        begin = turns[number].start
        if begin > start and not _is_prompt(items[begin]):
            return number
    return max(0, len(turns) - 1)


def _find_staying(items: Sequence[Item], start: int) -> set[int]:
    """Return the indexes of the items that always stay."""
    system = {at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "system"}
    user = [at for at, item in enumerate(items) if is_from_user(item)]
    begun = next((at for at in user if at >= start), None)
    return system | {at for at in (*user[:1], *user[-1:], begun) if at is not None}


def _find_result_indexes(items: Sequence[Item]) -> dict[int, int]:
    """Return the index of each call's result, by the index of the call."""
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
    """Return an estimate of the tokens of a text."""
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
