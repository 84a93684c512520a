"""Hundreds of tools, which the model is offered on demand."""

import json

import pytest

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    DuplicateToolError,
    Policy,
    Run,
    ToolCall,
    ToolRegistry,
    ToolResult,
    search_tools,
    tool,
)
from agentloop.testing import ScriptedEndpoint

COUNTRIES = [f"country{number}" for number in range(100)]
WHAT = {
    "weather": "Return the weather forecast of {}.",
    "population": "Count the inhabitants of {}.",
    "trains": "Find a train connection within {}.",
    "currency": "Convert money to the currency of {}.",
    "holidays": "List the public holidays of {}.",
}


def make_many():
    def look(city: str, days: int = 3) -> str:
        return f"{city} for {days} days"

    return [
        tool(name=f"{what}_{country}", description=text.format(country))(look)
        for country in COUNTRIES
        for what, text in WHAT.items()
    ]


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def call(called, /, **arguments):
    return ToolCall(f"call_{called}_{len(json.dumps(arguments))}", called, json.dumps(arguments))


def make(script, tools=None, **options):
    endpoint = ScriptedEndpoint(script)
    given = [add, *search_tools(make_many() if tools is None else tools)]
    return Agent("m", endpoint=endpoint, tools=given, **options), endpoint


def offered(endpoint):
    return [[each["name"] for each in sent["tools"]] for sent in endpoint.requests]


def test_what_is_found_is_offered_from_then_on_and_can_be_called():
    script = [call("search_tools", query="weather in country42"), call("weather_country42", city="Bern"), "done"]
    agent, endpoint = make(script)
    result = agent.run_sync("go")
    first, second, third = offered(endpoint)
    assert first == ["add", "search_tools"]
    assert second == third
    assert second[:2] == first
    assert "weather_country42" in second
    assert len(second) == 7
    assert [item.content for item in result.items if isinstance(item, ToolResult)][1] == "Bern for 3 days"
    found = json.loads(next(item.content for item in result.items if isinstance(item, ToolResult)))
    assert found["tools"]["weather_country42"] == "Return the weather forecast of country42."


def test_with_500_tools_a_first_request_is_at_most_a_tenth():
    many = make_many()
    assert len(many) == 500
    agent, searched = make(["hi"], many)
    agent.run_sync("go")
    whole = ScriptedEndpoint(["hi"])
    Agent("m", endpoint=whole, tools=[add, *many]).run_sync("go")
    sizes = [len(json.dumps(endpoint.requests[0])) for endpoint in (searched, whole)]
    assert sizes[0] < 0.1 * sizes[1], sizes


def test_a_tool_that_was_not_found_does_not_run():
    agent, _ = make([call("weather_country1", city="Bern"), "hi"])
    result = agent.run_sync("go")
    [refused] = [item for item in result.items if isinstance(item, ToolResult)]
    assert not refused.ok
    assert "not on offer now" in refused.content


def test_the_next_question_and_another_process_still_have_what_was_found():
    agent, endpoint = make([call("search_tools", query="trains country7"), "found"])
    first = agent.run_sync("go")
    later, other_endpoint = make(["hi"])
    later.run_sync("and now?", history=first.items)
    assert "trains_country7" in offered(other_endpoint)[0]

    asking, _ = make([call("search_tools", query="trains country7")], policy=Policy(ask=("search_tools",)))
    paused = asking.run_sync("go")
    stored = Run.from_json(paused.run.to_json())
    resuming, resumed_endpoint = make(["hi"])
    resuming.resume_sync(stored, decisions={paused.approvals[0].id: Approve()})
    assert "trains_country7" in offered(resumed_endpoint)[0]
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("inhabitants country5", "population_country5"),
        ("WEATHER_COUNTRY9", "weather_country9"),
        ("forecasts for country9", "weather_country9"),
        ("country30 holiday", "holidays_country30"),
    ],
)
def test_the_best_match_comes_first(query, best):
    search, *_ = search_tools(make_many())
    assert next(iter(json.loads(search(query))["tools"])) == best


@pytest.mark.parametrize("query", ["", "x", "zzz", "?"])
def test_a_search_may_find_nothing(query):
    search, *_ = search_tools(make_many())
    assert json.loads(search(query)) == {"tools": {}}


def test_how_many_are_found_is_bounded():
    search, *_ = search_tools(make_many(), most=2)
    assert len(json.loads(search("weather"))["tools"]) == 2


def test_a_tool_keeps_its_own_condition():
    async def never(_):
        return False

    hidden = [
        tool(name="weather_yes", when=lambda _: True)(add.function),
        tool(name="weather_no", when=never)(add.function),
    ]
    agent, endpoint = make([call("search_tools", query="weather"), "hi"], hidden)
    agent.run_sync("go")
    assert offered(endpoint)[1] == ["add", "search_tools", "weather_yes"]


@pytest.mark.parametrize(
    "content", ["", "null", "[]", '{"tools": 3}', "[" * 100_000, '{"tools": {"weather_country1": 1}}']
)
def test_a_history_that_others_wrote_can_only_offer_tools_that_there_are(content):
    history = [call("search_tools", query="x"), ToolResult("call_search_tools_14", content)]
    agent, endpoint = make(["hi"])
    agent.run_sync("go", history=history)
    names = offered(endpoint)[0]
    assert names == ["add", "search_tools"] + (["weather_country1"] if "weather" in content else [])


def test_a_result_of_another_tool_offers_nothing():
    @tool
    def read(page: str) -> str:
        """Read a page."""
        return json.dumps({"tools": {page: ""}})

    endpoint = ScriptedEndpoint([call("read", page="weather_country1"), "hi"])
    Agent("m", endpoint=endpoint, tools=[read, *search_tools(make_many())]).run_sync("go")
    assert offered(endpoint) == [["read", "search_tools"]] * 2


def test_a_wrong_name_is_answered_with_a_bounded_list():
    agent, _ = make([call("zzzzzz"), "hi"])
    result = agent.run_sync("go")
    [told] = [item.content for item in result.items if isinstance(item, ToolResult)]
    assert "and 452 more" in told
    assert len(told) < 2000


def test_a_registry_and_plain_functions_can_be_searched():
    registry = ToolRegistry()
    registry.add(add)

    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Hello, {name}."

    assert [each.name for each in search_tools([registry, greet])] == ["search_tools", "add", "greet"]


def test_what_can_not_be_searched_is_an_error():
    with pytest.raises(ConfigurationError, match="most is 0"):
        search_tools([add], most=0)
    with pytest.raises(ConfigurationError, match="can't be named search_tools"):
        search_tools([tool(name="search_tools")(add.function)])
    with pytest.raises(DuplicateToolError):
        search_tools([add, tool(name="add")(add.function)])
