"""Describes endpoints and models as data.

- `profile`: Profile, ModelSettings and Endpoint, which are public.
- `providers/`: the built-in table of providers.
- `failures`: turns error bodies into exceptions. `error_body` reads their words and codes, `error_causes` names the
  cause that a status hides, `waits` says how long to wait, `overflow` whether a conversation was too long.
- `refusals`: draws lessons from refused requests. `rules` is the table of what servers say, `quotes` finds what they
  quote from the request.
- `lessons`: keeps the lessons for the life of the process; `learner`: the lessons of one run.
- `streaming`: chooses between a stream and a whole reply, and reads refusals of either.
"""

from agentloop.wire.profile.profile import (
    Effort,
    Endpoint,
    HttpClient,
    ModelSettings,
    Profile,
    Route,
    StructuredOutput,
    add_path,
)

__all__ = ["Effort", "Endpoint", "HttpClient", "ModelSettings", "Profile", "Route", "StructuredOutput", "add_path"]
