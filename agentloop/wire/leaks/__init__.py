"""Finds tool calls and thinking that a server left in the text of a reply.

- `recovery`: takes them out of whole replies and of streams.
- `leak_filter`: divides a text into text, thinking and calls.
- `leaked_calls`: reads calls. `formats`: the table of the formats of calls and of the tags of thinking.
- `harmony`: reads the headers of gpt-oss. `literals`: reads values in other notations than JSON. `values`: gives plain
  text the type that a tool's schema asks for.
- `cursor`: reads a text from left to right, even while the text is still growing.
"""

from agentloop.wire.leaks.leak_filter import LeakFilter
from agentloop.wire.leaks.leaked_calls import is_like_a_call
from agentloop.wire.leaks.recovery import LeakDecoder, recover

__all__ = ["LeakDecoder", "LeakFilter", "is_like_a_call", "recover"]
