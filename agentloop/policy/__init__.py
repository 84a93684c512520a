"""Which calls run: rules over tools, arguments and hosts; what a run may do without a yes; people's decisions. Pure.

Who is asked, and how a verdict is carried out, is the driver's business.
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
from agentloop.policy.judgement import Given, Judgement, is_denied, judge, names_of
from agentloop.policy.patterns import CallPattern
from agentloop.policy.requests import ApprovalRequest, Approver, approve_matching
from agentloop.policy.rules import Policy

__all__ = [
    "ApprovalRequest",
    "Approve",
    "Approver",
    "CallPattern",
    "Decision",
    "Given",
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
    "names_of",
]
