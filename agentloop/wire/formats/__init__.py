"""Writes requests, one module for each wire format.

- `dialect`: the Dialect protocol, which every format implements.
- `responses`: `/v1/responses`, with native items or with messages.
- `chat`: `/v1/chat/completions`.
- `prompted`: tool calls in plain text, for models that have no tool calling.
- `selection`: chooses the format that a profile asks for.
- Shared parts: `request` (the body), `settings` (its parameters), `structured` (answers that follow a schema), `turns`
  (the order of items), `images` (images in tool results), `call_ids` (unique and legal ids).
"""
