"""The command line: the commands with their help. What a command does is imported when it runs, so that help is fast.

- `commands/`: one module for each command.
- `options`: the options that commands share; `agent_options` makes an agent of them.
- `target`: the model that they name.
- `sources`: the tools and packs that they name; `tool_file`: the tools in a user's file.
- `follow`: runs an agent and shows it with `screen`; `approvals/`: asks for decisions.
- `terminal`: standard output and standard error; `failure`: how a command ends with an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from inspect import signature
from typing import Annotated, Any

import typer

from agentloop.cli.options import (
    AgentOptions,
    AsJson,
    BaseUrl,
    KnownModel,
    Packs,
    PackSpecText,
    ProbedModel,
    RunCommandOptions,
    ToolFiles,
    Yes,
)

_MISTAKE = 2  # as in _STATUSES
_STATUSES = """\
\b
Exit status:
  0    it is done: the model has answered, or no tool is at fault
  2    your mistake: an option, a file, a tool, a setting
  3    the run ended otherwise: at a limit, cut off or refused
  4    the endpoint could not answer
  130  interrupted by Ctrl-C"""

# Said, since for what is not said typer imports pydantic, and a list of packs would take twice as long.
_NOT_ASKED_FOR = {"help": False}

# Rich would triple the time that help takes.
app = typer.Typer(
    help="Agents that call Python functions, on any OpenAI-compatible endpoint.",
    epilog=_STATUSES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"default_map": {**_NOT_ASKED_FOR, "packs": _NOT_ASKED_FOR}},
)
_tools = typer.Typer(help="Look at tools, or call one.", no_args_is_help=True, rich_markup_mode=None)
_packs = typer.Typer(invoke_without_command=True, rich_markup_mode=None, epilog=_STATUSES)
_profile = typer.Typer(help="What is known about endpoints.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_tools, name="tools")
app.add_typer(_packs, name="packs")
app.add_typer(_profile, name="profile")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        from agentloop.packs.installation import read_version  # noqa: PLC0415 - as below

        typer.echo(f"agentloop {read_version()}")
        raise typer.Exit


@app.callback()
def _start(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command("run", epilog=_STATUSES)
def _run(**options: Any) -> None:
    """Let a model answer a prompt, with tools from packs and from your files.

    The answer goes to standard output, everything else to standard error.
    """
    from agentloop.cli.commands.run import run_prompt  # noqa: PLC0415 - 0.2 s that help need not pay

    raise typer.Exit(run_prompt(RunCommandOptions(**options)))


vars(_run)["__signature__"] = signature(RunCommandOptions)  # typer reads the options from it


@app.command("chat", epilog=_STATUSES)
def _chat(**options: Any) -> None:
    """Talk with a model, with tools from packs and from your files; each line is a turn.

    Answers go to standard output, everything else to standard error.
    """
    from agentloop.cli.commands.chat import chat  # noqa: PLC0415 - as above

    raise typer.Exit(chat(AgentOptions(**options)))


vars(_chat)["__signature__"] = signature(AgentOptions)


@_tools.command("call", epilog=_STATUSES)
def _call(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tool, such as files.read or files_read.")],
    arguments: Annotated[str, typer.Argument(metavar="JSON", help="Its arguments, as an object.")] = "{}",
    *,
    pack: Packs = None,
    tools: ToolFiles = None,
    yes: Yes = None,
) -> None:
    """Call a tool by hand, as a model would call it: its result goes to standard output."""
    from agentloop.cli.commands.tools_call import call_tool  # noqa: PLC0415 - as above

    raise typer.Exit(call_tool(name, arguments, packs=pack, tools=tools, yes=yes))


@_tools.command("check", epilog=_STATUSES)
def _check(
    file: Annotated[str, typer.Argument(metavar="FILE.py[:NAME]", help="The file, or one thing in it.")],
) -> None:
    """Print what a model is told of the tools in a file, and all that is wrong with them.

    The JSON that is sent on /v1/responses goes to standard output, every fault with its remedy to standard error.
    Nothing is sent.
    """
    from agentloop.cli.commands.tools_check import check_tools  # noqa: PLC0415 - as above

    raise typer.Exit(check_tools(file))


@_packs.callback()
def _list_packs(
    context: typer.Context,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Say which are broken or lack something: import and open each, in a process of its own.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the tool packs that are installed; without --check none of them is imported."""
    if context.invoked_subcommand is None:
        from agentloop.cli.commands.packs import list_installed  # noqa: PLC0415 - as above

        raise typer.Exit(list_installed(check=check, as_json=as_json))


@_packs.command("show", epilog=_STATUSES)
def _show_pack(spec: PackSpecText, *, as_json: AsJson = False) -> None:
    """Show a pack's tools, their effects and schemas, and its configuration; the pack is opened for it."""
    from agentloop.cli.commands.packs import show_pack  # noqa: PLC0415 - as above

    raise typer.Exit(show_pack(spec, as_json=as_json))


@_packs.command("new", epilog=_STATUSES)
def _new_pack(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the pack is to be called, such as greetings.")],
) -> None:
    """Write a package with a pack of your own, which passes its own test, into a new folder."""
    from agentloop.cli.commands.packs_new import write_package  # noqa: PLC0415 - as above

    raise typer.Exit(write_package(name))


@_packs.command("serve", epilog=_STATUSES)
def _serve(
    specs: Annotated[list[str], typer.Argument(metavar="PACK", help="The packs, as for --pack.")],
    *,
    mcp: Annotated[  # noqa: ARG001 - has to be said, so that other ways can follow
        bool, typer.Option("--mcp", help="Over the Model Context Protocol, on standard input and output.")
    ],
    yes: Yes = None,
) -> None:
    """Offer packs to another program, under the same policy; what needs a yes is refused unless --yes allows it."""
    from agentloop.cli.commands.packs_serve import serve_packs  # noqa: PLC0415 - as above

    raise typer.Exit(serve_packs(specs, yes=yes or ()))


@app.command("models", epilog=_STATUSES)
def _models(
    provider: Annotated[
        str | None, typer.Argument(help="Whose models to list. Default: list the providers.", show_default=False)
    ] = None,
    *,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the providers, or the models that one of them has and what they can do.

    A ? stands for what the provider does not say.
    """
    from agentloop.cli.commands.models import list_models  # noqa: PLC0415 - as above

    raise typer.Exit(list_models(provider, base_url, as_json=as_json))


@app.command("probe", epilog=_STATUSES)
def _probe(
    *,
    model: ProbedModel,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    save: Annotated[bool, typer.Option("--save", help="Let later runs know what was found out.")] = False,
) -> None:
    """Find out with small requests, 20 at the most, what an endpoint really does.

    Each line has its evidence; a ? stands for what could not be told.
    """
    from agentloop.cli.commands.probe import probe_endpoint  # noqa: PLC0415 - as above

    raise typer.Exit(probe_endpoint(model, base_url, as_json=as_json, save=save))


@_profile.command("show", epilog=_STATUSES)
def _show(*, model: KnownModel = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Show what is known about a model and where from; without one, all that was learned, and the files."""
    from agentloop.cli.commands.profile import show_profile  # noqa: PLC0415 - as above

    raise typer.Exit(show_profile(model, base_url, as_json=as_json))


@_profile.command("forget", epilog=_STATUSES)
def _forget(
    *,
    model: KnownModel = None,
    base_url: BaseUrl = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget all that was learned.")] = False,
) -> None:
    """Forget what was learned about a model or a server, so that it is learned again if it still holds."""
    from agentloop.cli.commands.profile import forget_profile  # noqa: PLC0415 - as above

    raise typer.Exit(forget_profile(model, base_url, everything=everything))


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command line, by default that of this process, and exit with its status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # as after >&-; the next file that is opened would take its place
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process
    try:
        app(arguments, prog_name="agentloop")
    except OSError as error:  # commands explain their own; this is standard output, as on a full disk
        full = [sys.stdout]
        try:
            typer.echo(f"error: the output can't be written: {error.strerror}", err=True)
        except OSError:
            full.append(sys.stderr)
        for stream in full:
            with suppress(OSError):  # what is left in it would fail once more, and loudly, when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(_MISTAKE)
