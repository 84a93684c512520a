"""Translates between items and JSON. Nothing here does input or output.

- `conversation`: the requests and replies of one run; `encoder`: writes the requests; `model_target`: the part of them
  that stays the same; `origin`: which items came from which server.
- `formats/`: requests, one module for each format.
- `streams/`: replies, whole or streamed.
- `profile/`: profiles of endpoints and models, and the lessons drawn from refused requests.
- `leaks/`: tool calls and thinking that a server left in the text.
- `payload`: writes and reads JSON bytes; `characters`: reads them from a stream that cuts characters in two;
  `rare_pattern`: compiles an expression at its first use.
- `roles`: messages that make the user and the assistant take turns.
"""
