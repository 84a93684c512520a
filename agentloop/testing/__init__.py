"""Helps to test agents and tool packs.

- `scripted`: ScriptedEndpoint, an endpoint that answers from a script.
- `requests`: forbid_requests, a block in which no request reaches an endpoint.
- `cassette`: use_cassette, which records requests and replays them; its parts are `cassette_file` (reads and writes
  the file), `masking` (hides secrets) and `comparison` (shows how a request differs from a recorded one).
- `assertions`: what a run has called.
- `pack_check`: check_pack; its parts are `source` (loads a pack in another process), `inspection` (checks its
  definition), `rehearsal` (calls each tool) and `watch` (records the effects).
"""

from agentloop.testing.assertions import assert_called, assert_not_called, assert_order
from agentloop.testing.cassette import Cassette, use_cassette
from agentloop.testing.cassette_file import CassetteError
from agentloop.testing.pack_check import PackCheckError, check_pack
from agentloop.testing.requests import RequestForbiddenError, forbid_requests
from agentloop.testing.scripted import Script, ScriptedEndpoint, ScriptedReply, call

__all__ = [
    "Cassette",
    "CassetteError",
    "PackCheckError",
    "RequestForbiddenError",
    "Script",
    "ScriptedEndpoint",
    "ScriptedReply",
    "assert_called",
    "assert_not_called",
    "assert_order",
    "call",
    "check_pack",
    "forbid_requests",
    "use_cassette",
]
