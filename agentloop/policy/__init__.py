"""Decides which tool calls may run: allow, ask or deny. Pure.

`runtime` asks a person and carries out the verdict.

- `rules`: Policy; `patterns`: which calls a rule applies to; `normalize`: the forms of a value that a rule compares.
- `hosts`: reads the host of a URL.
- `judgement`: the verdict on one call; `redirects`: whether its requests may follow a redirect.
- `requests`: ApprovalRequest; `decisions`: a person's decisions, and what a run remembers of them.
"""

from agentloop.policy.decisions import (
    Approve,
    Decision,
    Grant,
    Question,
    Reject,
    Substitute,
    Trust,
    check_decision,
)
from agentloop.policy.hosts import read_host
from agentloop.policy.judgement import CallArguments, Judgement, is_denied, judge, names_of, question_again
from agentloop.policy.patterns import CallPattern
from agentloop.policy.redirects import judge_host, judge_redirect
from agentloop.policy.requests import ApprovalRequest, Approver, approve_matching
from agentloop.policy.rules import Policy

__all__ = [
    "ApprovalRequest",
    "Approve",
    "Approver",
    "CallArguments",
    "CallPattern",
    "Decision",
    "Grant",
    "Judgement",
    "Policy",
    "Question",
    "Reject",
    "Substitute",
    "Trust",
    "approve_matching",
    "check_decision",
    "is_denied",
    "judge",
    "judge_host",
    "judge_redirect",
    "names_of",
    "question_again",
    "read_host",
]
