"""Defines Policy, the user's rules for which calls run. `judgement` applies them to one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from agentloop.errors import ConfigurationError
from agentloop.options import FLAG, FUNCTION, check_options, one_of
from agentloop.policy.hosts import is_host_pattern
from agentloop.policy.patterns import CallPattern, check_texts, parse_patterns
from agentloop.policy.requests import Approver

Verdict: TypeAlias = Literal["allow", "ask", "deny"]

Found: TypeAlias = Mapping[Verdict, tuple[CallPattern, ...]]

_VERDICTS: tuple[Verdict, ...] = ("deny", "ask", "allow")
_NONE: Found = {}
_MOST_FOUND = 1_000
_KINDS = {"taint": FLAG, "approver": FUNCTION.or_none(), "on_tool_error": one_of("model", "raise")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which calls run, which need a person's approval, and what happens when a tool fails.

    Rules are shell patterns for tools, such as `delete_*` or `files.write`. They may have patterns for arguments:
    `files.write(path=docs/*)`, `shell.run(argv=git *)`, which are compared with what the tool will receive. `deny`
    beats `ask`, and `ask` beats `allow`. If no rule applies, the tool's declared effects decide: a call that writes,
    executes or connects to a new host needs approval. A function that declares no effects is allowed.

    Rules compare paths and URLs in every form (`docs/../x` is not in `docs`). The tools of the packs files, http and
    web say with `ArgumentReading` what they will use, so that a rule sees where a link leads, and what an escaped URL
    means. A rule about a path is about this path alone: a search of the folder above it reads it all the same.
    Redirects are judged like first requests.

    Attributes:
        allow: Calls that run without approval. A call that was found in the text of a reply asks all the same if it
            writes, executes or connects to other hosts; see `Profile.leaks_calls`.
        ask: Calls that need approval before they run.
        deny: Tools that the model is not offered and whose calls are refused, or single calls that are refused.
        hosts: Hosts that tools may connect to without approval: `example.com`, `*.example.com`, `localhost:8080`, `*`.
        taint: Whether tools that write or execute need approval, even if `allow` has them, once the run has read
            untrusted text.
        approver: Called for each call that needs approval; it may be async, and gets a thread if it is not. Without one
            the run pauses with `stop_reason="approval"`, and `agent.resume(run, decisions=...)` continues it.
        on_tool_error: `model` tells the model the exception's type and message, and the run continues; `raise` ends
            the run with ToolFailedError.

    Raises:
        ConfigurationError: a rule, a host or another option is not valid.
    """

    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    taint: bool = True
    approver: Approver | None = None
    on_tool_error: Literal["model", "raise"] = "model"
    _rules: Found = field(init=False, repr=False, compare=False)
    _found: dict[tuple[str, ...], Found] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_options("Policy", self, _KINDS)
        rules = {verdict: parse_patterns(f"Policy: {verdict}", getattr(self, verdict)) for verdict in _VERDICTS}
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_found", {})
        for host in check_texts("Policy: hosts", self.hosts):
            if not is_host_pattern(host):
                raise ConfigurationError(
                    f"Policy: hosts: {host!r} is not a host",
                    hint="write only a host: example.com, *.example.com or [::1]:80",
                )

    @property
    def all_rules(self) -> tuple[tuple[str, CallPattern], ...]:
        """The rules of this policy and of an approver that goes by rules, each with the option that it stands in."""
        own = ((f"Policy: {verdict}", rule) for verdict in _VERDICTS for rule in self._rules[verdict])
        return (*own, *(("approver", rule) for rule in getattr(self.approver, "rules", ())))

    def find_rules(self, names: tuple[str, ...]) -> Found:
        """Return the rules that apply to a tool with these names, by verdict; empty if there are none."""
        if not any(self._rules.values()):
            return _NONE
        found = self._found.get(names)
        if found is None:  # cached, so that the search happens once per tool and not with every call
            applying: Found = {
                verdict: tuple(rule for rule in self._rules[verdict] if rule.names(names)) for verdict in _VERDICTS
            }
            if len(self._found) >= _MOST_FOUND:  # a policy may be shared by agents, whose tools may come and go
                self._found.clear()
            found = self._found[names] = applying if any(applying.values()) else _NONE
        return found

    def join(self, other: Policy) -> Policy:
        """Return a policy with the rules and hosts of both policies, and the other fields of this one."""
        return replace(
            self,
            allow=(*self.allow, *other.allow),
            ask=(*self.ask, *other.ask),
            deny=(*self.deny, *other.deny),
            hosts=(*self.hosts, *other.hosts),
        )
