"""Defines every error that agentloop raises, and reads the type and the text of any exception.

* AgentloopError
  x UserError                   a mistake in the calling code, raised before any request
    + ConfigurationError        a limit, a setting, an endpoint or a model name is not valid
    + ToolDefinitionError       a function can't become a tool; lists every fault with its remedy
    + DuplicateToolError        two tools have the same name; says where each comes from
    + RunStateError             an outcome came out of turn, or a run can't be resumed in this way
  x EndpointError               the endpoint could not answer; `agent.resume(error.run)` continues the run
    + UnreachableError          no connection, or the connection broke
    + EndpointTimeoutError      no answer in time
    + RefusedError              a 4xx; has `status`, `code` and the server's own message
      - AuthenticationError     401 or 403, or another status with words about the key
      - NotFoundError           404: the model or the path; or another status with words about the model
      - ContextOverflowError    the conversation does not fit into the model's context window
      - RateLimitedError        429, and waiting did not help, or the wait is too long
    + ServerError               a 5xx, or `status: failed` in a 200
    + ReplyError                the endpoint's answer is not a reply of a model
      - StreamCutError          a stream was damaged, or ended without its terminal event
      - EmptyReplyError         the model sent neither text nor a tool call, twice
      - OutputError             the model's answer is not of the agent's `output` type, after all retries
  x PackError                   a tool pack can't be imported or opened
  x FetchError                  an address on the network can't be fetched, or is not allowed
  x ToolFailedError             a tool raised an exception and the policy has `on_tool_error="raise"`
  x ToolError                   raised *by* a tool: the model gets its text, and the run continues

Each error says what happened, carries details (`run`, `status`, ...) and says what to do next (`hint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentloop.loop.run import Run


class AgentloopError(Exception):
    """The base class: catch it to catch every error that agentloop raises.

    Attributes:
        message: One sentence that says what happened.
        hint: A sentence that says what to do about it, or "".
        run: The run up to the error, so that finished work is not lost; None if no run had begun.
    """

    # For a class of a user whose __init__ does not call this one.
    message: str = ""
    hint: str = ""
    run: Run | None = None

    def __init__(self, message: str, *, hint: str = "", run: Run | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.run = run

    def __str__(self) -> str:
        text = self.message or super().__str__()
        return f"{text}\nhint: {self.hint}" if self.hint else text


class UserError(AgentloopError):
    """The calling code has a mistake; this is raised before any request is sent."""


class ConfigurationError(UserError):
    """A value given to an Agent, an Endpoint, Limits or the command line is not valid."""


class ToolDefinitionError(UserError):
    """A function can't become a tool.

    Attributes:
        faults: One sentence per fault, each with its remedy, for all parameters.
    """

    def __init__(self, message: str, *, faults: Sequence[str] = (), hint: str = "") -> None:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(message + listed, hint=hint)
        self.faults = tuple(faults)


class DuplicateToolError(UserError):
    """Two tools have the same name; the message says where each comes from."""


class RunStateError(UserError):
    """An outcome came out of turn, or a run can't be resumed in this way."""


class EndpointError(AgentloopError):
    """The endpoint could not answer.

    Attributes:
        status: The HTTP status, or None if there was no reply.
        code: The server's own error code, or "".
        retry_after: Seconds that the server asked the client to wait, in a header or in the body, or None.
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
    """The endpoint can't be reached, or the connection broke before the reply was complete."""


class EndpointTimeoutError(EndpointError):
    """The endpoint did not answer in time."""


class RefusedError(EndpointError):
    """The endpoint refused the request with a 4xx status."""


class AuthenticationError(RefusedError):
    """The key is missing, wrong or expired, or may not use this model: 401, 403, or what the server's words say."""


class NotFoundError(RefusedError):
    """This server has no such model or no such path: 404, or what the server's words say."""


class ContextOverflowError(RefusedError):
    """The conversation does not fit into the model's context window."""


class RateLimitedError(RefusedError):
    """There were too many requests. Waiting did not help, or the server asks for too long a wait (`retry_after`)."""


class ServerError(EndpointError):
    """The status is 5xx, or it is 200 and the body says that the response failed."""


class ReplyError(EndpointError):
    """The endpoint's answer is not a reply of a model; it may be an HTML page, for example."""


class StreamCutError(ReplyError):
    """A stream was damaged or ended without its terminal event, so the reply may be incomplete."""


class EmptyReplyError(ReplyError):
    """The model sent neither text nor a tool call, even after it was asked again."""


class OutputError(ReplyError):
    """The model's answer is not of the agent's `output` type, even after all retries that the limits allow."""


class PackError(AgentloopError):
    """A tool pack can't be imported or opened."""


class FetchError(AgentloopError):
    """An address on the network could not be fetched, or is not allowed."""


class ToolFailedError(AgentloopError):
    """A tool raised an exception and the policy has `on_tool_error="raise"`."""


class ToolError(AgentloopError):
    """Raise this in a tool: the model gets the text unchanged, and the run continues."""


# --- any exception ---

LONGEST_TEXT = 20_000
_TYPE_NAME = vars(type)["__name__"]


def name_type(error: BaseException) -> str:
    """Return the name of an exception's class as Python keeps it: a metaclass may have another, or raise."""
    name: str = _TYPE_NAME.__get__(type(error))
    return name


def read_text(error: BaseException) -> str:
    """Return the text of an exception, or "" if it has none that can be read."""
    try:
        text: Any = error.message if isinstance(error, ToolError) else str(error)
    except BaseException:  # noqa: BLE001 - as it may raise anything; Ctrl-C would be lost only in this very moment
        return ""
    return text[:LONGEST_TEXT] if isinstance(text, str) else ""


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception."""
    text = read_text(error)
    return f"{name_type(error)}: {text}" if text else name_type(error)
