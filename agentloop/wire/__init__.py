"""Translates between items and JSON. Pure: nothing here does input or output.

- `conversation`: one run's side of the wire; `encoder`: writes its requests; `model_target`: their fixed part.
- `formats/`: requests, one module for each format.
- `streams/`: replies, whole or streamed.
- `profile/`: what is known about endpoints and models, and what refusals teach.
- `leaks/`: tool calls and thinking that a server left in the text.
- `payload`: JSON bytes in and out.
"""
