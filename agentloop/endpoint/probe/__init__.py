"""Finds out what an endpoint can do, with a few small requests.

It uses a transport and not the loop, because the loop would repair what the probe wants to see.

- `questions`: the raw request bodies; `plan`: which of them are asked, in which order.
- `examination`: asks them; `answer`: Answer and Finding; `judgement`: what an answer proves.
- `teaching`: makes lessons of what was found.
"""

from agentloop.endpoint.probe.answer import Finding
from agentloop.endpoint.probe.examination import MOST_REQUESTS, Examination, OnProgress
from agentloop.endpoint.probe.plan import CAPABILITIES
from agentloop.endpoint.probe.teaching import draw_lessons

__all__ = ["CAPABILITIES", "MOST_REQUESTS", "Examination", "Finding", "OnProgress", "draw_lessons"]
