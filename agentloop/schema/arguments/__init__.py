"""Reads the arguments of a function from a model's text.

- `parsing` reads JSON and repairs its form; `argument_errors` repairs values and tells the model what is wrong.
- `typed_arguments` is for functions with types, `checked_arguments` for tools with a JSON schema.
- `choices` bounds the work of pydantic, `bounded_validator` that of jsonschema, `linear_patterns` that of patterns.
"""
