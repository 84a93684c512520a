"""The options that several commands share, and those of a run, which are too many for the parameters of a function."""

from dataclasses import dataclass
from typing import Annotated

import typer

BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The URL of a server that is not a listed provider, such as http://127.0.0.1:8080/v1. --model is then the"
        " model's name on that server. If the server needs a key, set AGENTLOOP_API_KEY.",
        show_default=False,
    ),
]
ListedUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="List the models of the server at this URL, such as http://127.0.0.1:8080/v1. If it needs a key,"
        " set AGENTLOOP_API_KEY.",
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
        help="The pack's name, file or module, with its configuration, such as files:root=.,write=true, ./mine.py or"
        " my.module:Pack.",
    ),
]


PromptName = Annotated[str, typer.Argument(metavar="NAME", help="The prompt, by the name of its file without .md.")]
ToolFiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE.py[:NAME]",
        help="Offer all tools of this file, or only the one called NAME, which may be a plain function. Repeatable.",
        show_default=False,
    ),
]
Packs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PACK[:KEY=VALUE,...]",
        help="Offer the tools of this pack, such as files:root=. or ./mine.py. `agentloop packs` lists the installed"
        " packs. Repeatable.",
        show_default=False,
    ),
]
Yes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Approve matching calls without asking, such as 'files.write' or 'files.write(path=docs/*)'. Repeatable.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """The options of `agentloop run` and `agentloop chat` that describe the agent. None means not given."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER:NAME",
            help="The model, such as openai:gpt-5 or ollama:qwen3:8b. Default: ovh:gpt-oss-20b if a key for OVHcloud is"
            " set, else local:smollm2, a small model that runs inside this process.",
            show_default=False,
        ),
    ] = None
    base_url: BaseUrl = None
    tools: ToolFiles = None
    pack: Packs = None
    yes: Yes = None
    instructions: Annotated[str | None, typer.Option(metavar="TEXT", help="The system prompt.", show_default=False)] = (
        None
    )
    max_tool_calls: Annotated[
        int | None, typer.Option(metavar="N", help="The most tool calls per run. Default: 30.", show_default=False)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommandOptions(AgentOptions):
    """All options of `agentloop run`."""

    prompt: Annotated[
        str | None,
        typer.Argument(help="The question or task. Give - to read it from standard input.", show_default=False),
    ] = None
    prompt_name: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="NAME",
            help="Give the model the instructions in prompts/NAME.md, here or in your configuration folder. `agentloop"
            " prompts list` lists them.",
            show_default=False,
        ),
    ] = None
    var: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A value for a variable of --prompt. Repeatable.", show_default=False),
    ] = None
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="Send this image with the prompt. Repeatable.", show_default=False),
    ] = None
    output_schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json",
            help="Let the model answer with JSON that fits the JSON schema in this file, and print it.",
            show_default=False,
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result, or the error, as a JSON object.")] = (
        False
    )
