"""The command line, as far as `--help` needs it: commands, options and words.

What a command does stands in a room of its own, imported when the command runs, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

_STATUSES = """\
\b
Exit status:
  0    it is done: the model has answered, or no tool is at fault
  2    your mistake: an option, a file, a tool, a setting
  3    the run ended otherwise: at a limit, cut off or refused
  4    the endpoint could not answer
  130  interrupted by Ctrl-C"""

# Rich would triple the time that help takes.
app = typer.Typer(
    help="Agents that call Python functions, on any OpenAI-compatible endpoint.",
    epilog=_STATUSES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_tools = typer.Typer(help="Look at tools.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_tools, name="tools")


_Prompt = Annotated[str, typer.Argument(help="The question or task; - reads it from standard input.")]
_Model = Annotated[
    str | None,
    typer.Option(
        metavar="PROVIDER:NAME",
        help="The model, such as openai:gpt-5 or ollama:qwen3:8b. Default: ovh:gpt-oss-20b where a key for it is"
        " set, else local:smollm2, a small model inside this process.",
        show_default=False,
    ),
]
_BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A server that is in no table, up to and including /v1; --model is then the name as it knows it, and"
        " AGENTLOOP_API_KEY may hold the key.",
        show_default=False,
    ),
]
_ToolFiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE.py[:NAME]",
        help="Offer the tools and registries of this file, or the one of that name, which may be a plain"
        " function. Repeatable.",
        show_default=False,
    ),
]
_Instructions = Annotated[str | None, typer.Option(metavar="TEXT", help="The system text.", show_default=False)]
_MaxToolCalls = Annotated[
    int | None, typer.Option(metavar="N", help="How many tool calls may run. Default: 30.", show_default=False)
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the whole result, or the error, as one JSON object.")]


@app.command("run", epilog=_STATUSES)
def _run(
    prompt: _Prompt,
    *,
    model: _Model = None,
    base_url: _BaseUrl = None,
    tools: _ToolFiles = None,
    instructions: _Instructions = None,
    max_tool_calls: _MaxToolCalls = None,
    as_json: _AsJson = False,
) -> None:
    """Let a model answer a prompt, with tools from your files.

    The answer goes to standard output, everything else to standard error.
    """
    from agentloop.cli.run_command import Order, run_prompt  # noqa: PLC0415 - 0.2 s that help need not pay

    order = Order(
        prompt=prompt,
        model=model,
        base_url=base_url,
        tool_files=tuple(tools or ()),
        instructions=instructions,
        max_tool_calls=max_tool_calls,
    )
    raise typer.Exit(run_prompt(order, as_json=as_json))


@_tools.command("check", epilog=_STATUSES)
def _check(
    file: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="The file, or one thing in it.")],
) -> None:
    """Print what a model is told of the tools in a file, and all that is wrong with them.

    The JSON that is sent on /v1/responses goes to standard output, every fault with its remedy to standard error.
    Nothing is sent.
    """
    from agentloop.cli.check_command import check_tools  # noqa: PLC0415 - as above

    raise typer.Exit(check_tools(file))


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command line, by default that of this process, and exit with its status."""
    app(arguments, prog_name="agentloop")
