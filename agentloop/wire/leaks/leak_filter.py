"""Takes leaks out of the text of a reply: thinking in tags, and tool calls that the server did not parse.

- Thinking is taken out where a reply begins with it.
- A call is recovered only from a complete reply in which the server parsed no call itself, and only if nothing but
  calls follows it up to the end.
- A call with the mark of a known format may come after other text, at the start of a line or directly after the end of
  a sentence. JSON without a mark, or in a code fence, must be the whole text.
- So a call that is only mentioned stays text, because something follows it, if only the closing quotation mark. After
  one such mention every later call in the text counts as a mention too.
- A call that the model copied from a tool's result or from the user's message is not recovered. Otherwise the author of
  a web page could make the model call a tool.

Streams and whole replies go through the same `LeakFilter`. It holds text back until it is certain whether the text is
a leak. `leaked_calls` contains the formats of calls.
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
    """Return a reply whose leaks are items of their own, and one sentence for each call that was recovered.

    Args:
        reply: The reply as it was decoded.
        tools: The tools on offer, by name. With no tools, only thinking is taken out.
        history: The conversation so far. A call that occurs in it is a quotation and is not recovered.
        allow_unmarked: Whether JSON without a mark may be a call. False where the answer itself is to be JSON.
    """
    texts = {
        at: item.text for at, item in enumerate(reply.items) if isinstance(item, Message) and item.role == "assistant"
    }
    if not any(_FIRST_OF_LEAK.search(text) for text in texts.values()):
        return reply, ()
    read = partial(_filter, tools=tools, may_call=_may_call(reply), history=history, allow_unmarked=allow_unmarked)
    deltas, calls = read(texts)
    for at, text in texts.items():
        thought, end, after = _split_at_lone_end(text)
        if end and end in _join(deltas[at], TextDelta):  # otherwise the end tag is part of a call
            deltas, calls = read({**texts, at: after.lstrip()})
            deltas[at].insert(0, ReasoningDelta(thought))
            break
    items: list[Item] = []
    for at, item in enumerate(reply.items):
        items += _rewrite(item, deltas[at]) if isinstance(item, Message) and at in deltas else [item]
    return replace(reply, items=(*items, *calls)), tuple(f"a call of {call.name} that came as text" for call in calls)


class LeakDecoder:
    """A Decoder that holds text back until it is certain that the text is not a leak.

    One case differs: thinking without an opening tag is shown as text, and `close` returns it as thinking.

    Args:
        decoder: Reads the reply.
        tools: The tools on offer, by name. With no tools, only thinking is taken out.
        history: The conversation so far. A call that occurs in it is a quotation and is not recovered.
        allow_unmarked: Whether JSON without a mark may be a call. False where the answer itself is to be JSON.

    Attributes:
        recovered: One sentence for each call that was recovered; set by `close`.
    """

    def __init__(
        self, decoder: Decoder, tools: Tools, history: Sequence[Item] = (), *, allow_unmarked: bool = True
    ) -> None:
        self._decoder = decoder
        self.ending = decoder.ending
        self._tools = tools
        self._history = history
        self._allow_unmarked = allow_unmarked
        self._leaks = LeakFilter(tools, allow_unmarked=allow_unmarked)
        self._rest: list[Delta] = []
        self.recovered: tuple[str, ...] = ()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return the deltas to show.

        Raises:
            EndpointError: an event says that the response failed. All deltas before it have been returned.
        """
        shown: list[Delta] = []
        for delta in self._decoder.feed(data):
            if isinstance(delta, TextDelta):
                self._leaks.feed(delta, shown)
            else:
                shown.append(delta)
        return shown

    def close(self) -> Reply:
        """Return the whole reply after the last bytes; `rest` then returns the deltas that were held back.

        Raises:
            StreamCutError: the stream ended without its terminal event.
            EndpointError: the response failed, or the bytes are not a reply.
        """
        reply = self._decoder.close()
        self._rest, _ = self._leaks.close(may_call=_may_call(reply), history=self._history)
        reply, self.recovered = recover(reply, self._tools, self._history, allow_unmarked=self._allow_unmarked)
        return reply

    def rest(self) -> list[Delta]:
        """Return the deltas that were held back and turned out in `close` not to be a leak."""
        rest, self._rest = self._rest, []
        return rest


class LeakFilter:
    """Divides the text of one reply, wherever it is cut into pieces, into text, thinking and calls.

    It is a state machine. Each state is a method that handles as much of the held text as it can, and returns whether
    the next state has to continue with the rest. "Held" text stays and is read again when more text has come.

    ===========  ===========================================  ===================  =======================
    State        Reads                                        Does                 Next state
    ===========  ===========================================  ===================  =======================
    begin        blanks, part of a mark or of a header        holds it             begin
    ..           thinking tag                                 drops it             skip_blanks, then think
    ..           header without recipient, analysis channel   drops it             skip_blanks, then think
    ..           header without recipient, other channel      drops it             skip_blanks, then speak
    ..           header with a recipient, or mark of a call   holds it             collect (a)
    ..           anything else                                holds it             speak
    skip_blanks  blanks                                       drops them           skip_blanks
    ..           anything else                                holds it             think, speak or begin
    think        text                                         shows it as thought  think
    ..           part of an end mark                          holds it             think
    ..           end mark                                     drops it (b)         skip_blanks, then begin
    speak        text                                         shows it as text     speak
    ..           part of a mark                               holds it             speak
    ..           end mark of a channel                        drops it (b)         skip_blanks, then begin
    ..           mark of a call (c)                           holds it             collect
    collect      calls, complete or not                       holds them           collect
    ..           anything else                                holds it             speak
    ===========  ===========================================  ===================  =======================

    - A header is one of the harmony format (gpt-oss), up to and including `<|message|>`. A call in that format is a
      header with a recipient.
    - (a) If `_is_talk` is set, marks of calls are "anything else", and a header with a recipient leads to speak.
      Of the marks, `{`, `[` and a plain code fence count only while `_is_alone` is set.
    - (b) An end mark that begins the next header is held instead.
    - (c) Only at the start of a line or directly after one of `.!?:`, and never if `_is_talk` is set.
    - speak clears `_is_alone` when it shows text. collect sets `_is_talk` when it gives up on a call that has the mark
      of a known format.
    - `close` returns the calls if collect has read complete calls up to the end. All other held text is shown, in think
      as thought, in every other state as text.

    Args:
        tools: The tools on offer, by name.
        allow_unmarked: Whether JSON without a mark may be a call.
    """

    def __init__(self, tools: Tools, *, allow_unmarked: bool = True) -> None:
        self._tools = tools
        self._step: Step = self._begin
        self._held = ""
        self._new: list[str] = []
        self._size = 0  # characters in _held and _new
        self._enough = 0  # the size from which on the state is run again
        self._before = "\n"  # the text that was shown last
        self._ends: tuple[str, ...] = ()  # the end marks of the current thinking or channel
        self._calls: list[ToolCall] = []
        self._next: Step = self._begin  # the state after skip_blanks
        self._is_alone = allow_unmarked  # whether unmarked JSON counts: no text has been shown
        self._is_talk = not tools  # whether calls in the text are only mentioned, not made

    def feed(self, delta: TextDelta, shown: list[Delta]) -> None:
        """Take the next piece of the text, and append the deltas to show to `shown`."""
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
        """Return the deltas that were held back and are to be shown, and the recovered calls.

        Args:
            may_call: Whether calls may be recovered at all; if not, their text is shown.
            history: The conversation so far. A call that occurs in it is not recovered.
        """
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
        # A long held text is read again only when its size has doubled, so that all readings together cost no more
        # than reading the whole text twice.
        self._enough = 0 if self._size < _LOOKED_AT_EACH_TIME else 2 * self._size

    # --- the states ---

    def _begin(self, _: list[Delta]) -> bool:
        """Decide what comes next, at the beginning of the reply or after a part that was taken out."""
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
        """Drop the blanks after a part that was taken out."""
        self._held = self._held.lstrip()
        return bool(self._held) and self._turn_to(self._next)

    def _think(self, shown: list[Delta]) -> bool:
        """Show the thinking up to its end mark."""
        end, mark = self._find(may_call=False)
        if end:
            shown.append(ReasoningDelta(self._held[:end]))
            self._held = self._held[end:]
        return bool(mark) and self._leave(mark)

    def _speak(self, shown: list[Delta]) -> bool:
        """Show the text up to a call or to the end of its channel."""
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
        """Hold the text that may be calls."""
        self._calls = []
        try:
            self._calls = read_calls(self._held, self._tools, alone=self._is_alone)
        except UnfinishedError:
            pass
        except MismatchError:
            self._is_talk = self._held.lstrip().startswith(tuple(MARKED))
            return self._turn_to(self._speak)
        return False

    # --- what the states share ---

    def _turn_to(self, step: Step) -> bool:
        self._step = step
        return True

    def _take_out(self, end: int, step: Step, *ends: str) -> bool:
        """Drop the held text up to the index `end`, then the blanks after it, then go on with `step`."""
        self._held, self._before = self._held[end:], "\n"
        self._next, self._ends = step, ends
        return self._turn_to(self._skip_blanks)

    def _leave(self, mark: str) -> bool:
        return self._take_out(0 if mark in _HARMONY else len(mark), self._begin)

    def _find(self, *, may_call: bool) -> tuple[int, str]:
        """Return the index of the next mark in the held text, and the mark.

        The mark is "" if the text ends within it. If there is no mark, the index is the length of the text.
        """
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
    """Return the text and thinking of each message of a reply, by the same keys, and the recovered calls."""
    leaks = LeakFilter(tools, allow_unmarked=allow_unmarked)
    deltas: dict[int, list[Delta]] = {}
    shown: list[Delta] = []
    for at, text in texts.items():
        shown = deltas[at] = []
        leaks.feed(TextDelta(text), shown)
    rest, calls = leaks.close(may_call=may_call, history=history)
    shown += rest
    return deltas, calls


def _is_quoted(text: str, history: Sequence[Item]) -> bool:
    """Return whether a text occurs in a tool's result or in a user's message; blanks are ignored."""
    sought = "".join(text.split())
    for item in history:
        match item:
            case ToolResult(content=source) | Message(role="user", text=source) if sought in "".join(source.split()):
                return True
            case _:
                pass
    return False


def _split_at_lone_end(text: str) -> tuple[str, str, str]:
    """Return the thinking, its end tag and the rest of a text whose opening tag the template put into the prompt."""
    thought, end, after = text.partition("</think>")
    stands_apart = thought.endswith("\n") or after[:1] in {"", "\n"}
    return (thought, end, after) if stands_apart and "<think>" not in thought else ("", "", text)


def _rewrite(message: Message, deltas: Sequence[Delta]) -> Iterator[Item]:
    """Yield the thinking and the remaining text of a message as items."""
    thought, text = _join(deltas, ReasoningDelta).strip(), _join(deltas, TextDelta)
    if thought:
        yield Reasoning(thought)
    if text == message.text:
        yield message
    elif text:
        others = tuple(part for part in message.content if not isinstance(part, Text))
        yield replace(message, content=(Text(text), *others))


def _join(deltas: Sequence[Delta], kind: type[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def _may_call(reply: Reply) -> bool:
    return reply.stop == "complete" and not any(isinstance(item, ToolCall) for item in reply.items)
