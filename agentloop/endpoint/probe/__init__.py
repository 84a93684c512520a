"""Finds out what an endpoint can do, with a few small requests.

It uses a transport directly and not the loop, because the loop would repair the faults that the probe looks for.

- `questions`: the raw request bodies; `plan`: which of them are sent, and in which order.
- `examination`: sends them; `answer`: Answer and Finding; `judgement`: draws findings from an answer.
- `teaching`: makes lessons from the findings.
"""

from agentloop.endpoint.probe.answer import Finding
from agentloop.endpoint.probe.examination import MOST_REQUESTS, Examination, OnProgress
from agentloop.endpoint.probe.plan import CAPABILITIES
from agentloop.endpoint.probe.teaching import draw_lessons

__all__ = ["CAPABILITIES", "MOST_REQUESTS", "Examination", "Finding", "OnProgress", "draw_lessons"]
