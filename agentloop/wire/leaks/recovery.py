"""Takes leaks out of replies: thinking in tags, and tool calls that the server did not parse.

- Thinking is taken out where a reply begins with it.
- A call is recovered only from a complete reply in which the server parsed no call itself, and only if nothing but
  calls follows it up to the end. An answer may follow a call whose mark is a token of the model.
- A call with the mark of a known format may come after other text, at the start of a line or after the end of a
  sentence; a token also directly after a word. JSON without a mark, or in a code fence, must be the whole text.
- So a call that is only mentioned stays text, because something follows it, if only the closing quotation mark. After
  one such mention every later call in the text counts as a mention too.
- If the server put the whole reply into the thinking, a call with a mark at its end is recovered from there.
- A call that the model copied from a tool's result or from the user's message is not recovered. Otherwise the author of
  a web page could make the model call a tool.

Streams and whole replies go through the same `LeakFilter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from agentloop.events import ReasoningDelta, TextDelta
from agentloop.items import Item, Message, Reasoning, Reply, Text, ToolCall
from agentloop.wire.formats.dialect import Decoder
from agentloop.wire.leaks.leak_filter import Delta, LeakFilter
from agentloop.wire.leaks.leaked_calls import Tools
from agentloop.wire.streams.ending import Ending

_FIRST_OF_LEAK: Final = re.compile(r"[<\[`{◁]")


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
    texts = _collect_texts(reply, Message)
    if not "".join(texts.values()).strip():
        texts, allow_unmarked = _collect_texts(reply, Reasoning), False
    if not any(_FIRST_OF_LEAK.search(text) for text in texts.values()):
        return reply, ()
    deltas, calls = _filter(texts, tools, may_call=_may_call(reply), history=history, allow_unmarked=allow_unmarked)
    items: list[Item] = []
    for at, item in enumerate(reply.items):
        items += _rewrite(item, deltas[at], calls) if at in deltas else [item]
    return replace(reply, items=(*items, *calls)), tuple(f"a call of {call.name} that came as text" for call in calls)


class LeakDecoder:
    """A Decoder that holds text back until it is certain that the text is not a leak.

    Two cases differ, because what has been shown can't be taken back: thinking without an opening tag is shown as text,
    and a call within the thinking is shown as thinking. `close` returns both as what they are.

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
        self._tools = tools
        self._history = history
        self._allow_unmarked = allow_unmarked
        self._leaks = LeakFilter(tools, allow_unmarked=allow_unmarked)
        self._rest: list[Delta] = []
        self.recovered: tuple[str, ...] = ()

    @property
    def ending(self) -> Ending:
        """Tells when the reply is whole."""
        return self._decoder.ending

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes and return the deltas to show.

        Raises:
            EndpointError: an event says that the response failed. All deltas before it have been returned.
        """
        shown: list[Delta] = []
        for delta in self._decoder.feed(data):
            if type(delta) is TextDelta:
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
        self._leaks.close(self._rest, may_call=_may_call(reply), history=self._history)
        reply, self.recovered = recover(reply, self._tools, self._history, allow_unmarked=self._allow_unmarked)
        return reply

    def rest(self) -> list[Delta]:
        """Return the deltas that were held back and turned out in `close` not to be a leak."""
        rest, self._rest = self._rest, []
        return rest


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
    return deltas, leaks.close(shown, may_call=may_call, history=history)


def _collect_texts(reply: Reply, kind: type[Message | Reasoning]) -> dict[int, str]:
    """Return the texts that the model wrote as items of this type, by their index in the reply."""
    return {
        at: item.text
        for at, item in enumerate(reply.items)
        if isinstance(item, kind) and not (isinstance(item, Message) and item.role != "assistant")
    }


def _rewrite(item: Item, deltas: Sequence[Delta], calls: Sequence[ToolCall]) -> Iterator[Item]:
    """Yield the thinking and the remaining text of an item as items."""
    thought, text = _join(deltas, ReasoningDelta).strip(), _join(deltas, TextDelta)
    if isinstance(item, Reasoning):
        kept = replace(item, text=(thought + text).strip()) if calls else item
        yield from [kept] if kept.text or kept.encrypted or kept.state else []
        return
    if thought:
        yield Reasoning(thought)
    if isinstance(item, Message) and text == item.text:
        yield item
    elif isinstance(item, Message) and text:
        others = tuple(part for part in item.content if not isinstance(part, Text))
        yield replace(item, content=(Text(text), *others))


def _join(deltas: Sequence[Delta], kind: type[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def _may_call(reply: Reply) -> bool:
    return reply.stop == "complete" and not any(isinstance(item, ToolCall) for item in reply.items)
