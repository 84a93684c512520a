"""From a function's signature to a strict JSON schema.

- `signature` reads parameters and types; `docstring` reads their descriptions.
- `plain` writes the schemas of plain types by hand; `typed` those of all other types, with pydantic.
- `typed_dicts` prepares TypedDicts for pydantic.
- `strict` checks a schema against OpenAI's strict subset; `keywords` moves what a server refuses into descriptions.
"""
