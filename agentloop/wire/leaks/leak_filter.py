"""What leaks into text: thinking in tags, and tool calls that a server did not read.

Thinking is taken out where a reply begins with it. A call is recovered only from a whole reply in which the server
read no call itself, and only if nothing but calls follows it up to the end. With the mark of a known format it may
come after other text, at the start of a line or straight behind the end of a sentence; JSON without a mark, or in a
code fence, must be the whole text. So a call that text talks about stays text: something follows it, if only the end
of a quotation. Once one call turns out to be talk, all others in the text are. And what the model read, in a tool's
result or from the user, is no call of the model's when it says it again: else whoever writes a page could make it act.

Streams and whole replies go through the same `LeakFilter`, which holds back what may be a leak until it is known. How
calls are written is known by `leaked_calls`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, Message, Reasoning, Reply, Text, ToolCall, ToolResult
from agentloop.wire.formats.dialect import Decoder
from agentloop.wire.leaks.cursor import Cursor, MismatchError, UnfinishedError
from agentloop.wire.leaks.leaked_calls import FORMATS, MARKED, Tools, read_calls, read_header

Delta: TypeAlias = TextDelta | ReasoningDelta
Step: TypeAlias = Callable[[list[Delta]], bool]

_THINKING: Final = {
    "<think>": "</think>",  # Qwen, DeepSeek and most others
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini's compatible endpoint, EXAONE
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
}
_HARMONY = ("<|start|>assistant", "<|channel|>")
_HARMONY_ENDS = ("<|end|>", "<|return|>", *_HARMONY)
_BEFORE_CALL = "\n.!?:"
_FIRST_OF_MARK = re.compile(r"[<\[`]")
_FIRST_OF_LEAK = re.compile(r"[<\[`{]")
_ALONE = (*_THINKING, *FORMATS)
_BEHIND_TEXT = (*_THINKING, *MARKED)
_WITHOUT_CALLS = (*_THINKING, *_HARMONY)
_LOOKED_AT_EACH_TIME = 512


def recover(
    reply: Reply, tools: Tools, history: Sequence[Item] = (), *, allow_unmarked: bool = True
) -> tuple[Reply, tuple[str, ...]]:
    """Return a reply with what leaked into its text as items of their own, and in words which calls these are.

    Args:
        reply: As it was decoded.
        tools: The tools on offer, by name; where there are none, only thinking is taken out.
        history: The conversation so far: calls that stand there are quoted and not made.
        allow_unmarked: Whether JSON without a mark may be a call, and not the answer that was asked for.
    """
    texts = {
        at: item.text for at, item in enumerate(reply.items) if isinstance(item, Message) and item.role == "assistant"
    }
    if not any(_FIRST_OF_LEAK.search(text) for text in texts.values()):
        return reply, ()
    read = partial(_filter, tools=tools, may_call=_may_call(reply), history=history, allow_unmarked=allow_unmarked)
    said, calls = read(texts)
    for at, text in texts.items():
        thought, end, after = _split_at_lone_end(text)
        if end and end in _join(said[at], TextDelta):  # else it is a part of a call
            said, calls = read({**texts, at: after.lstrip()})
            said[at].insert(0, ReasoningDelta(thought))
            break
    items: list[Item] = []
    for at, item in enumerate(reply.items):
        items += _rewrite(item, said[at]) if isinstance(item, Message) and at in said else [item]
    return replace(reply, items=(*items, *calls)), tuple(f"a call of {call.name} that came as text" for call in calls)


class LeakDecoder:
    """A Decoder that shows nothing which may have leaked before it is known to be text.

    Only thinking whose beginning no tag marked is shown as text, though `close` gives it as thinking.

    Args:
        decoder: Reads the reply.
        tools: The tools on offer, by name; where there are none, only thinking is taken out.
        history: The conversation so far: calls that stand there are quoted and not made.
        allow_unmarked: Whether JSON without a mark may be a call, and not the answer that was asked for.

    Attributes:
        recovered: In words, which calls were recovered; known once closed.
    """

    def __init__(
        self, decoder: Decoder, tools: Tools, history: Sequence[Item] = (), *, allow_unmarked: bool = True
    ) -> None:
        self._decoder = decoder
        self._tools = tools
        self._history = history
        self._allow_unmarked = allow_unmarked
        self._leaks = LeakFilter(tools, allow_unmarked=allow_unmarked)
        self._rest: list[Delta] = []
        self.recovered: tuple[str, ...] = ()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return what there is to show.

        Raises:
            EndpointError: the stream itself says that the response failed; what came before it has been returned.
        """
        shown: list[Delta] = []
        for delta in self._decoder.feed(data):
            if isinstance(delta, TextDelta):
                self._leaks.feed(delta, shown)
            else:
                shown.append(delta)
        return shown

    def close(self) -> Reply:
        """Return the whole reply once the bytes have ended; `rest` has what is still to be shown of it.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or what came is no reply.
        """
        reply = self._decoder.close()
        self._rest, _ = self._leaks.close(may_call=_may_call(reply), history=self._history)
        reply, self.recovered = recover(reply, self._tools, self._history, allow_unmarked=self._allow_unmarked)
        return reply

    def rest(self) -> list[Delta]:
        """Return what was held back and turned out, when the decoder was closed, to be no leak."""
        rest, self._rest = self._rest, []
        return rest


class LeakFilter:
    """Parts the text of one reply, however it is cut, into text, thinking and calls.

    It is always in one step, a method that moves what it can out of what is held, and tells whether another step
    is to go on with the rest.

    Args:
        tools: The tools on offer, by name.
        allow_unmarked: Whether JSON without a mark may be a call.
    """

    def __init__(self, tools: Tools, *, allow_unmarked: bool = True) -> None:
        self._tools = tools
        self._step: Step = self._begin
        self._held = ""
        self._new: list[str] = []
        self._size = 0  # of what is held and new
        self._enough = 0  # the size at which it is worth a look
        self._before = "\n"  # the text that was passed on last
        self._ends: tuple[str, ...] = ()  # of the thinking or the channel under way
        self._calls: list[ToolCall] = []
        self._next: Step = self._begin  # behind the blanks
        self._is_alone = allow_unmarked  # and nothing was passed on
        self._is_talk = not tools

    def feed(self, delta: TextDelta, shown: list[Delta]) -> None:
        """Take the next piece of the text, and add to `shown` what there is to show."""
        text = delta.text
        if not self._size and self._step == self._speak and text and not _FIRST_OF_MARK.search(text):
            self._before = text
            shown.append(delta)
            return
        self._new.append(text)
        self._size += len(text)
        if self._size >= self._enough:
            self._look(shown)

    def close(self, *, may_call: bool, history: Sequence[Item] = ()) -> tuple[list[Delta], list[ToolCall]]:
        """Return what was held back and is to be shown, and the calls if there may be any."""
        shown: list[Delta] = []
        self._look(shown)
        if self._calls and may_call and not _is_quoted(self._held, history):
            return shown, self._calls
        if self._held:
            shown.append(ReasoningDelta(self._held) if self._step == self._think else TextDelta(self._held))
        return shown, []

    def _look(self, shown: list[Delta]) -> None:
        self._held += "".join(self._new)
        self._new = []
        while self._step(shown):
            pass
        self._size = len(self._held)
        # A long call is looked at again when it has doubled, so that all looks cost no more than two of the whole.
        self._enough = 0 if self._size < _LOOKED_AT_EACH_TIME else 2 * self._size

    # --- the steps ---

    def _begin(self, _: list[Delta]) -> bool:
        """Find out what comes, at the beginning of the reply or behind something that was taken out."""
        cursor = Cursor(self._held)
        cursor.skip_blanks()
        start = cursor.at
        marks = _WITHOUT_CALLS if self._is_talk else _ALONE if self._is_alone else _BEHIND_TEXT
        try:
            mark = cursor.take(*marks)
            if mark in _HARMONY:
                return self._enter_channel(Cursor(self._held, start))
        except UnfinishedError:
            return False
        except MismatchError:
            return self._turn_to(self._speak)
        if mark in _THINKING:
            return self._take_out(cursor.at, self._think, _THINKING[mark])
        return self._turn_to(self._collect)

    def _enter_channel(self, cursor: Cursor) -> bool:
        channel, recipient = read_header(cursor)
        if recipient is not None:
            return self._turn_to(self._speak if self._is_talk else self._collect)
        return self._take_out(cursor.at, self._think if channel == "analysis" else self._speak, *_HARMONY_ENDS)

    def _skip_blanks(self, _: list[Delta]) -> bool:
        """Drop the blanks behind something that was taken out."""
        self._held = self._held.lstrip()
        return bool(self._held) and self._turn_to(self._next)

    def _think(self, shown: list[Delta]) -> bool:
        """Show the thinking up to its end."""
        end, mark = self._find(may_call=False)
        if end:
            shown.append(ReasoningDelta(self._held[:end]))
            self._held = self._held[end:]
        return bool(mark) and self._leave(mark)

    def _speak(self, shown: list[Delta]) -> bool:
        """Show the text up to a call, or to the end of its channel."""
        end, mark = self._find(may_call=not self._is_talk)
        if end:
            self._before = self._held[:end]
            self._is_alone = False
            shown.append(TextDelta(self._before))
            self._held = self._held[end:]
        if mark in self._ends:
            return self._leave(mark)
        return bool(mark) and self._turn_to(self._collect)

    def _collect(self, _: list[Delta]) -> bool:
        """Hold what may be calls."""
        self._calls = []
        try:
            self._calls = read_calls(self._held, self._tools, alone=self._is_alone)
        except UnfinishedError:
            pass
        except MismatchError:
            self._is_talk = self._held.lstrip().startswith(tuple(MARKED))
            return self._turn_to(self._speak)
        return False

    # --- how they go about it ---

    def _turn_to(self, step: Step) -> bool:
        self._step = step
        return True

    def _take_out(self, end: int, step: Step, *ends: str) -> bool:
        """Drop what is held up to a place, and the blanks behind it, before the next step."""
        self._held, self._before = self._held[end:], "\n"
        self._next, self._ends = step, ends
        return self._turn_to(self._skip_blanks)

    def _leave(self, mark: str) -> bool:
        return self._take_out(0 if mark in _HARMONY else len(mark), self._begin)

    def _find(self, *, may_call: bool) -> tuple[int, str]:
        """Return where the next mark begins, and which it is; "" while that is not known, or if there is none."""
        for found in _FIRST_OF_MARK.finditer(self._held):
            at = found.start()
            before = self._held[at - 1] if at else self._before[-1]
            marks = (*self._ends, *MARKED) if may_call and before in _BEFORE_CALL else self._ends
            if not marks:
                continue
            try:
                return at, Cursor(self._held, at).take(*marks)
            except UnfinishedError:
                return at, ""
            except MismatchError:
                pass
        return len(self._held), ""


def _filter(
    texts: Mapping[int, str], tools: Tools, *, may_call: bool, history: Sequence[Item], allow_unmarked: bool
) -> tuple[dict[int, list[Delta]], list[ToolCall]]:
    """Return what is said in the texts of a reply's messages, by the same keys, and the calls behind it."""
    leaks = LeakFilter(tools, allow_unmarked=allow_unmarked)
    said: dict[int, list[Delta]] = {}
    shown: list[Delta] = []
    for at, text in texts.items():
        shown = said[at] = []
        leaks.feed(TextDelta(text), shown)
    rest, calls = leaks.close(may_call=may_call, history=history)
    shown += rest
    return said, calls


def _is_quoted(text: str, history: Sequence[Item]) -> bool:
    """Tell whether a text stands in what a tool returned or a user said, blanks aside."""
    sought = "".join(text.split())
    for item in history:
        match item:
            case ToolResult(content=source) | Message(role="user", text=source) if sought in "".join(source.split()):
                return True
            case _:
                pass
    return False


def _split_at_lone_end(text: str) -> tuple[str, str, str]:
    """Return the thinking, its end and the rest of a text whose template opened the tag in the prompt."""
    thought, end, after = text.partition("</think>")
    stands_apart = thought.endswith("\n") or after[:1] in {"", "\n"}
    return (thought, end, after) if stands_apart and "<think>" not in thought else ("", "", text)


def _rewrite(message: Message, said: Sequence[Delta]) -> Iterator[Item]:
    """Yield the thinking and the rest of a message."""
    thought, text = _join(said, ReasoningDelta).strip(), _join(said, TextDelta)
    if thought:
        yield Reasoning(thought)
    if text == message.text:
        yield message
    elif text:
        others = tuple(part for part in message.content if not isinstance(part, Text))
        yield replace(message, content=(Text(text), *others))


def _join(said: Sequence[Delta], kind: type[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, kind))


def _may_call(reply: Reply) -> bool:
    return reply.stop == "complete" and not any(isinstance(item, ToolCall) for item in reply.items)
