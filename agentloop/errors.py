"""Every error agentloop raises, and nothing else.

* AgentloopError
  x UserError                   a mistake in the calling code, raised before any request
    + ConfigurationError        a limit, a setting, an endpoint or a model name that makes no sense
    + ToolDefinitionError       a function that can't become a tool; lists every fault with its remedy
    + DuplicateToolError        two tools with one name; names both origins
    + RunStateError             an outcome out of turn, a run that can't be resumed so
  x EndpointError               the endpoint could not answer; `run` resumes with `agent.resume(run)`
    + UnreachableError          no connection, or it broke
    + EndpointTimeoutError      no answer in time
    + RefusedError              a 4xx; `status`, `code` and the server's own words
      - AuthenticationError     401 or 403
      - NotFoundError           404: the model or the path
      - ContextOverflowError    the conversation is longer than the model's window
      - RateLimitedError        429, and waiting did not help
    + ServerError               a 5xx, or `status: failed` in a 200
    + ReplyError                an answer that is no answer
      - StreamCutError          a stream that was damaged or ended without its terminal event
      - EmptyReplyError         neither text nor a call, twice
      - OutputError             an answer that is not of the agent's `output`, even after being told why
  x PackError                   a tool pack that can't be imported or opened
  x FetchError                  an address on the network that can't or may not be fetched
  x ToolFailedError             a tool raised and `on_tool_error="raise"`
  x ToolError                   raised *by* a tool: its text is for the model, the run goes on

Each says what happened, what is known (`run`, `status`, ...) and what to do next (`hint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentloop.loop.run import Run


class AgentloopError(Exception):
    """The root: catch this to catch everything agentloop raises.

    Attributes:
        message: What happened, in one sentence.
        hint: What to do about it, or "".
        run: The run as it stood, so that nothing done is lost; None before a run began.
    """

    def __init__(self, message: str, *, hint: str = "", run: Run | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.run = run

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UserError(AgentloopError):
    """A mistake in the calling code; raised before any request is made."""


class ConfigurationError(UserError):
    """A value given to an Agent, an Endpoint, Limits or the command line makes no sense."""


class ToolDefinitionError(UserError):
    """A function can't become a tool.

    Attributes:
        faults: One sentence a fault, each with its remedy, over all parameters.
    """

    def __init__(self, message: str, *, faults: Sequence[str] = (), hint: str = "") -> None:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(message + listed, hint=hint)
        self.faults = tuple(faults)


class DuplicateToolError(UserError):
    """Two tools bear the same name; the message names where each comes from."""


class RunStateError(UserError):
    """An outcome came out of turn, or a run can't be resumed in this way."""


class EndpointError(AgentloopError):
    """The endpoint could not answer.

    Attributes:
        status: The HTTP status, or None when there was no reply.
        code: The server's own error code, or "".
        retry_after: Seconds the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class UnreachableError(EndpointError):
    """No connection to the endpoint, or it broke before the reply was whole."""


class EndpointTimeoutError(EndpointError):
    """The endpoint did not answer in time."""


class RefusedError(EndpointError):
    """The endpoint refused the request with a 4xx."""


class AuthenticationError(RefusedError):
    """401 or 403: the key is missing, wrong, expired or may not use this model."""


class NotFoundError(RefusedError):
    """404: no such model, or no such path on this server."""


class ContextOverflowError(RefusedError):
    """The conversation does not fit into the model's window."""


class RateLimitedError(RefusedError):
    """429, and waiting as long as allowed did not help."""


class ServerError(EndpointError):
    """A 5xx, or a 200 whose body says that the response failed."""


class ReplyError(EndpointError):
    """The endpoint answered with something that is no answer, such as HTML."""


class StreamCutError(ReplyError):
    """A stream was damaged or ended without its terminal event, so the reply may be incomplete."""


class EmptyReplyError(ReplyError):
    """The model gave neither text nor a tool call, even after being asked again."""


class OutputError(ReplyError):
    """The model's answer is not of the type that was asked for, even after it was told why as often as allowed."""


class PackError(AgentloopError):
    """A tool pack can't be imported or opened."""


class FetchError(AgentloopError):
    """Something on the network could not be fetched, or may not be."""


class ToolFailedError(AgentloopError):
    """A tool raised an exception and the policy says `on_tool_error="raise"`."""


class ToolError(AgentloopError):
    """Raise this in a tool: the text goes to the model as it is and the run goes on."""
