"""What an endpoint really does, found out with a few small requests.

`questions` are raw bodies, `course` says which are asked, `judgement` what an answer proves, `examination` does the
asking, and `teaching` makes a profile of what was found. It speaks over a transport and not through the loop, which
would mend what is to be seen.
"""

from agentloop.probe.answer import Finding
from agentloop.probe.course import CAPABILITIES
from agentloop.probe.examination import MOST_REQUESTS, Examination, Watch
from agentloop.probe.teaching import draw_lessons

__all__ = ["CAPABILITIES", "MOST_REQUESTS", "Examination", "Finding", "Watch", "draw_lessons"]
