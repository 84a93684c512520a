"""Helps to test agents and tool packs.

- `scripted`: ScriptedEndpoint, an endpoint that answers from a script.
- `pack_check`: check_pack; its parts are `source` (where a pack comes from), `inspection` (what its definition
  says), `rehearsal` (a call of each tool) and `watch` (the effects that are seen).
"""

from agentloop.testing.pack_check import PackCheckError, check_pack
from agentloop.testing.scripted import Script, ScriptedEndpoint, ScriptedReply, call

__all__ = ["PackCheckError", "Script", "ScriptedEndpoint", "ScriptedReply", "call", "check_pack"]
