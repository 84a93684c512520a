"""What is known about endpoints and models, as data.

- `profile`: Profile, ModelSettings and Endpoint, which are public.
- `providers`: the built-in table of providers.
- `failures`: error bodies, turned into our errors; `overflow`: what they say about the size of the window.
- `refusals`: what a refused request teaches; `lessons`: what was learned, kept for the life of the process;
  `learner`: what one run learns.
"""

from agentloop.wire.profile.profile import Effort, Endpoint, ModelSettings, Profile, Route, StructuredOutput

__all__ = ["Effort", "Endpoint", "ModelSettings", "Profile", "Route", "StructuredOutput"]
