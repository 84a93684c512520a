"""For tests, ours and yours: an endpoint that answers from a script, and a check of tool packs."""

from agentloop.testing.pack_check import PackCheckError, check_pack
from agentloop.testing.scripted import Script, ScriptedEndpoint, ScriptedReply, call

__all__ = ["PackCheckError", "Script", "ScriptedEndpoint", "ScriptedReply", "call", "check_pack"]
