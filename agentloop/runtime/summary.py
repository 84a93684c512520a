"""Lets the model summarise the items that no longer fit into its context window.

`window` decides which items these are, and adds the summary to the conversation that is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace

from agentloop.items import Item, Message, Reply, ToolCall, ToolResult
from agentloop.loop.trim import OLD_RESULT_CHARACTERS, cut
from agentloop.wire.conversation import Conversation
from agentloop.wire.model_target import ModelTarget

WORDS = 200
_REQUEST = f"""\
Summarise this earlier part of a conversation in at most {WORDS} words. Keep what the user asked for and decided, and \
facts, names and numbers that tools returned. Write the summary only.

"""


async def summarize(text: str, target: ModelTarget, send: Callable[[str, bytes], Awaitable[bytes]]) -> Reply:
    """Ask the model for a summary, and return its reply.

    Args:
        text: The text to summarise.
        target: The model. Its tools and instructions are not sent.
        send: Sends a body to a path and returns the response's body.

    Raises:
        EndpointError: the endpoint gave no summary.
    """
    settings = replace(target.settings, tool_choice=None)
    conversation = Conversation(replace(target, instructions=None, tools=(), output=None, settings=settings))
    body = conversation.encode(
        [Message("user", _REQUEST + text)], tools=False, stream=conversation.streams(wanted=False)
    )
    return conversation.decode(await send(conversation.path, body))


def write_transcript(items: Iterable[Item], characters: int) -> str:
    """Return the items as plain text of at most so many characters, without the middle if it is longer."""
    return cut("\n".join(_write_lines(items)), characters)


def _write_lines(items: Iterable[Item]) -> Iterator[str]:
    names: dict[str, str] = {}
    for item in items:
        match item:
            case Message(role=role) if item.text:
                yield f"{role}: {item.text}"
            case ToolCall(call_id=call_id, name=name, arguments=arguments):
                names[call_id] = name
                yield f"assistant called {name}: {arguments}"
            case ToolResult(call_id=call_id, content=content):
                yield f"{names.get(call_id, 'the tool')} returned: {cut(content, OLD_RESULT_CHARACTERS)}"
            case _:
                pass
