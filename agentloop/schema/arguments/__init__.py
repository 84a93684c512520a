"""From a model's text to the arguments of a function.

- `parsing` reads JSON and repairs its form; `argument_errors` repairs values and tells the model what is wrong.
- `typed_arguments` is for functions, `checked_arguments` for tools that come with a JSON schema.
"""
