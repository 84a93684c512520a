"""Defines PreparedAgent: the checked options of an agent, and what its runs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agentloop.agent.options import Instructions, check_run_options
from agentloop.agent.prompt import FilledPrompt, begin_prompted
from agentloop.endpoint.profile_store import ResolvedProfile, recall, remember
from agentloop.endpoint.served_model import ServedModels
from agentloop.endpoint.transport import RetryPolicy, Transport
from agentloop.loop.guard import Rules, check_names
from agentloop.loop.run import Outcome, Run, RunResult
from agentloop.packs import part_packs
from agentloop.runtime.drive import drive
from agentloop.runtime.journal import Observer
from agentloop.runtime.run_config import RunConfig, adapt_rules, check_tool_choice, offer_tools
from agentloop.schema import OutputSchema
from agentloop.tools import collect_tools
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import ModelSettings


class PreparedAgent:
    """The checked options of an agent, and what its runs share.

    Args:
        options: The options, by their names: see RunOptions.
        models: The models that agents with other options are connected to; this one shares the connections.
        encoded_tools: The JSON of the tools, if another agent has the same ones.

    Attributes:
        model: The model as the user names it.

    Raises:
        ConfigurationError: an option is wrong, or two of them do not go together.
        ToolDefinitionError: a function can't become a tool.
        DuplicateToolError: two tools have the same name.
        PackError: a pack that is named can't be imported.
    """

    def __init__(
        self, options: Mapping[str, Any], models: ServedModels, encoded_tools: dict[object, bytes] | None = None
    ) -> None:
        check_run_options(options)
        self._options: dict[str, Any] = {**options, "tools": tuple(options["tools"])}
        own, self._packs = part_packs(self._options["tools"])
        output, settings = options["output"], options["settings"]
        self._prompt: FilledPrompt | None = options.get("prompt")
        self._rules = Rules(
            limits=options["limits"],
            tools=collect_tools(own),
            policy=options["policy"],
            output=None if output is None else OutputSchema(output),
            selected=None if self._prompt is None else self._prompt.tools,
        )
        self._models = models
        self.model: str = options["model"]
        self._served = models.find(self.model, options["endpoint"])
        self._encoded_tools: dict[object, bytes] = {} if encoded_tools is None else encoded_tools
        self._config: RunConfig | None = None
        if not self._packs:
            check_tool_choice(settings, self._rules)
            check_names(self._rules)

    def replace(self, options: Mapping[str, Any], models: ServedModels | None = None) -> PreparedAgent:
        """Return one that has these options and connections, and is otherwise like this one."""
        if not options:
            return self
        check_run_options(options)
        prompt: FilledPrompt | None = options.get("prompt")
        merged = {**self._options, **options} if prompt is None else prompt.adapt(self._options, options)
        if prompt is None and "instructions" in options:
            merged.pop("prompt", None)
        has_same_tools = options.keys().isdisjoint({"tools", "policy"}) and merged.get("prompt") is self._prompt
        return PreparedAgent(merged, models or self._models, self._encoded_tools if has_same_tools else None)

    async def drive(
        self,
        begun: tuple[Run, Outcome | None],
        context: Any,
        *,
        stream: bool,
        observer: Observer | None = None,
    ) -> RunResult[Any]:
        """Drive a run to its end; see `drive.drive`."""
        run, outcome = begin_prompted(self._prompt, *begun)
        config = self._config or self._make_config(*await self._served.connect())
        recall(*config.target.key)
        return await drive(config, run, outcome, context=context, stream=stream, observer=observer)

    async def aclose(self) -> None:
        """Free the connections, also those of its relatives; the next request opens new ones."""
        await self._models.aclose()

    def _make_config(self, transport: Transport, known: ResolvedProfile) -> RunConfig:
        endpoint = transport.endpoint
        settings: ModelSettings = self._options["settings"]
        instructions: Instructions = self._options["instructions"]
        offered = offer_tools(self._rules)
        target = ModelTarget(
            base_url=known.place,
            model=self._served.name,
            instructions=None if callable(instructions) else instructions,
            tools=offered,
            settings=replace(settings, extra_body={**endpoint.extra_body, **settings.extra_body}),
            profile=known.base,
            output=self._rules.output.form if self._rules.output else None,
            encoded_tools=self._encoded_tools,
        )
        self._config = RunConfig(
            target=target,
            instruct=instructions if callable(instructions) else None,
            rules=adapt_rules(self._rules, settings, known.profile, offered),
            packs=self._packs,
            profile=known.profile,
            transport=transport,
            retry=RetryPolicy.of(endpoint),
            remember=partial(remember, known.place, self._served.name),
            warnings=[] if self._packs else check_names(self._rules),
            take_warnings=self._served.take_warnings,
        )
        return self._config
