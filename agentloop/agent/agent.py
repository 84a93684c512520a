"""Agent: a model with its tools and limits, and the ways to run it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from copy import copy
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from agentloop.agent.batch import BatchResult, run_batch
from agentloop.agent.input import Input, begin_run
from agentloop.agent.options import AgentOptions, Instructions, RunOptions
from agentloop.agent.overrides import Override, vary
from agentloop.agent.prepared_agent import PreparedAgent
from agentloop.endpoint.served_model import ServedModels
from agentloop.endpoint.transport import Transport
from agentloop.errors import RunStateError
from agentloop.events import Event
from agentloop.limits import Limits
from agentloop.loop.run import HumanDecided, Output_co, Run, RunResult
from agentloop.packs import ToolSource
from agentloop.policy import Decision, Policy
from agentloop.runtime.portal import PORTAL
from agentloop.runtime.streaming import stream_events
from agentloop.wire.profile import Endpoint, ModelSettings

T = TypeVar("T")


class Agent(Generic[Output_co]):
    """A model with tools, ready to run; it holds no state of any run and may be used by many at once.

    Args:
        model: `provider:name`, such as `ovh:gpt-oss-20b` or `local:smollm2`; with an endpoint, the name as the server
            knows it.
        endpoint: Where the model is served, when it is not in the built-in table.
        instructions: The system text, or a function of the RunContext that returns it. It may be async, and is called
            once in each run.
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
        instructions: Instructions = None,
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
        instructions: Instructions = None,
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
        instructions: Instructions = None,
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
        instructions: Instructions = None,
        tools: Iterable[ToolSource] = (),
        output: object = None,
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        policy: Policy = Policy(),
    ) -> None:
        self.model = model
        self._prepared = PreparedAgent(
            {
                "model": model,
                "endpoint": endpoint,
                "instructions": instructions,
                "tools": tools,
                "output": output,
                "limits": limits,
                "settings": settings,
                "policy": policy,
            },
            ServedModels(),
        )

    @overload
    def replace(self, *, output: type[T], **options: Unpack[AgentOptions]) -> Agent[T]: ...
    @overload
    def replace(self, *, output: object, **options: Unpack[AgentOptions]) -> Agent[Any]: ...
    @overload
    def replace(self, **options: Unpack[AgentOptions]) -> Self: ...
    def replace(self, **options: Unpack[RunOptions]) -> Agent[Any]:
        """Return an agent that has these options, and is otherwise like this one.

        It shares the connections of this one, and what is learned about the endpoint. So it costs little: make as many
        as you like.

        Args:
            options: What it has otherwise, by the names of the constructor.

        Raises:
            ConfigurationError: as for `Agent`.
        """
        agent: Agent[Any] = copy(self)
        agent._prepared = self._vary(options)
        agent.model = agent._prepared.model
        return agent

    def override(self, **options: Unpack[RunOptions]) -> Override:
        """Give all runs of this agent these options within a block, for a test of code that has its own agent.

            with my_module.agent.override(endpoint=ScriptedEndpoint(["hi"])):
                my_module.greet("Ada")

        They hold in the tasks and tools that are started inside the block, and outweigh the options that a run is
        given. Other tests and threads that run at the same time do not see them. `async with` does the same.

        Args:
            options: What the runs have otherwise, by the names of the constructor.

        Raises:
            ConfigurationError: as for `Agent`, when the block is entered.
        """
        return Override(self, self._prepared, options)

    def _vary(self, options: Mapping[str, Any]) -> PreparedAgent:
        return vary(self, self._prepared, options)

    @overload
    async def run(
        self,
        input: Input = (),
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Output_co]: ...
    @overload
    async def run(
        self,
        input: Input = (),
        *,
        output: type[T],
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[T]: ...
    @overload
    async def run(
        self,
        input: Input = (),
        *,
        output: object,
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Any]: ...
    async def run(
        self,
        input: Input = (),  # noqa: A002 - the field's own word for it
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[RunOptions],
    ) -> RunResult[Any]:
        """Run to the end and return the result.

        Args:
            input: A text, images, items, messages as OpenAI's APIs have them, or several of these in a sequence. Leave
                it out if the prompt has a message of the user.
            history: What went before, such as the `items` of an earlier result, or a part of them. A result without its
                call is left out, a call without its result is answered, and a notice says so.
            context: Your own object, which tools see as `value` on their ToolContext.
            options: What this run has otherwise than the agent, such as `instructions`, `prompt` or `model`: see
                RunOptions. They are checked as those of `Agent` are.

        Raises:
            EndpointError: the endpoint could not answer; `error.run` resumes with `agent.resume`.
            OutputError: the answer is not of the output type, even after the model was told why.
            ToolFailedError: a tool raised, and the policy says `on_tool_error="raise"`.
            asyncio.CancelledError: the run was cancelled; `error.run` resumes too. Where a timeout around the run
                makes a TimeoutError of it, that has it on its `__context__`: `error.__context__.run`.
        """
        return await self._vary(options).drive(begin_run(input, history), context, stream=False)

    @overload
    def run_sync(
        self,
        input: Input = (),
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Output_co]: ...
    @overload
    def run_sync(
        self,
        input: Input = (),
        *,
        output: type[T],
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[T]: ...
    @overload
    def run_sync(
        self,
        input: Input = (),
        *,
        output: object,
        history: Input = (),
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Any]: ...
    def run_sync(
        self,
        input: Input = (),  # noqa: A002 - the field's own word for it
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[RunOptions],
    ) -> RunResult[Any]:
        """Do as `run` does, from code that is not async; it works inside a running event loop too."""
        prepared, begun = self._vary(options), begin_run(input, history)
        return PORTAL.call(lambda: prepared.drive(begun, context, stream=False))

    def stream(
        self,
        input: Input = (),  # noqa: A002 - as above
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[RunOptions],
    ) -> AsyncGenerator[Event, None]:
        """Yield the run's events as they happen; the last is Finished, with the result.

        The arguments and errors are those of `run`. Leaving the loop early ends the run.
        """
        return self._open_stream(input, history, context, options)()

    def stream_sync(
        self,
        input: Input = (),  # noqa: A002 - as above
        *,
        history: Input = (),
        context: Any = None,
        **options: Unpack[RunOptions],
    ) -> Generator[Event, None, None]:
        """Do as `stream` does, from code that is not async."""
        return PORTAL.iterate(self._open_stream(input, history, context, options))

    def _open_stream(
        self, said: Input, history: Input, context: Any, options: Mapping[str, Any]
    ) -> Callable[[], AsyncGenerator[Event, None]]:
        prepared, begun = self._vary(options), begin_run(said, history)
        return lambda: stream_events(lambda observer: prepared.drive(begun, context, stream=True, observer=observer))

    def run_many(
        self,
        inputs: Iterable[Input],
        *,
        at_once: int = 8,
        in_order: bool = True,
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> AsyncGenerator[BatchResult[Output_co], None]:
        """Run on many inputs, and yield a BatchResult for each. One that fails does not stop the others.

        Args:
            inputs: What `run` takes as input, any number of times; they are read as they are needed.
            at_once: How many runs go on at the same time at most. They keep to the endpoint's rate limit together.
            in_order: Whether the results come in the order of the inputs, not as soon as each is there.
            context: As for `run`.
            options: As for `run`. For another `output`, use `agent.replace(output=...)`.

        Raises:
            ConfigurationError: an option is wrong.
        """
        prepared = self._vary(options)

        def run(said: Input) -> Awaitable[RunResult[Any]]:
            return prepared.drive(begin_run(said, ()), context, stream=False)

        return run_batch(run, inputs, at_once=at_once, in_order=in_order)

    def run_many_sync(
        self,
        inputs: Iterable[Input],
        *,
        at_once: int = 8,
        in_order: bool = True,
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> Generator[BatchResult[Output_co], None, None]:
        """Do as `run_many` does, from code that is not async."""
        many = partial(self.run_many, at_once=at_once, in_order=in_order, context=context, **options)
        return PORTAL.iterate(lambda: many(inputs))

    async def resume(
        self,
        run: Run,
        *,
        decisions: Mapping[str, Decision] | None = None,
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Output_co]:
        """Go on with a run that was paused, cancelled or broken off, perhaps in another process.

        A stored run that is resumed twice runs its approved tools twice: whoever resumes it has to take it out of its
        store first, in one transaction.

        Args:
            run: `result.run`, `error.run`, or `Run.from_json(...)`.
            decisions: By the id of the request, for a run that stopped for approval: see `result.approvals`.
            context: As for `run`.
            options: As for `run`. For another `output`, resume it with `agent.replace(output=...)`.

        Raises:
            RunStateError: the run has ended, or the decisions are not those it waits for.
        """
        _check_run(run)
        begun = (run, HumanDecided(decisions) if decisions else None)
        return await self._vary(options).drive(begun, context, stream=False)

    def resume_sync(
        self,
        run: Run,
        *,
        decisions: Mapping[str, Decision] | None = None,
        context: Any = None,
        **options: Unpack[AgentOptions],
    ) -> RunResult[Output_co]:
        """Do as `resume` does, from code that is not async.

        A stored run that is resumed twice runs its approved tools twice here too: take it out of its store first, in
        one transaction. The arguments and errors are those of `resume`.
        """
        return PORTAL.call(lambda: self.resume(run, decisions=decisions, context=context, **options))

    async def aclose(self) -> None:
        """Free the connections, also for the agents that `replace` made; any of them may be used again."""
        await self._prepared.aclose()

    def close(self) -> None:
        """Do as `aclose` does, from code that is not async."""
        PORTAL.call(self.aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _check_run(run: object) -> None:
    if not isinstance(run, Run):
        raise RunStateError(
            f"a {type(run).__name__} can't be resumed", hint="give result.run, error.run or Run.from_json(...)"
        )
