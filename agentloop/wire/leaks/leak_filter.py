"""Divides the text of a reply into text, thinking and calls, also while the text is still coming."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, Message, ToolCall, ToolResult
from agentloop.wire.leaks import harmony
from agentloop.wire.leaks.cursor import Cursor, Marks, MismatchError, UnfinishedError, marks_of
from agentloop.wire.leaks.formats import ANSWERS, FORMATS, MARKED, THINKING, TOKENS
from agentloop.wire.leaks.leaked_calls import Tools, read_calls

Delta: TypeAlias = TextDelta | ReasoningDelta
Step: TypeAlias = Callable[[list[Delta]], bool]

_FIRST_OF_MARK: Final = re.compile(r"[<\[`◁]")
_BLANKS: Final = " \t"
_ENDS_SENTENCE: Final = frozenset("\n.!?\u2026\u3002\uff01\uff1f")
_COLONS: Final = frozenset(":\uff1a")
_QUOTES: Final = frozenset("\"'`(\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u300c\u300e\uff08")
_HEADERS: Final = frozenset((*harmony.OPENINGS, *harmony.CUT_OPENINGS))
_ENDS_OF_THINKING: Final = frozenset(THINKING.values())
_ENDS_OF_ANSWERS: Final = frozenset(ANSWERS.values())
_DROPPED: Final = (*ANSWERS, *ANSWERS.values(), "<|close|>message<|sep|>")
_TAGS: Final = frozenset(end for end in THINKING.values() if end.startswith("</"))  # people write these, not the others
_CALLS: Final = marks_of(*MARKED)
_ANYTHING: Final = marks_of(*MARKED, *THINKING, *THINKING.values())
_BEFORE_KEPT: Final = 64
_BEFORE_HELD: Final = 1024  # so much is held before the rest is dropped, which is not done for each piece
_LOOKED_AT_EACH_TIME: Final = 512
_LONGEST_CALL: Final = 1_000_000


class LeakFilter:
    """Divides the text of one reply, wherever it is cut into pieces, into text, thinking and calls.

    It is a state machine. Each state is a method that handles as much of the held text as it can, and returns whether
    the next state has to continue with the rest. "Held" text stays and is read again when more text has come.

    ===========  ===========================================  ===================  =======================
    State        Reads                                        Does                 Next state
    ===========  ===========================================  ===================  =======================
    begin        blanks, part of a mark or of a header        holds it             begin
    ..           thinking tag                                 drops it             skip_blanks, then think
    ..           tag of an answer                             drops it             skip_blanks, then speak
    ..           end of such a tag                            drops it             skip_blanks, then begin
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
    ..           end mark of a channel or an answer           drops it (b)         skip_blanks, then begin
    ..           end mark of thinking (c)                     drops it             skip_blanks, then begin
    ..           mark of a call (d)                           holds it             collect
    collect      calls, complete or not                       holds them           collect
    ..           calls, then an answer (e)                    holds them           collect
    ..           anything else                                holds it             speak
    ===========  ===========================================  ===================  =======================

    - A header is one of the harmony format (gpt-oss), up to and including `<|message|>`. A call in that format is a
      header with a recipient.
    - (a) If `_is_talk` is set, marks of calls are "anything else", and a header with a recipient leads to speak.
      Marks that count only at the beginning of a reply count only while `_is_alone` is set.
    - (b) An end mark that begins the next header is held instead.
    - (c) Only the first one, if no thinking has begun, and if it stands apart. The text before it becomes thinking.
    - (d) Only after a line break or the end of a sentence; a mark that is a token also directly after a word. Never
      if `_is_talk` is set.
    - (e) Only if the first mark is a token that does not follow a word, and the answer begins a sentence.
    - speak clears `_is_alone` when it shows text. collect sets `_is_talk` when it gives up on a call that has the mark
      of a known format. It gives up on what is longer than a million characters, so that no more is held.
    - `close` returns the calls if collect has read complete calls. All other held text is shown, in think as thought,
      in every other state as text.

    Args:
        tools: The tools on offer, by name.
        allow_unmarked: Whether JSON without a mark may be a call.
    """

    def __init__(self, tools: Tools, *, allow_unmarked: bool = True) -> None:
        self._tools = tools
        self._allow_unmarked = allow_unmarked
        self._step: Step = self._begin
        self._held = ""
        self._at = 0  # how much of it has been handled
        self._new: list[str] = []
        self._size = 0  # characters in _held and _new
        self._enough = 0  # the size from which on the state is run again
        self._before = "\n"  # the end of the text that was shown last
        self._ends: tuple[str, ...] = ()  # the end marks of the current thinking, channel or answer
        self._calls: list[ToolCall] = []
        self._sources: list[str] = []  # how the calls were written
        self._answer_start = 0  # where an answer after the calls begins in _held
        self._next: Step = self._begin  # the state after skip_blanks
        self._is_alone = allow_unmarked  # whether unmarked JSON counts: no text has been shown
        self._is_talk = not tools  # whether calls in the text are only mentioned, not made
        self._is_apart = True  # whether the mark of the call does not follow a word directly
        self._may_be_thought = True  # whether an end mark of thinking may come without its beginning

    def feed(self, delta: TextDelta, shown: list[Delta]) -> None:
        """Take the next piece of the text, and append the deltas to show to `shown`.

        Where thinking ends whose beginning is missing, the texts in `shown` become thinking.
        """
        text = delta.text
        if not self._size and self._step == self._speak and text and not _FIRST_OF_MARK.search(text):
            self._remember(text)
            shown.append(delta)
            return
        self._new.append(text)
        self._size += len(text)
        if self._size >= self._enough:
            self._look(shown)

    def close(self, shown: list[Delta], *, may_call: bool, history: Sequence[Item] = ()) -> list[ToolCall]:
        """Append the deltas that were held back and are to be shown to `shown`, and return the recovered calls.

        Args:
            shown: Where the deltas go.
            may_call: Whether calls may be recovered at all; if not, their text is shown.
            history: The conversation so far. A call that occurs in it is not recovered.
        """
        self._look(shown)
        if self._step == self._speak and self._may_be_thought and self._held in _ENDS_OF_THINKING:
            self._end_thinking(self._held, shown)
        calls, rest = list[ToolCall](), self._held[self._at :]
        if self._calls and may_call and not _is_quoted(self._sources, history):
            calls, rest = self._calls, self._held[self._answer_start :]
        if rest:
            shown.append(ReasoningDelta(rest) if self._step == self._think else TextDelta(rest))
        return calls

    def _look(self, shown: list[Delta]) -> None:
        self._held += "".join(self._new)
        self._new = []
        while self._step(shown):
            pass
        self._held, self._at = self._held[self._at :], 0
        self._size = len(self._held)
        # A long held text is read again only when its size has doubled, so that all readings together cost no more
        # than reading the whole text twice.
        self._enough = 0 if self._size < _LOOKED_AT_EACH_TIME else 2 * self._size

    # --- the states ---

    def _begin(self, _: list[Delta]) -> bool:
        """Decide what comes next, at the beginning of the reply or after a part that was taken out."""
        cursor = Cursor(self._held, self._at)
        cursor.skip_blanks()
        start = cursor.at
        try:
            mark = cursor.take_one(_mark_beginning(is_talk=self._is_talk, is_alone=self._is_alone))
            if mark in _HEADERS:
                return self._enter_channel(Cursor(self._held, start))
        except UnfinishedError:
            return False
        except MismatchError:
            return self._turn_to(self._speak)
        if mark in THINKING:
            self._may_be_thought = False
            return self._take_out(cursor.at, self._think, THINKING[mark])
        if mark in ANSWERS:
            return self._take_out(cursor.at, self._speak, ANSWERS[mark])
        if mark in _DROPPED:
            return self._take_out(cursor.at, self._begin)
        self._is_apart = True
        return self._turn_to(self._collect)

    def _enter_channel(self, cursor: Cursor) -> bool:
        channel, recipient = harmony.read_header(cursor)
        if recipient is not None:
            self._is_apart = True
            return self._turn_to(self._speak if self._is_talk else self._collect)
        return self._take_out(cursor.at, self._think if channel == "analysis" else self._speak, *harmony.ENDS)

    def _skip_blanks(self, _: list[Delta]) -> bool:
        """Drop the blanks after a part that was taken out."""
        cursor = Cursor(self._held, self._at)
        cursor.skip_blanks()
        self._at = cursor.at
        return not cursor.is_at_end and self._turn_to(self._next)

    def _think(self, shown: list[Delta]) -> bool:
        """Show the thinking up to its end mark."""
        end, mark = self._find(marks_of(*self._ends))
        if end > self._at:
            shown.append(ReasoningDelta(self._held[self._at : end]))
            self._at = end
        return bool(mark) and self._leave(mark)

    def _speak(self, shown: list[Delta]) -> bool:
        """Show the text up to a call or to the end of its channel."""
        end, mark = self._find(_mark_text(self._ends, is_talk=self._is_talk, may_be_thought=self._may_be_thought))
        if end > self._at:
            text = self._held[self._at : end]
            self._remember(text)
            self._is_alone = False
            shown.append(TextDelta(text))
            self._at = end
        if mark in self._ends or mark in _ENDS_OF_ANSWERS:
            return self._leave(mark)
        if mark in _ENDS_OF_THINKING:
            return self._end_thinking(mark, shown)
        return bool(mark) and self._turn_to(self._collect)

    def _collect(self, _: list[Delta]) -> bool:
        """Hold the text that may be calls."""
        self._calls = []
        self._held, self._at = self._held[self._at :], 0
        if len(self._held) > _LONGEST_CALL:
            return self._give_up()
        try:
            calls, self._sources, end = read_calls(self._held, self._tools, alone=self._is_alone)
            self._answer_start = self._find_answer(end)
            self._calls = calls
        except UnfinishedError:
            pass
        except MismatchError:
            return self._give_up()
        return False

    # --- what the states share ---

    def _turn_to(self, step: Step) -> bool:
        self._step = step
        return True

    def _give_up(self) -> bool:
        self._is_talk = self._held.lstrip().startswith(MARKED)
        return self._turn_to(self._speak)

    def _take_out(self, end: int, step: Step, *ends: str) -> bool:
        """Drop the held text up to the index `end`, then the blanks after it, then go on with `step`."""
        self._at, self._before = end, "\n"
        self._next, self._ends = step, ends
        return self._turn_to(self._skip_blanks)

    def _leave(self, mark: str) -> bool:
        return self._take_out(self._at + (0 if mark in harmony.OPENINGS else len(mark)), self._begin)

    def _end_thinking(self, mark: str, shown: list[Delta]) -> bool:
        """Make thinking of the text so far, as its end mark shows that it was that."""
        shown[:] = [ReasoningDelta(delta.text) for delta in shown]
        self._may_be_thought = False
        self._is_talk, self._is_alone = not self._tools, self._allow_unmarked
        return self._take_out(self._at + len(mark), self._begin)

    def _remember(self, text: str) -> None:
        self._before += text
        if len(self._before) > _BEFORE_HELD:
            self._before = self._before[-_BEFORE_KEPT:]

    def _find(self, marks: Marks) -> tuple[int, str]:
        """Return the index of the next mark in the held text that counts, and the mark.

        The mark is "" if the text ends within it. If there is no mark, the index is the length of the text.
        """
        for found in marks.pattern.finditer(self._held, self._at):
            try:
                if self._counts(found[0], found.start()):
                    return found.start(), found[0]
            except UnfinishedError:
                return found.start(), ""
        return marks.find_beginning(self._held, self._at), ""

    def _counts(self, mark: str, at: int) -> bool:
        """Return whether a mark at this index in the held text is more than a part of the text."""
        if mark in self._ends and mark in harmony.OPENINGS:
            return _is_header(self._held, at)
        if mark in self._ends or mark in _ENDS_OF_ANSWERS:
            return True
        if mark in THINKING:
            self._may_be_thought = False
            return False
        before = (self._before[-_BEFORE_KEPT:] + self._held[max(self._at, at - _BEFORE_KEPT) : at])[-_BEFORE_KEPT:]
        if mark in _ENDS_OF_THINKING:
            return self._may_be_thought and _ends_thinking(mark, before, Cursor(self._held, at + len(mark)))
        if before.rstrip().endswith(MARKED):
            return False  # the second mark of a call that is mentioned
        last = before.rstrip(_BLANKS)[-1:]
        self._is_apart = last in _ENDS_SENTENCE or last == before[-1:] in _COLONS
        return self._is_apart or (mark in TOKENS and last == before[-1:] and last not in _QUOTES)

    def _find_answer(self, end: int) -> int:
        """Return the index at which an answer begins after the calls; the length of the held text if there is none.

        Raises:
            UnfinishedError: more text has to show whether it is an answer.
            MismatchError: something else comes after the calls, so they are only mentioned.
        """
        rest = self._held[end:]
        if not rest:
            return end
        if not self._is_apart or not self._held.lstrip().startswith(TOKENS):
            raise MismatchError
        if rest.startswith(harmony.OPENINGS):
            cursor = Cursor(self._held, end)
            if harmony.read_header(cursor) != ("final", None):
                raise MismatchError
            return cursor.at
        if not _begins_sentence(rest[0]) or _ANYTHING.pattern.search(rest):
            raise MismatchError
        return len(self._held[:end].rstrip())


@lru_cache
def _mark_beginning(*, is_talk: bool, is_alone: bool) -> Marks:
    """Return the marks that count at the beginning of a reply, or after a part that was taken out."""
    if is_talk:
        return marks_of(*THINKING, *_DROPPED, *harmony.OPENINGS)
    return marks_of(
        *THINKING, *_DROPPED, *(harmony.CUT_OPENINGS if is_alone else ()), *(FORMATS if is_alone else MARKED)
    )


@lru_cache
def _mark_text(ends: tuple[str, ...], *, is_talk: bool, may_be_thought: bool) -> Marks:
    """Return the marks that are looked for within a text."""
    thinking = (*THINKING, *THINKING.values()) if may_be_thought else ()
    return marks_of(*ends, *_ENDS_OF_ANSWERS, *thinking, *(() if is_talk else MARKED))


def _begins_sentence(letter: str) -> bool:
    """Return whether a sentence may begin with this letter; many scripts have no capitals."""
    return letter.isalpha() and not letter.islower()


def _is_header(text: str, at: int) -> bool:
    try:
        harmony.read_header(Cursor(text, at))
    except MismatchError:
        return False
    return True


def _ends_thinking(mark: str, before: str, after: Cursor) -> bool:
    """Return whether an end mark of thinking stands apart, so that it is more than mentioned in a sentence."""
    if mark not in _TAGS or before.rstrip(_BLANKS)[-1:] in _ENDS_SENTENCE or after.has("\n"):
        return True
    if before[-1:].isalnum() and _begins_sentence(after.text[after.at]):
        return True
    try:
        after.take_one(_CALLS)
    except MismatchError:
        return False
    return True


def _is_quoted(sources: Sequence[str], history: Sequence[Item]) -> bool:
    """Return whether one of the texts occurs in a tool's result or in a user's message; blanks are ignored."""
    sought = {_drop_blanks(source) for source in sources}
    for item in history:
        match item:
            case ToolResult(content=text) | Message(role="user", text=text):
                read = _drop_blanks(text)
                if any(source in read for source in sought):
                    return True
            case _:
                pass
    return False


def _drop_blanks(text: str) -> str:
    return "".join(text.split())
