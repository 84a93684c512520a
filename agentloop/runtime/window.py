"""Chooses the items of a conversation to send: they have to fit the model's context window and the server's body limit.

The run itself keeps all items. `loop.trim` makes a conversation shorter. `model_caller` sends a refused request again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import ceil

from agentloop.errors import ContextOverflowError, EndpointError, RefusedError
from agentloop.events import Notice
from agentloop.items import Item, Message, Reply, Text, Usage
from agentloop.loop.run import Run
from agentloop.loop.trim import (
    BYTES_A_TOKEN,
    OLD_RESULT_CHARACTERS,
    RESULT_CHARACTERS,
    cut,
    describe_largest,
    fit,
    is_from_user,
    mark_gaps,
    measure,
    measure_text,
    shorten_results,
)
from agentloop.runtime.summary import write_transcript
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.payload import dump
from agentloop.wire.profile.lessons import Lesson
from agentloop.wire.profile.overflow import is_overflow, read_overflow
from agentloop.wire.profile.refusals import quote_reason

MOST_REFUSALS = 4
TOO_LARGE, SERVER_FAULT = 413, 500
_WINDOW_WORDS = ("maximum context length", "context length", "context window", "context size")
# Some servers don't count what they found in their cache, and none takes four times as much as text does by our count.
LEAST_RATE, MOST_RATE = 0.5, 4.0


class ContextWindow:
    """Chooses the items of one run's conversation to send.

    An item that was left out once stays out, and a quarter more room is made than is needed. So the beginning of the
    requests stays the same over many turns, and servers find it in their caches. Tokens are counted as `trim` counts
    them, tools and instructions included, times the rate at which the endpoint counted the last request.

    Args:
        conversation: The run's conversation.
        target: The model.
    """

    def __init__(self, conversation: Conversation, target: ModelTarget) -> None:
        self._conversation = conversation
        self._target = target
        known = conversation.profile.context_tokens
        self._limit = None if known is None else self._leave_room(known)
        self._counted = (0, 0)  # tokens of an earlier request as the endpoint counted them, and by our measure
        self._proven = 0  # tokens of the longest request that was answered
        self._sent: Sequence[Item] = ()
        self._size = 0
        self._seen = 0  # how many items of the run those stand for
        self._is_whole = True
        self._body_bytes = 0
        self._refusals = 0
        self._left_out: Sequence[Item] = ()
        self._summary = ""
        self._taken: set[int] = set()  # the identities of what was given out to be summarised
        self._notices: list[Notice] = []

    def encode(self, run: Run, write: Callable[[Sequence[Item]], bytes]) -> bytes:
        """Return the body of the next request.

        Args:
            run: The run as it stands.
            write: Makes the body of a request from items.

        Raises:
            RefusedError: no server of this kind takes so large a body.
        """
        self._extend(run.items)
        if self._limit is not None and self._count() > self._limit:
            self._trim(run, self._limit * 3 // 4)
        body = write(self._sent)
        self._body_bytes = len(body)
        most = self._conversation.profile.body_bytes
        if most is not None and len(body) > most:
            return self._lighten(run, most, write)
        return body

    def count(self, usage: Usage) -> None:
        """Take in how many tokens the endpoint counted in the last request."""
        self._refusals = 0
        if usage.input_tokens:
            self._counted = usage.input_tokens, self._size
            self._proven = max(self._proven, usage.input_tokens)

    def shrink(self, run: Run, refusal: EndpointError) -> bool:
        """Leave out so much that a refused request may be sent again; return whether there is anything to leave out.

        The window is learned if the server says how long it is. Where that does not help, a third is left out, and
        again, up to four times a turn.
        """
        if not isinstance(refusal, ContextOverflowError) or self._refusals == MOST_REFUSALS:
            return False
        words = self._conversation.hear(refusal)
        if not is_overflow(f"{refusal.code} {words}"):  # only what it quotes from the request says so
            return False
        self._refusals += 1
        self._learn(refusal, words)
        before, count = self._size, self._count()
        if self._limit is None or count <= self._limit:
            self._limit = count * 8 // 9
        self._trim(run, self._limit * 3 // 4)
        return self._size < before

    def explain(self, refusal: EndpointError) -> None:
        """Say in the hint of a refusal what was large, if that is what it was refused for."""
        if refusal.status == TOO_LARGE:
            refusal.hint = _advise(self._sent, self._body_bytes)

    def take_left_out(self) -> str:
        """Return as text what was left out since the last call, after the summary of what went before, or ""."""
        new = [item for item in self._left_out if id(item) not in self._taken]
        if not new:
            return ""
        self._taken.update(map(id, new))
        characters = int((self._limit or 0) / self._rate) * BYTES_A_TOKEN // 2
        before = f"Summary of what went before: {self._summary}\n\n" if self._summary else ""
        return before + write_transcript(new, max(characters, OLD_RESULT_CHARACTERS))

    def add_summary(self, run: Run, reply: Reply) -> None:
        """Send a summary of all that is left out with the first thing that the user said, from now on."""
        text = "\n".join(item.text for item in reply.items if isinstance(item, Message))
        self._summary = cut(text, OLD_RESULT_CHARACTERS)
        self._take(self._with_summary(run, self._sent))

    def take_notices(self) -> list[Notice]:
        """Return what there is to say since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _extend(self, items: Sequence[Item]) -> None:
        new = items[self._seen :]
        self._sent = items if self._is_whole else [*self._sent, *new]
        self._seen = len(items)
        self._size += sum(map(measure, new))

    def _take(self, items: Sequence[Item]) -> None:
        self._sent, self._is_whole = items, False
        self._size = sum(map(measure, items))

    def _with_summary(self, run: Run, items: Sequence[Item]) -> Sequence[Item]:
        request = next((item for item in run.items if is_from_user(item)), None)
        if not self._summary or not isinstance(request, Message):
            return items
        at = next(at for at, item in enumerate(items) if is_from_user(item))
        note = Text(f"\n\n[Summary of what happened since, of which a part is left out here: {self._summary}]")
        return [*items[:at], Message("user", (*request.content, note)), *items[at + 1 :]]

    def _trim(self, run: Run, count: int) -> None:
        before, size = self._count(), self._size
        room = int(count / self._rate) - self._fixed - measure_text(self._summary)
        fitted = fit(run.items, tokens=room, start=run.start)
        items = self._with_summary(run, mark_gaps(fitted.items, run.items))
        if sum(map(measure, items)) >= size:
            return
        self._take(items)
        self._left_out = fitted.left_out
        self._tell(
            f"the conversation takes about {before} tokens, which is too long for the model's window: in what is sent, "
            f"{fitted.dropped} old turns are left out and {fitted.shortened} results of tools are shortened; that "
            f"takes about {self._count()}"
        )

    def _lighten(self, run: Run, most: int, write: Callable[[Sequence[Item]], bytes]) -> bytes:
        what = f"the request takes {_megabytes(self._body_bytes)}, and the endpoint takes at most {_megabytes(most)}"
        request = run.items[min(run.start, len(run.items) - 1)]
        start = next((at for at, item in enumerate(self._sent) if item is request), 0)
        for characters in RESULT_CHARACTERS:
            fitted = shorten_results(self._sent, characters, start=start)
            if not fitted.shortened:
                continue
            self._take(fitted.items)
            body = write(self._sent)
            self._body_bytes = len(body)
            if len(body) <= most:
                self._tell(f"{what}: in what is sent, results of tools are shortened to {characters} characters")
                return body
        raise RefusedError(what, hint=_advise(self._sent, self._body_bytes), status=TOO_LARGE)

    def _learn(self, refusal: EndpointError, words: str) -> None:
        said, known = read_overflow(words), self._conversation.profile.context_tokens
        tokens = said.tokens or (known and said.excess and known + said.excess)
        if tokens:
            self._counted = tokens, self._size
        if said.window is not None and self._is_likely(said.window):
            self._limit = self._leave_room(said.window)
            # A failing server may name a window that is not the cause.
            passing = refusal.status is not None and refusal.status >= SERVER_FAULT
            why = quote_reason(refusal, words, (*_WINDOW_WORDS, str(said.window), f"{said.window:,}"))
            self._conversation.try_out(Lesson("context_tokens", known, said.window, why, is_passing=passing))
        elif said.excess is not None and self._limit is None:
            self._limit = self._leave_room(self._count() - said.excess)

    def _is_likely(self, window: int) -> bool:
        """Return whether the last request can be longer than a window, and no longer request was answered."""
        reply = self._target.settings.max_output_tokens or 0
        longest = max(self._counted[0], ceil((self._fixed + self._size) * MOST_RATE)) + reply
        return longest > window >= self._proven

    def _tell(self, text: str) -> None:
        self._notices.append(Notice("trimmed", text))

    # --- counting ---

    def _count(self) -> int:
        return ceil((self._fixed + self._size) * self._rate)

    @property
    def _rate(self) -> float:
        tokens, size = self._counted
        return min(max(tokens / (self._fixed + size), LEAST_RATE), MOST_RATE) if tokens else 1.0

    @cached_property
    def _fixed(self) -> int:
        tools = [(tool.name, tool.description, tool.parameters) for tool in self._target.tools]
        return measure_text(self._target.instructions or "") + measure_text(dump(tools).decode()) + 1

    def _leave_room(self, window: int) -> int:
        reply = self._target.settings.max_output_tokens or window // 4
        return max(1, window - reply, window // 4)


def _advise(items: Sequence[Item], size: int) -> str:
    largest = describe_largest(items)
    return f"of {_megabytes(size)}, the largest are: {largest}; send fewer or smaller images and cap tool results"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
