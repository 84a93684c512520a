"""Makes a strict JSON schema from a function's signature.

- `signature` reads parameters and types; `docstring` reads their descriptions.
- `plain` writes the schemas of plain types by hand; `typed` writes those of all other types with pydantic, with the
  generator in `json_schema`; `conversions` turns the values that a model writes into those of the types.
- `typed_dicts` prepares TypedDicts for pydantic.
- `strict` checks a schema against OpenAI's strict subset; `keywords` moves unsupported keywords into descriptions.
"""
