"""Translates between items and JSON. Pure: nothing here does input or output.

- `conversation`: one run's side of the wire; `encoder`: writes its requests; `model_target`: their fixed part.
- `formats/`: requests, one module for each format.
- `streams/`: replies, whole or streamed.
- `profile/`: profiles of endpoints and models, and the lessons drawn from refused requests.
- `leaks/`: tool calls and thinking that a server left in the text.
- `payload`: writes and reads JSON bytes.
"""
