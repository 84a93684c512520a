"""The command line, as far as `--help` needs it: commands and words; their options are in `options`.

What a command does stands in a room of its own, imported when the command runs, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from inspect import signature
from typing import Annotated, Any

import typer

from agentloop.cli.options import AsJson, BaseUrl, KnownModel, Order, ProbedModel

_MISTAKE = 2  # as in _STATUSES
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
_profile = typer.Typer(help="What is known about endpoints.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_tools, name="tools")
app.add_typer(_profile, name="profile")


@app.command("run", epilog=_STATUSES)
def _run(**options: Any) -> None:
    """Let a model answer a prompt, with tools from your files.

    The answer goes to standard output, everything else to standard error.
    """
    from agentloop.cli.run_command import run_prompt  # noqa: PLC0415 - 0.2 s that help need not pay

    raise typer.Exit(run_prompt(Order(**options)))


vars(_run)["__signature__"] = signature(Order)  # what typer reads: its options are the fields of an Order


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
    from agentloop.cli.models_command import list_models  # noqa: PLC0415 - as above

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
    from agentloop.cli.probe_command import probe_endpoint  # noqa: PLC0415 - as above

    raise typer.Exit(probe_endpoint(model, base_url, as_json=as_json, save=save))


@_profile.command("show", epilog=_STATUSES)
def _show(*, model: KnownModel = None, base_url: BaseUrl = None, as_json: AsJson = False) -> None:
    """Show what is known about a model and where from; without one, all that was learned, and the files."""
    from agentloop.cli.profile_command import show_profile  # noqa: PLC0415 - as above

    raise typer.Exit(show_profile(model, base_url, as_json=as_json))


@_profile.command("forget", epilog=_STATUSES)
def _forget(
    *,
    model: KnownModel = None,
    base_url: BaseUrl = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget all that was learned.")] = False,
) -> None:
    """Forget what was learned about a model or a server, so that it is learned again if it still holds."""
    from agentloop.cli.profile_command import forget_profile  # noqa: PLC0415 - as above

    raise typer.Exit(forget_profile(model, base_url, everything=everything))


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command line, by default that of this process, and exit with its status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # as after >&-; the next file that is opened would take its place
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process
    try:
        app(arguments, prog_name="agentloop")
    except OSError as error:  # commands explain their own; this is standard output, as on a full disk
        typer.echo(f"error: the output can't be written: {error.strerror}", err=True)
        with suppress(OSError):  # what is left of it would fail once more, and loudly, when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_MISTAKE)
