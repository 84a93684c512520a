"""Agent: a model with its tools and limits, and the ways to run it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import NoneType, TracebackType
from typing import Any, Generic, Self, cast, overload
from uuid import uuid4

from agentloop.endpoint.profile_store import recall, remember, resolve_profile
from agentloop.endpoint.transport import HttpTransport, RetryPolicy, Transport, WarningSource
from agentloop.errors import ConfigurationError, RunStateError
from agentloop.events import Event
from agentloop.items import Item, Message, Opaque, Reasoning, ToolCall, ToolResult
from agentloop.limits import Limits
from agentloop.loop.guard import Rules, check_names
from agentloop.loop.run import HumanDecided, Outcome, Output_co, Run, RunResult, UserSaid
from agentloop.packs import ToolSource, part_packs
from agentloop.policy import Decision, Policy
from agentloop.runtime.drive import drive
from agentloop.runtime.journal import Observer
from agentloop.runtime.portal import PORTAL
from agentloop.runtime.run_config import RunConfig, adapt_rules, check_tool_choice, offer_tools
from agentloop.runtime.streaming import stream_events
from agentloop.schema import OutputSchema
from agentloop.tools import collect_tools
from agentloop.wire.model_target import ModelTarget
from agentloop.wire.profile import Endpoint, ModelSettings
from agentloop.wire.profile.providers import Provider, find_provider

Input = str | Message | Sequence[Item]

_ITEMS = (Message, Reasoning, ToolCall, ToolResult, Opaque)
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), '"ovh:gpt-oss-20b"'),
    "endpoint": ((Endpoint, Transport, NoneType), 'Endpoint("http://127.0.0.1:8000/v1")'),
    "instructions": ((str, NoneType), '"Be brief."'),
    "tools": ((Iterable,), "[my_function]"),
    "limits": ((Limits,), "Limits(tool_calls=10)"),
    "settings": ((ModelSettings,), "ModelSettings(temperature=0)"),
    "policy": ((Policy,), 'Policy(ask=("delete_*",))'),
}


class Agent(Generic[Output_co]):
    """A model with tools, ready to run; it holds no state of any run and may be used by many at once.

    Args:
        model: `provider:name`, such as `ovh:gpt-oss-20b` or `local:smollm2`; with an endpoint, the name as the server
            knows it.
        endpoint: Where the model is served, when it is not in the built-in table.
        instructions: The system text.
        tools: Functions, Tools, registries and packs; a pack as an object, or as text: `"files:root=."`.
        output: What `result.output` is to be: a pydantic model, dataclass, TypedDict, union, list, plain type, or a
            JSON schema as a dict. For a union or a Literal, say it to type checkers: `agent: Agent[int | str] = ...`.
        limits: How much one run may do.
        settings: What the model is asked for.
        policy: Which calls need a yes, and what a failing tool does to the run.

    Raises:
        ConfigurationError: there is no such provider, the endpoint makes no sense, no JSON is of the output type, or a
            rule or limit names no tool. With packs, the tools are known when a run has opened them.
        ToolDefinitionError: a function can't become a tool.
        DuplicateToolError: two tools bear one name.
        PackError: a pack that is named can't be imported.
    """

    @overload
    def __init__(
        self: Agent[None],
        model: str,
        *,
        endpoint: Endpoint | Transport | None = None,
        instructions: str | None = None,
        tools: Iterable[ToolSource] = (),
        output: None = None,
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        policy: Policy = Policy(),
    ) -> None: ...
    @overload
    def __init__(
        self,
        model: str,
        *,
        endpoint: Endpoint | Transport | None = None,
        instructions: str | None = None,
        tools: Iterable[ToolSource] = (),
        output: type[Output_co],
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        policy: Policy = Policy(),
    ) -> None: ...
    @overload
    def __init__(
        self: Agent[Any],
        model: str,
        *,
        endpoint: Endpoint | Transport | None = None,
        instructions: str | None = None,
        tools: Iterable[ToolSource] = (),
        output: object,
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        policy: Policy = Policy(),
    ) -> None: ...
    def __init__(
        self,
        model: str,
        *,
        endpoint: Endpoint | Transport | None = None,
        instructions: str | None = None,
        tools: Iterable[ToolSource] = (),
        output: object = None,
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        policy: Policy = Policy(),
    ) -> None:
        _check_kinds(
            model=model,
            endpoint=endpoint,
            instructions=instructions,
            tools=tools,
            limits=limits,
            settings=settings,
            policy=policy,
        )
        self.model = model
        answer = None if output is None else OutputSchema(output)
        own, self._packs = part_packs(tools)
        self._rules = Rules(limits=limits, tools=collect_tools(own), policy=policy, output=answer)
        self._instructions = instructions
        self._settings = settings
        self._name = model
        self._provider = Provider()
        self._transport: Transport | None = None
        self._config: RunConfig | None = None
        if endpoint is None:
            self._provider, self._name = find_provider(model)
            if not self._provider.starter:
                self._transport = HttpTransport(self._provider.endpoint(self._name, os.environ))
        else:
            self._transport = HttpTransport(endpoint) if isinstance(endpoint, Endpoint) else endpoint
        if not self._packs:
            check_tool_choice(settings, self._rules)
            check_names(self._rules)

    async def run(
        self,
        input: Input,  # noqa: A002 - the field's own word for it
        *,
        history: Sequence[Item] = (),
        context: Any = None,
    ) -> RunResult[Output_co]:
        """Run to the end and return what it came to.

        Args:
            input: A question, a message, or items.
            history: What went before, such as the `items` of an earlier result, or a part of them. A result without its
                call is left out, a call without its result is answered, and a notice says so.
            context: Your own object, which tools see as `value` on their ToolContext.

        Raises:
            EndpointError: the endpoint could not answer; `error.run` resumes with `agent.resume`.
            OutputError: the answer is not of the output type, even after the model was told why.
            ToolFailedError: a tool raised, and the policy says `on_tool_error="raise"`.
            asyncio.CancelledError: the run was cancelled; `error.run` resumes too. Where a timeout around the run
                makes a TimeoutError of it, that has it on its `__context__`: `error.__context__.run`.
        """
        return await self._drive(_begin(input, history), context, stream=False)

    def run_sync(
        self,
        input: Input,  # noqa: A002 - as above
        *,
        history: Sequence[Item] = (),
        context: Any = None,
    ) -> RunResult[Output_co]:
        """Do as `run` does, from code that is not async; it works inside a running event loop too."""
        begun = _begin(input, history)
        return PORTAL.call(lambda: self._drive(begun, context, stream=False))

    def stream(
        self,
        input: Input,  # noqa: A002 - as above
        *,
        history: Sequence[Item] = (),
        context: Any = None,
    ) -> AsyncGenerator[Event, None]:
        """Yield the run's events as they happen; the last is Finished, with the result.

        The arguments and errors are those of `run`. Leaving the loop early ends the run.
        """
        begun = _begin(input, history)
        return stream_events(lambda observer: self._drive(begun, context, stream=True, observer=observer))

    def stream_sync(
        self,
        input: Input,  # noqa: A002 - as above
        *,
        history: Sequence[Item] = (),
        context: Any = None,
    ) -> Generator[Event, None, None]:
        """Do as `stream` does, from code that is not async."""
        return PORTAL.iterate(lambda: self.stream(input, history=history, context=context))

    async def resume(
        self, run: Run, *, decisions: Mapping[str, Decision] | None = None, context: Any = None
    ) -> RunResult[Output_co]:
        """Go on with a run that was paused, cancelled or broken off, perhaps in another process.

        A stored run that is resumed twice runs its approved tools twice: whoever resumes it has to take it out of its
        store first, in one transaction.

        Args:
            run: `result.run`, `error.run`, or `Run.from_json(...)`.
            decisions: By the id of the request, for a run that stopped for approval: see `result.approvals`.
            context: As for `run`.

        Raises:
            RunStateError: the run has ended, or the decisions are not those it waits for.
        """
        _check_run(run)
        return await self._drive((run, HumanDecided(decisions) if decisions else None), context, stream=False)

    def resume_sync(
        self, run: Run, *, decisions: Mapping[str, Decision] | None = None, context: Any = None
    ) -> RunResult[Output_co]:
        """Do as `resume` does, from code that is not async.

        A stored run that is resumed twice runs its approved tools twice here too: take it out of its store first, in
        one transaction. The arguments and errors are those of `resume`.
        """
        return PORTAL.call(lambda: self.resume(run, decisions=decisions, context=context))

    async def aclose(self) -> None:
        """Free the connections; the agent may be used again and then opens new ones."""
        if self._transport is not None:
            await self._transport.aclose()

    def close(self) -> None:
        """Do as `aclose` does, from code that is not async."""
        PORTAL.call(self.aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _drive(
        self,
        begun: tuple[Run, Outcome | None],
        context: Any,
        *,
        stream: bool,
        observer: Observer | None = None,
    ) -> RunResult[Any]:
        run, outcome = begun
        config = self._config or self._make_config(self._transport or await self._start_server())
        recall(*config.target.key)
        return await drive(config, run, outcome, context=context, stream=stream, observer=observer)

    async def _start_server(self) -> Transport:
        module, _, function = self._provider.starter.partition(":")
        base_url = await asyncio.to_thread(getattr(import_module(module), function), self._name)
        if self._transport is None:  # another run may have been first
            self._transport = HttpTransport(self._provider.endpoint(self._name, os.environ, base_url))
        return self._transport

    def _make_config(self, transport: Transport) -> RunConfig:
        endpoint = transport.endpoint
        known = resolve_profile(endpoint, self._name, "" if self._name == self.model else self.model.partition(":")[0])
        offered = offer_tools(self._rules)
        target = ModelTarget(
            base_url=known.place,
            model=self._name,
            instructions=self._instructions,
            tools=offered,
            settings=replace(self._settings, extra_body={**endpoint.extra_body, **self._settings.extra_body}),
            profile=known.base,
            output=self._rules.output.form if self._rules.output else None,
        )
        self._config = RunConfig(
            target=target,
            rules=adapt_rules(self._rules, self._settings, known.profile, offered),
            packs=self._packs,
            profile=known.profile,
            transport=transport,
            retry=RetryPolicy.of(endpoint),
            remember=partial(remember, known.place, self._name),
            warnings=[*known.warnings, *([] if self._packs else check_names(self._rules))],
            take_warnings=transport.take_warnings if isinstance(transport, WarningSource) else list[str],
        )
        return self._config


def _begin(said: Input, history: Sequence[Item]) -> tuple[Run, Outcome | None]:
    return Run(run_id=uuid4().hex, items=_check_items("history", history)), UserSaid(_items(said))


def _items(said: Input) -> tuple[Item, ...]:
    if isinstance(said, str):
        return (Message("user", said),)
    return _check_items("input", (said,) if isinstance(said, Message) else said)


def _check_items(name: str, given: object) -> tuple[Item, ...]:
    items = tuple(cast("Iterable[object]", given)) if isinstance(given, Iterable) else (given,)
    for item in items:
        if not isinstance(item, _ITEMS):
            raise ConfigurationError(
                f"{name} holds a {type(item).__name__}, which is no item of a conversation",
                hint='give items such as Message("user", "..."), or the items of an earlier result (result.items)',
            )
    return cast("tuple[Item, ...]", items)


def _check_kinds(**given: object) -> None:
    for name, value in given.items():
        kinds, example = _KINDS[name]
        if not isinstance(value, kinds) or (name == "tools" and isinstance(value, str)):
            raise ConfigurationError(
                f"{name} can't be a {type(value).__name__}", hint=f"write it like this: {name}={example}"
            )


def _check_run(run: object) -> None:
    if not isinstance(run, Run):
        raise RunStateError(
            f"a {type(run).__name__} can't be resumed", hint="give result.run, error.run or Run.from_json(...)"
        )
