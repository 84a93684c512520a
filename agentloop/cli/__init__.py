"""The command line: the commands with their help. The code of a command is imported when it runs, so that help is fast.

- `commands/`: one module for each command.
- `options`: the options that commands share; `agent_options`: makes an agent from them.
- `target`: finds the model and the endpoint that the options name.
- `prompt_files`: finds the prompts that the options name.
- `sources`: loads the tools and packs that the options name; `tool_file`: loads the tools in a user's file.
- `follow`: runs an agent and shows its events with `screen`; `approvals/`: asks for decisions.
- `terminal`: standard output and standard error; `failure`: reports an error and chooses the exit status.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from agentloop.cli.options import (
    AgentOptions,
    AsJson,
    BaseUrl,
    KnownModel,
    ListedUrl,
    Packs,
    PackSpecText,
    ProbedModel,
    PromptName,
    RunCommandOptions,
    ToolFiles,
    Yes,
)

_MISTAKE = 2  # see _STATUSES
_STATUSES = """\
\b
Exit status:
  0    success: the model answered, or the command found no fault
  2    a mistake in your options, files, tools or settings
  3    the run stopped without an answer: at a limit, cut off or refused
  4    the endpoint could not answer
  130  interrupted by Ctrl-C"""

# Without an explicit default typer imports pydantic, and `agentloop packs` would take twice as long.
_HELP_OFF = {"help": False}

# With rich, help would take three times as long.
app = typer.Typer(
    help="Run agents that call Python functions, on any OpenAI-compatible endpoint.",
    epilog=_STATUSES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"default_map": {**_HELP_OFF, "packs": _HELP_OFF}},
)
_tools = typer.Typer(help="Check tools, or call one by hand.", no_args_is_help=True, rich_markup_mode=None)
_packs = typer.Typer(invoke_without_command=True, rich_markup_mode=None, epilog=_STATUSES)
_profile = typer.Typer(
    help="Show or delete what is stored about endpoints.", no_args_is_help=True, rich_markup_mode=None
)
_prompts = typer.Typer(
    help="List, show or check the prompts in the folder `prompts`.", no_args_is_help=True, rich_markup_mode=None
)
_mcp = typer.Typer(help="Review the tools of MCP servers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_tools, name="tools")
app.add_typer(_packs, name="packs")
app.add_typer(_profile, name="profile")
app.add_typer(_mcp, name="mcp")
app.add_typer(_prompts, name="prompts")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if wanted:
        from agentloop.installation import read_version  # noqa: PLC0415 - as in _run

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
    """Let a model answer one prompt.

    The model can call tools from packs (--pack) and from your own files (--tools). The answer goes to standard output,
    everything else to standard error.
    """
    from agentloop.cli.commands.run import run_prompt  # noqa: PLC0415 - it takes 0.2 s, and help does not need it

    raise typer.Exit(run_prompt(RunCommandOptions(**options)))


vars(_run)["__signature__"] = signature(RunCommandOptions)  # typer reads the options from it


@app.command("chat", epilog=_STATUSES)
def _chat(**options: Any) -> None:
    """Hold a conversation with a model.

    Each line that you type is one message. The model can call tools from packs (--pack) and from your own files
    (--tools). Answers go to standard output, everything else to standard error.
    """
    from agentloop.cli.commands.chat import chat  # noqa: PLC0415 - as above

    raise typer.Exit(chat(AgentOptions(**options)))


vars(_chat)["__signature__"] = signature(AgentOptions)


@_tools.command("call", epilog=_STATUSES)
def _call(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tool's name, such as files.read or files_read.")],
    arguments: Annotated[str, typer.Argument(metavar="JSON", help="The arguments, as a JSON object.")] = "{}",
    *,
    pack: Packs = None,
    tools: ToolFiles = None,
    yes: Yes = None,
) -> None:
    """Call one tool as a model would call it.

    The tool's result goes to standard output, everything else to standard error. No model is used.
    """
    from agentloop.cli.commands.tools_call import call_tool  # noqa: PLC0415 - as above

    raise typer.Exit(call_tool(name, arguments, packs=pack, tools=tools, yes=yes))


@_tools.command("check", epilog=_STATUSES)
def _check(
    file: Annotated[
        str, typer.Argument(metavar="FILE.py[:NAME]", help="The file, or one tool, registry or function in it.")
    ],
) -> None:
    """Check the tools in a file, without a network.

    The tools' JSON schemas, as a model would get them on /v1/responses, go to standard output. Every fault goes to
    standard error, with the way to correct it.
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
            help="Import and open each pack in a separate process, and report those that are broken or lack something.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the installed tool packs.

    Without --check no pack is imported.
    """
    if context.invoked_subcommand is None:
        from agentloop.cli.commands.packs import list_installed  # noqa: PLC0415 - as above

        raise typer.Exit(list_installed(check=check, as_json=as_json))


@_packs.command("show", epilog=_STATUSES)
def _show_pack(spec: PackSpecText, *, as_json: AsJson = False) -> None:
    """Show a pack's tools and configuration.

    For each tool you see its effects and its parameters' JSON schema. The pack is opened to list its tools.
    """
    from agentloop.cli.commands.packs import show_pack  # noqa: PLC0415 - as above

    raise typer.Exit(show_pack(spec, as_json=as_json))


@_packs.command("new", epilog=_STATUSES)
def _new_pack(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new pack, such as greetings.")],
) -> None:
    """Write a new package for a pack of your own.

    The package is complete, with a tool, a test that passes and a README. It is written to a new folder in the current
    one.
    """
    from agentloop.cli.commands.packs_new import write_package  # noqa: PLC0415 - as above

    raise typer.Exit(write_package(name))


@_packs.command("serve", epilog=_STATUSES)
def _serve(
    specs: Annotated[list[str], typer.Argument(metavar="PACK", help="The packs, written as for --pack.")],
    *,
    mcp: Annotated[  # noqa: ARG001 - required, so that other protocols can be added later
        bool, typer.Option("--mcp", help="Serve over the Model Context Protocol, on standard input and output.")
    ],
    yes: Yes = None,
) -> None:
    """Serve packs to an MCP client.

    The same policy applies as in a run. A call that needs approval is refused, unless --yes allows it.
    """
    from agentloop.cli.commands.packs_serve import serve_packs  # noqa: PLC0415 - as above

    raise typer.Exit(serve_packs(specs, yes=yes or ()))


@app.command("models", epilog=_STATUSES)
def _models(
    provider: Annotated[
        str | None,
        typer.Argument(
            help="The provider whose models to list, such as ovh. Default: list the providers.", show_default=False
        ),
    ] = None,
    *,
    base_url: ListedUrl = None,
    as_json: AsJson = False,
) -> None:
    """List providers, or the models of one provider.

    For each model you see what it can do, where the provider publishes it. A ? means that the provider does not say.
    """
    from agentloop.cli.commands.models import list_models  # noqa: PLC0415 - as above

    raise typer.Exit(list_models(provider, base_url, as_json=as_json))


@app.command("probe", epilog=_STATUSES)
def _probe(
    *,
    model: ProbedModel,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    save: Annotated[bool, typer.Option("--save", help="Store what was found, for later runs.")] = False,
) -> None:
    """Find out what an endpoint supports.

    At most 20 small requests are sent. Each result comes with its evidence. A ? means that the requests could not
    tell.
    """
    from agentloop.cli.commands.probe import probe_endpoint  # noqa: PLC0415 - as above

    raise typer.Exit(probe_endpoint(model, base_url, as_json=as_json, save=save))


@_profile.command("show", epilog=_STATUSES)
def _show(*, model: KnownModel = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Show what is known about a model.

    Each field is shown with its source: the built-in table, agentloop.toml, or a refusal of the server. Without --model
    all that was learned from servers is listed, with the paths of the files.
    """
    from agentloop.cli.commands.profile import show_profile  # noqa: PLC0415 - as above

    raise typer.Exit(show_profile(model, base_url, as_json=as_json))


@_profile.command("forget", epilog=_STATUSES)
def _forget(
    *,
    model: KnownModel = None,
    base_url: BaseUrl = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget what was learned about all servers.")] = False,
) -> None:
    """Forget what was learned about a server.

    Name a model with --model, a whole server with --base-url, or all servers with --all. What still holds is learned
    again.
    """
    from agentloop.cli.commands.profile import forget_profile  # noqa: PLC0415 - as above

    raise typer.Exit(forget_profile(model, base_url, everything=everything))


@_mcp.command("pin", epilog=_STATUSES)
def _pin(
    spec: Annotated[str, typer.Argument(metavar="PACK", help="The server, written as for --pack.")],
    *,
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Accept tools with this fingerprint without asking.", show_default=False),
    ] = None,
) -> None:
    """Show how an MCP server has changed its tools since you accepted them, and accept them if you say yes.

    A call of a changed tool asks for your approval too, but --yes never approves one.
    """
    from agentloop.cli.commands.mcp_pin import pin_tools  # noqa: PLC0415 - as above

    raise typer.Exit(pin_tools(spec, fingerprint=fingerprint))


@_prompts.command("list", epilog=_STATUSES)
def _list_prompts(*, as_json: AsJson = False) -> None:
    """List the prompts in the working directory and in your configuration folder."""
    from agentloop.cli.commands.prompts import list_prompts  # noqa: PLC0415 - as above

    raise typer.Exit(list_prompts(as_json=as_json))


@_prompts.command("show", epilog=_STATUSES)
def _show_prompt(name: PromptName, *, as_json: AsJson = False) -> None:
    """Show a prompt: its texts, its variables and what it sets."""
    from agentloop.cli.commands.prompts import show_prompt  # noqa: PLC0415 - as above

    raise typer.Exit(show_prompt(name, as_json=as_json))


@_prompts.command("check", epilog=_STATUSES)
def _check_prompts(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The prompt. Default: all.", show_default=False)
    ] = None,
) -> None:
    """Check prompts, and report each fault with the way to correct it."""
    from agentloop.cli.commands.prompts import check_prompts  # noqa: PLC0415 - as above

    raise typer.Exit(check_prompts(name))


@app.command("trust", epilog=_STATUSES)
def _trust(
    folder: Annotated[Path, typer.Argument(help="The folder. Default: the current one.", show_default=False)] = Path(),
) -> None:
    """Let the agentloop.toml and the prompts of a folder count.

    Until then they are ignored, because somebody else may have written them. Read them first. What changes must be
    trusted again.
    """
    from agentloop.cli.commands.trust import trust_folder  # noqa: PLC0415 - as above

    raise typer.Exit(trust_folder(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line, by default that of this process, and exit with its status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as after >&-; the next file that is opened would get its number
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open until the process ends
    try:
        app(arguments, prog_name="agentloop")
    except OSError as error:  # commands report their own; this one is from standard output, for example on a full disk
        full = [sys.stdout]
        try:
            typer.echo(f"error: the output can't be written: {error.strerror}", err=True)
        except OSError:
            full.append(sys.stderr)
        for stream in full:
            with suppress(OSError):  # else the buffered text would fail again, with a traceback, when Python exits
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(_MISTAKE)
