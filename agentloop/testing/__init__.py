"""Helps to test agents and tool packs.

- `scripted`: ScriptedEndpoint, an endpoint that answers from a script.
- `pack_check`: check_pack; its parts are `source` (loads a pack in another process), `inspection` (checks its
  definition), `rehearsal` (calls each tool) and `watch` (records the effects).
"""

from agentloop.testing.pack_check import PackCheckError, check_pack
from agentloop.testing.scripted import Script, ScriptedEndpoint, ScriptedReply, call

__all__ = ["PackCheckError", "Script", "ScriptedEndpoint", "ScriptedReply", "call", "check_pack"]
