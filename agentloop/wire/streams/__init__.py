"""Reads replies, whole or streamed, into a Reply.

- `responses_reply` and `chat_reply`: whole bodies of the two routes; `reply` has what they share.
- `responses_stream` and `chat_stream`: streams, assembled into the body that a request without streaming would get.
- `finish`: why a reply ended; `state`: fields that only the server understands, to be sent back to it.
- `stream`: what both streams share; `sse`: server-sent events from bytes; `ending`: whether a reply is whole.
- `pieces` and `calls`: texts and tool calls from their deltas.
"""
