"""The options that several commands share, and those of a run, which are too many for the parameters of a function."""

from dataclasses import dataclass
from typing import Annotated

import typer

BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A server that is in no table, up to and including /v1; --model is then the name as it knows it, and"
        " AGENTLOOP_API_KEY may hold the key.",
        show_default=False,
    ),
]
ProbedModel = Annotated[str, typer.Option(metavar="PROVIDER:NAME", help="The model, such as ovh:gpt-oss-20b.")]
KnownModel = Annotated[
    str | None,
    typer.Option(metavar="PROVIDER:NAME", help="The model, such as ovh:gpt-oss-20b.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]

PackSpecText = Annotated[
    str,
    typer.Argument(
        metavar="PACK",
        help="A pack by its name, file or module, and its configuration: files:root=.,write=true, ./mine.py,"
        " my.module:Pack.",
    ),
]


ToolFiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE.py[:NAME]",
        help="Offer the tools and registries of this file, or the one of that name, which may be a plain function."
        " Repeatable.",
        show_default=False,
    ),
]
Packs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PACK[:KEY=VALUE,...]",
        help="Offer the tools of this pack, such as files:root=. or ./mine.py; `agentloop packs` lists those that are"
        " installed. Repeatable.",
        show_default=False,
    ),
]
Yes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Let calls that need a yes run without asking, such as 'files.write' or 'files.write(path=docs/*)'."
        " Repeatable.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """The agent that `agentloop run` and `agentloop chat` are asked for; None is what was not given."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER:NAME",
            help="The model, such as openai:gpt-5 or ollama:qwen3:8b. Default: ovh:gpt-oss-20b where a key for it is"
            " set, else local:smollm2, a small model inside this process.",
            show_default=False,
        ),
    ] = None
    base_url: BaseUrl = None
    tools: ToolFiles = None
    pack: Packs = None
    yes: Yes = None
    instructions: Annotated[str | None, typer.Option(metavar="TEXT", help="The system text.", show_default=False)] = (
        None
    )
    max_tool_calls: Annotated[
        int | None, typer.Option(metavar="N", help="How many tool calls may run. Default: 30.", show_default=False)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommandOptions(AgentOptions):
    """What `agentloop run` is asked for."""

    prompt: Annotated[str, typer.Argument(help="The question or task; - reads it from standard input.")]
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="Show the model this image. Repeatable.", show_default=False),
    ] = None
    output_schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json", help="Print JSON that follows the JSON schema in this file.", show_default=False
        ),
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result, or the error, as one JSON object.")
    ] = False
