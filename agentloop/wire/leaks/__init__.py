"""Finds tool calls and thinking that a server left in the text of a reply.

- `leak_filter`: takes them out of whole texts and of streams.
- `leaked_calls`: the table of formats in which models write tool calls.
- `cursor`: reads a text from left to right, even while the text is still growing.
"""
