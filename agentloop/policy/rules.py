"""Policy: what the user has said about which calls run. What follows from it for one call is in `judgement`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from agentloop.errors import ConfigurationError
from agentloop.policy.hosts import is_host_pattern
from agentloop.policy.patterns import CallPattern, check_texts, parse_patterns
from agentloop.policy.requests import Approver

Verdict: TypeAlias = Literal["allow", "ask", "deny"]

Found: TypeAlias = Mapping[Verdict, tuple[CallPattern, ...]]

_VERDICTS: tuple[Verdict, ...] = ("deny", "ask", "allow")
_NONE: Found = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which calls run, which need a person's yes, and what a failing tool does to the run.

    Rules are shell patterns over tools, `delete_*` or `files.write`, which may say with which arguments:
    `files.write(path=docs/*)`, `shell.run(argv=git *)`. They are about what the tool will receive. `deny` beats `ask`,
    and `ask` beats `allow`; where no rule says anything, a tool's declared effects do: what writes or executes needs a
    yes, and so does talking to a new host. A function that declares none is allowed.

    Paths and URLs are judged in every spelling (`docs/../x` is not in `docs`), but a rule does not know a tool's root,
    nor what links lead where: it is the tool that keeps to its folder.

    Attributes:
        allow: Calls that run without a yes.
        ask: Calls that need a yes before they run.
        deny: Tools that are not offered, and refused if called all the same; or calls that are refused.
        hosts: Hosts that tools may talk to without a yes: `example.com`, `*.example.com`, `localhost:8080`, `*`.
        taint: Whether tools that write or execute ask once the run has read what strangers wrote, `allow` or not.
        approver: Asked for each call that needs a yes; without one the run pauses with
            `stop_reason="approval"`, and `agent.resume(run, decisions=...)` goes on.
        on_tool_error: `model` tells the model the exception's type and message and goes on; `raise` ends the run
            with ToolFailedError.

    Raises:
        ConfigurationError: a rule or a host can't be read.
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
        rules = {verdict: parse_patterns(f"Policy: {verdict}", getattr(self, verdict)) for verdict in _VERDICTS}
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_found", {})
        for host in check_texts("Policy: hosts", self.hosts):
            if not is_host_pattern(host):
                raise ConfigurationError(
                    f"Policy: hosts: {host!r} is no host",
                    hint="write a host alone: example.com, *.example.com or [::1]:80",
                )

    def find_rules(self, names: tuple[str, ...]) -> Found:
        """Return the rules about a tool that goes by these names, by what they lead to; empty where there are none."""
        found = self._found.get(names)
        if found is None:  # looked for once a tool, and not with every call
            about: Found = {
                verdict: tuple(rule for rule in self._rules[verdict] if rule.names(names)) for verdict in _VERDICTS
            }
            found = self._found[names] = about if any(about.values()) else _NONE
        return found

    def join(self, other: Policy) -> Policy:
        """Return a policy with the rules and hosts of both; the rest is this one's."""
        return replace(
            self,
            allow=(*self.allow, *other.allow),
            ask=(*self.ask, *other.ask),
            deny=(*self.deny, *other.deny),
            hosts=(*self.hosts, *other.hosts),
        )
