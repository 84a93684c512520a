"""Prompts in files: what a run is given of them, what is an error, and which files count."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentloop import (
    Agent,
    Approve,
    ConfigurationError,
    Effects,
    ModelSettings,
    Policy,
    Prompt,
    Run,
    RunStateError,
    ToolContext,
    tool,
)
from agentloop.testing import ScriptedEndpoint, call
from loopback import Loopback, text_body
from person import at_terminal

GREET = """\
+++
version = "2"
description = "Greets a guest"
model = "greeter"
tools = ["find_room"]

[variables]
guest = { type = "string", description = "the guest's name" }
nights = { type = "integer", default = 1 }
rate = { type = "number", default = 0.5 }
breakfast = { type = "boolean", default = true }
tone = { enum = ["warm", "formal"], default = "warm" }

[settings]
temperature = 0.25
+++
Greet {{guest}} ({{ nights }} nights, {{rate}}, {{breakfast}}, {{tone}}). Keep \\{{this}} and {one} }}.
"""
PLAIN = "+++\n+++\nBe brief.\n"
WITH_MESSAGE = '+++\n[variables]\ntown = { type = "string" }\n+++\nBe brief.\n+++\nWhere is {{town}}?\n'


@tool
def find_room(beds: int) -> str:
    """Find a room."""
    return f"a room with {beds} beds"


@tool(effects=Effects(write=True))
def close_house() -> str:
    """Close the house."""
    return "closed"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a prompt file and returns its path."""

    def write(text, name="greet.md"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def make(script=("hi",), tools=(find_room, close_house), **options):
    endpoint = ScriptedEndpoint(list(script))
    return Agent("m", endpoint=endpoint, instructions="Be kind.", tools=tools, **options), endpoint


def names_of(request):
    return [each["name"] for each in request.get("tools", ())]


# --- what a run is given ---


def test_a_run_has_the_text_the_model_the_settings_and_the_tools_of_its_prompt_alone(write):
    agent, endpoint = make(["hi"] * 3, settings=ModelSettings(temperature=1, top_p=0.5))
    greet = Prompt.from_path(write(GREET)).fill({"guest": "Ada", "nights": 3})
    result = agent.run_sync("go", prompt=greet)
    agent.run_sync("go")
    agent.replace(prompt=greet).run_sync("go")
    prompted, plain, replaced = endpoint.requests
    assert prompted["instructions"] == "Greet Ada (3 nights, 0.5, true, warm). Keep {{this}} and {one} }}."
    assert (prompted["model"], prompted["temperature"], prompted["top_p"]) == ("greeter", 0.25, 0.5)
    assert names_of(prompted) == ["find_room"]
    assert prompted == replaced
    assert (plain["model"], plain["instructions"], plain["temperature"]) == ("m", "Be kind.", 1)
    assert names_of(plain) == ["find_room", "close_house"]
    assert result.text == "hi"


def test_what_the_call_says_outweighs_the_prompt_and_the_agent_is_outweighed(write):
    agent, endpoint = make(settings=ModelSettings(temperature=1, top_p=0.5))
    greet = Prompt.from_path(write(GREET)).fill({"guest": "Ada"})
    agent.run_sync("go", prompt=greet, model="other", settings=ModelSettings(temperature=2))
    [sent] = endpoint.requests
    assert (sent["model"], sent["temperature"], sent.get("top_p")) == ("other", 2, None)


def test_the_run_says_which_version_spoke_also_after_it_was_stored_and_signed(write):
    agent, _ = make(["hi"] * 2)
    path = write(GREET)
    said = agent.run_sync("go", prompt=Prompt.from_path(path).fill({"guest": "Ada"})).run
    assert (said.prompt.name, said.prompt.version) == ("greet", "2")
    stored = said.to_json(key="secret")
    assert Run.from_json(stored, key="secret").prompt == said.prompt
    with pytest.raises(RunStateError, match="changed"):
        Run.from_json(stored.replace('"version": "2"', '"version": "3"'), key="secret")
    path.write_text(GREET.replace("Greet", "Welcome"))
    again = agent.run_sync("go", prompt=Prompt.from_path(path).fill({"guest": "Ada"})).run.prompt
    assert again == replace(said.prompt, digest=again.digest)
    assert again.digest != said.prompt.digest, "the text was changed without a new version"


def test_a_run_without_a_prompt_names_none_also_one_that_an_older_agentloop_stored(write):
    agent, _ = make(["hi"] * 2)
    prompted = agent.replace(prompt=Prompt.from_path(write(PLAIN)).fill())
    assert agent.run_sync("go").run.prompt is None
    assert prompted.run_sync("go", instructions="Be kind.").run.prompt is None
    stored = json.loads(Run(run_id="1").to_json())
    del stored["prompt"]
    assert Run.from_json(json.dumps(stored)).prompt is None


def test_the_message_of_a_prompt_goes_before_the_input_which_may_be_left_out(write):
    agent, endpoint = make(["hi"] * 3)
    ask = Prompt.from_path(write(WITH_MESSAGE)).fill({"town": "Rome"})
    agent.run_sync(prompt=ask)
    agent.run_sync("Answer in one word.", prompt=ask)
    list(agent.stream_sync(prompt=ask, history="What I said before."))
    said = [[item["content"] for item in request["input"]] for request in endpoint.requests]
    assert said == [
        ["Where is Rome?"],
        ["Where is Rome?", "Answer in one word."],
        ["What I said before.", "Where is Rome?"],
    ]


@pytest.mark.parametrize("options", [{}, {"prompt": PLAIN}])
def test_a_run_in_which_nothing_is_said_is_an_error_before_the_request(options, write):
    agent, endpoint = make()
    prompts = {name: Prompt.from_path(write(text)).fill() for name, text in options.items()}
    with pytest.raises(ConfigurationError, match="nothing to send"):
        agent.run_sync(**prompts)
    assert endpoint.requests == []


def test_a_value_is_never_read_as_a_template(write):
    agent, endpoint = make()
    text = '+++\n[variables]\na = {}\nb = { default = "B" }\n+++\n{{a}} {{b}} {{a}}'
    value = r"{{b}} \{{b}} {{nothing}} \1 \g<0> ${b} {b}" + "\n+++\n"
    agent.run_sync("go", prompt=Prompt.from_path(write(text)).fill({"a": value}))
    assert endpoint.requests[0]["instructions"] == f"{value} B {value}"


def test_a_paused_run_goes_on_with_its_prompt_or_says_that_it_is_missing(write):
    agent, endpoint = make([call("close_house"), "hi"], policy=Policy(ask=("close_house",)))
    plain = Prompt.from_path(write(PLAIN)).fill()
    paused = agent.run_sync("go", prompt=plain)
    decisions = {paused.approvals[0].id: Approve()}
    with pytest.raises(RunStateError, match="has the prompt 'greet'") as caught:
        agent.resume_sync(paused.run, decisions=decisions)
    assert "prompt=" in caught.value.hint
    assert len(endpoint.requests) == 1
    done = agent.resume_sync(Run.from_json(paused.run.to_json()), decisions=decisions, prompt=plain)
    assert (done.text, done.run.prompt) == ("hi", plain.version)
    assert endpoint.requests[1]["instructions"] == "Be brief."


def test_an_agent_with_a_prompt_says_which_model_it_asks(write):
    agent, _ = make()
    assert agent.replace(prompt=Prompt.from_path(write(GREET)).fill({"guest": "Ada"})).model == "greeter"
    assert agent.model == "m"


def test_an_override_outweighs_the_prompt_of_a_run(write):
    agent, endpoint = make(["hi"] * 4)
    greet = Prompt.from_path(write(GREET)).fill({"guest": "Ada"})
    with agent.override(model="test", settings=ModelSettings(temperature=2), tools=[close_house], endpoint=endpoint):
        agent.run_sync("go", prompt=greet)
    with agent.override(instructions="Test.", endpoint=endpoint):
        said = agent.run_sync("go", prompt=greet).run
    with agent.override(endpoint=endpoint):
        agent.run_sync("go", prompt=greet)
    with agent.override(prompt=Prompt.from_path(write(PLAIN)).fill(), endpoint=endpoint):
        agent.run_sync("go", prompt=greet)
    varied, instructed, plain, overridden = endpoint.requests
    assert (varied["model"], varied["temperature"], names_of(varied)) == ("test", 2, ["close_house"])
    assert varied["instructions"].startswith("Greet Ada")
    assert (instructed["instructions"], instructed["model"], said.prompt) == ("Test.", "m", None)
    assert (plain["model"], names_of(plain)) == ("greeter", ["find_room"])
    assert overridden["instructions"] == "Be brief."


# --- tools and policies ---


def test_a_tool_that_the_prompt_does_not_select_is_refused_also_if_a_tool_calls_it(write):
    @tool
    async def tidy(context: ToolContext) -> str:
        """Tidy up."""
        return (await context.call("close_house", {})).content

    text = '+++\ntools = ["tidy"]\n+++\nx'
    agent, endpoint = make([call("close_house"), call("tidy"), "hi"], tools=[close_house, tidy])
    result = agent.run_sync("go", prompt=Prompt.from_path(write(text)).fill())
    refusal = "There is no tool named 'close_house'. The tools are: tidy."
    assert [item.content for item in result.items if item.kind == "result"] == [refusal, refusal]
    assert [names_of(request) for request in endpoint.requests] == [["tidy"]] * 3


def test_a_prompt_weakens_no_rule(write):
    text = '+++\ntools = ["find_room", "close_house"]\n+++\nx'
    plain = Prompt.from_path(write(text)).fill()
    agent, endpoint = make(policy=Policy(deny=("close_house",)))
    agent.run_sync("go", prompt=plain)
    assert names_of(endpoint.requests[0]) == ["find_room"]
    agent, _ = make([call("close_house")], policy=Policy(ask=("close_house",)))
    assert agent.run_sync("go", prompt=plain).stop_reason == "approval"


def test_a_call_that_waits_is_refused_if_the_run_goes_on_with_a_prompt_without_its_tool(write):
    agent, _ = make([call("close_house"), "hi"], policy=Policy(ask=("close_house",)))
    paused = agent.run_sync("go")
    plain = Prompt.from_path(write("+++\ntools = []\n+++\nx")).fill()
    done = agent.resume_sync(paused.run, decisions={paused.approvals[0].id: Approve()}, prompt=plain)
    assert [item.content for item in done.items if item.kind == "result"] == [
        "There is no tool named 'close_house'. The tools are: none."
    ]


def test_tools_of_packs_are_selected_by_either_name(write, tmp_path):
    agent, endpoint = make(tools=[f"files:root={tmp_path}", find_room])
    agent.run_sync("go", prompt=Prompt.from_path(write('+++\ntools = ["files.list"]\n+++\nx')).fill())
    assert names_of(endpoint.requests[0]) == ["files_list"]


@pytest.mark.parametrize("pack", [True, False])
def test_a_tool_that_the_agent_does_not_have_is_an_error_that_names_the_near_one(pack, write, tmp_path):
    agent, endpoint = make(tools=[find_room, *([f"files:root={tmp_path}"] if pack else [])])
    plain = Prompt.from_path(write('+++\ntools = ["find_rooms"]\n+++\nx')).fill()
    with pytest.raises(ConfigurationError, match="tools: 'find_rooms' is about no tool") as caught:
        agent.run_sync("go", prompt=plain)
    assert "find_room" in caught.value.hint
    assert endpoint.requests == []


# --- errors ---

WRONG_VALUES = {
    "missing": ({}, "needs a value for guest", "the guest's name"),
    "unknown": ({"gest": "Ada"}, "no variable 'gest'", "did you mean guest"),
    "far": ({"zzz": "Ada"}, "no variable 'zzz'", "there are: guest, nights"),
    "number for a text": ({"guest": 3}, "guest=3 is not a text", ""),
    "none": ({"guest": None}, "guest=None is not a text", ""),
    "text for a number": ({"guest": "A", "nights": "3"}, "nights='3' is not a whole number", ""),
    "flag for a number": ({"guest": "A", "nights": True}, "nights=True is not a whole number", ""),
    "huge": ({"guest": "A", "nights": 10**5000}, "nights=.* is not a whole number of at most 64 bits", ""),
    "infinite": ({"guest": "A", "rate": float("inf")}, "rate=inf is not a number", ""),
    "number for a flag": ({"guest": "A", "breakfast": 1}, "breakfast=1 is not True or False", ""),
    "not allowed": ({"guest": "A", "tone": "rude"}, "tone='rude' is not one of: warm, formal", ""),
    "no mapping": ([("guest", "A")], "values=.* is not a mapping", "fill"),
    "no name": ({3: "A"}, "values=.* is not a mapping", "fill"),
}


@pytest.mark.parametrize(("values", "words", "hint"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_value_that_is_missing_unknown_or_of_another_type_is_an_error(values, words, hint, write):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Prompt.from_path(write(GREET)).fill(values)
    assert hint in caught.value.hint


def test_the_hint_for_a_missing_value_without_a_description_lists_the_variables(write):
    with pytest.raises(ConfigurationError) as caught:
        Prompt.from_path(write(WITH_MESSAGE)).fill()
    assert caught.value.hint == "its variables are: town"


def of_head(head):
    return f"+++\n{head}\n+++\nx"


WRONG_FILES = {
    "no head": ("Be brief.", "has no head"),
    "another fence": ("---\nname: x\n---\nBe brief.", "has no head"),
    "an open head": ("+++\nversion = '1'\n", "has no head"),
    "text before the head": ("\n" + PLAIN, "has no head"),
    "empty": ("", "has no head"),
    "no text": ("+++\n+++\n \n", "no text below the head"),
    "two messages": ("+++\n+++\na\n+++\nb\n+++\nc", "line 6 is one [+]{3} too many"),
    "not TOML": (of_head("version: 1"), "the head is not TOML"),
    "deep TOML": (of_head("a = " + "[" * 30_000), "the head is not TOML"),
    "huge number": (of_head("a = " + "1" * 5_000), "the head is not TOML"),
    "a long head": (of_head("#" * 70_000), "more than 65,536 characters"),
    "an unknown field": (of_head('modle = "x"'), "no field 'modle'(.|\n)*did you mean model"),
    "a number as the version": (of_head("version = 2"), "version=2 is not a text"),
    "a long version": (of_head(f'version = "{"1" * 200}"'), "too long"),
    "another name": (of_head('name = "other"'), "its name is 'other'"),
    "tools as a text": (of_head('tools = "files"'), "tools='files' is not a tuple of texts"),
    "a wrong setting": (of_head("settings = { top_p = 3 }"), "greet.md: ModelSettings: top_p=3"),
    "a setting for code": (of_head("settings = { extra_body = {} }"), "a prompt can't set 'extra_body'"),
    "a setting that costs": (of_head('settings = { service_tier = "priority" }'), "a prompt can't set 'service_tier'"),
    "a policy": (of_head('policy = { approve = ["*"] }'), "no field 'policy'"),
    "many variables": (of_head("[variables]\n" + "\n".join(f"a{n} = {{}}" for n in range(101))), "more than 100"),
    "a variable as a text": (of_head('[variables]\na = "string"'), "the variable 'a' can't be read"),
    "a variable with a path": (of_head('[variables]\n"a.b" = {}'), "the variable 'a.b' can't be read"),
    "an unknown type": (of_head('[variables]\na = { type = "date" }'), "type='date' is not one of"),
    "a type as a list": (of_head('[variables]\na = { type = ["string"] }'), "is not one of"),
    "a default of another type": (of_head('[variables]\na = { type = "integer", default = "1" }'), "a='1' is not"),
    "a default outside": (of_head('[variables]\na = { enum = ["x"], default = "y" }'), "a='y' is not one of: x"),
    "an enum of another type": (of_head("[variables]\na = { enum = [[1]] }"), "is not a text"),
    "no enum": (of_head("[variables]\na = { enum = [] }"), "enum=.* is not a list of values"),
    "an unused variable": (of_head("[variables]\na = {}"), "does not use the variable 'a'"),
    "an unknown variable": (
        "+++\n[variables]\nguest = {}\n+++\n{{guest}}\n\n{{gest}}",
        "line 7: the head declares no variable 'gest'(.|\n)*did you mean guest",
    ),
    "an unknown variable in the message": ("+++\n+++\na\n+++\n\n{{b}}", "line 6: the head declares no variable 'b'"),
    "a section": ("+++\n+++\n{{#if urgent}}x{{/if}}", "line 3: these braces hold no name"),
    "a file": ("+++\n+++\n{{> other}}", "line 3: these braces hold no name"),
    "a path": ("+++\n+++\n{{a.b}}", "line 3: these braces hold no name"),
    "a call": ("+++\n+++\n{{open('x')}}", "line 3: these braces hold no name"),
    "open braces": ("+++\n+++\nx {{", "line 3: these braces hold no name"),
    "three braces": ("+++\n[variables]\na = {}\n+++\n{{{a}}}", "line 5: these braces hold no name"),
    "bytes": (b"+++\n+++\n\xff", "can't be read"),
    "too large": (PLAIN + "x" * 1_000_000, "more than 1000000 bytes"),
}


@pytest.mark.parametrize(("text", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_with_a_fault_is_an_error_that_says_where(text, words, write):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Prompt.from_path(write(text))
    assert "greet.md" in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("path", ["nowhere.md", "/dev/null", "a\0b"])
def test_a_path_without_a_text_file_is_an_error(path):
    with pytest.raises(ConfigurationError, match="can't be read"):
        Prompt.from_path(path)


def test_text_that_would_become_huge_is_an_error(write):
    text = "+++\nvariables = { a = {} }\n+++\n" + "{{a}}" * 1000
    with pytest.raises(ConfigurationError, match="more than 4,000,000 characters"):
        Prompt.from_path(write(text)).fill({"a": "x" * 10_000})


def test_an_editors_marks_change_nothing(write):
    prompt = Prompt.from_path(write("\ufeff" + WITH_MESSAGE.replace("\n", "\r\n").replace("+++", "+++ ")))
    assert (prompt.instructions, prompt.message) == ("Be brief.", "Where is {{town}}?")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda prompt: {"prompt": prompt}, "prompt can't be a Prompt(.|\n)*fill"),
        (lambda prompt: {"prompt": prompt.fill(), "instructions": "Be kind."}, "both given"),
        (lambda prompt: {"prompt": prompt.fill(), "settings": 3}, "settings can't be a int"),
    ],
)
def test_options_that_do_not_go_together_are_an_error(options, words, write):
    agent, _ = make()
    with pytest.raises(ConfigurationError, match=words):
        agent.run_sync("go", **options(Prompt.from_path(write(PLAIN))))


# --- the command line ---


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders of prompts: here, and of the user."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "mine" / name)
    monkeypatch.setenv("AGENTLOOP_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    here, own = tmp_path / "cloned" / "prompts", tmp_path / "mine" / "agentloop" / "prompts"
    for folder in (here, own):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here.parent)
    return here, own


@pytest.fixture
def ask(invoke):
    """Return a function that runs `agentloop run` and also returns the requests that were sent."""

    def ask(*arguments):
        with Loopback.in_thread([text_body("Hi.")]) as server:
            done = invoke("run", "--base-url", server.base_url, "--model", "any", *arguments)
        return *done, [request.json for request in server.requests]

    return ask


ROOMS = 'from agentloop import tool\n\n@tool\ndef find_room() -> str:\n    """Find."""\n    return "x"\n'


def test_a_run_takes_a_prompt_of_the_user_and_reads_the_values_as_their_types(folders, ask, tmp_path):
    (folders[1] / "greet.md").write_text(GREET)
    (tmp_path / "rooms.py").write_text(ROOMS)
    given = ("guest=a=b", "nights=2", "rate=1.5", "breakfast=false", "tone=formal")
    variables = [part for value in given for part in ("--var", value)]
    status, out, err, [sent] = ask("go", "--prompt", "greet", *variables, "--tools", str(tmp_path / "rooms.py"))
    assert (status, out, err) == (0, "Hi.\n", "")
    assert sent["instructions"] == "Greet a=b (2 nights, 1.5, false, formal). Keep {{this}} and {one} }}."
    assert (sent["model"], sent["temperature"], names_of(sent)) == ("any", 0.25, ["find_room"])


def test_the_message_of_a_prompt_takes_the_place_of_the_question(folders, ask):
    (folders[1] / "where.md").write_text(WITH_MESSAGE)
    status, out, _, [sent] = ask("--prompt", "where", "--var", "town=Rome", "--json")
    assert status == 0
    assert [item["content"] for item in sent["input"]] == ["Where is Rome?"]
    assert json.loads(out)["run"]["prompt"]["name"] == "where"


def test_the_model_of_a_prompt_is_used_if_no_other_is_named(folders, invoke):
    (folders[1] / "greet.md").write_text('+++\nmodel = "nobody:x"\n+++\nx')
    status, _, err = invoke("run", "go", "--prompt", "greet")
    assert (status, "'nobody:x' names no known provider" in err) == (2, True)


def test_the_default_model_is_used_if_neither_names_one(folders, invoke, monkeypatch):
    monkeypatch.setattr("agentloop.cli.agent_options.EMBEDDED", "nobody:y")
    monkeypatch.delenv("AI_ENDPOINT_API_KEY", raising=False)
    (folders[1] / "plain.md").write_text(PLAIN)
    assert "'nobody:y' names no known provider" in invoke("run", "go", "--prompt", "plain")[2]


WRONG_COMMANDS = {
    "no question": ([], "no question or task"),
    "no message": (["--prompt", "plain"], "no question or task"),
    "unknown": (["x", "--prompt", "plane"], "did you mean plain"),
    "a path": (["x", "--prompt", "../../state/plain"], "no prompt '../../state/plain'"),
    "a file": (["x", "--prompt", "plain.md"], "no prompt 'plain.md'"),
    "an absolute path": (["x", "--prompt", "/etc/passwd"], "no prompt '/etc/passwd'"),
    "nothing": (["x", "--prompt", ""], "no prompt ''"),
    "values alone": (["x", "--var", "a=b"], "without --prompt"),
    "no value": (["x", "--prompt", "where", "--var", "town"], "'town' has no value"),
    "twice": (["x", "--prompt", "where", "--var", "town=a", "--var", "town=b"], "'town' was given twice"),
    "unknown variable": (["x", "--prompt", "where", "--var", "twon=a"], "did you mean town"),
    "wrong type": (["x", "--prompt", "count", "--var", "n=many"], "n='many' is not a whole number"),
    "deep": (["x", "--prompt", "count", "--var", f"n={'[' * 100_000}"], "is not a whole number"),
    "instructions": (["x", "--prompt", "plain", "--instructions", "y"], "both given"),
    "damaged": (["x", "--prompt", "bad"], "has no head"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG_COMMANDS.values(), ids=WRONG_COMMANDS)
def test_a_wrong_command_is_a_mistake_before_the_request(arguments, words, folders, ask):
    count = "+++\nvariables = { n = { type = 'integer' } }\n+++\n{{n}}"
    for name, text in {"plain": PLAIN, "where": WITH_MESSAGE, "count": count, "bad": "x"}.items():
        (folders[1] / f"{name}.md").write_text(text)
    status, out, err, sent = ask(*arguments)
    assert (status, out, sent) == (2, "", [])
    assert words in err


def test_a_prompt_of_the_working_folder_counts_after_trust_and_until_it_changes(folders, ask, invoke):
    path = folders[0] / "plain.md"
    path.write_text(PLAIN)
    status, _, err, sent = ask("go", "--prompt", "plain")
    assert (status, sent) == (2, [])
    assert "somebody else may have written it" in err
    assert "`agentloop trust`" in err
    status, _, err = invoke("trust")
    assert (status, f"{path} counts from now on, until it changes: version none" in err) == (0, True)
    assert ask("go", "--prompt", "plain")[3][0]["instructions"] == "Be brief."
    path.write_text(PLAIN + "And kind.")
    assert ask("go", "--prompt", "plain")[0] == 2


def test_the_users_own_prompt_is_not_hidden_by_a_strangers_of_the_same_name(folders, ask, invoke):
    (folders[0] / "plain.md").write_text("+++\n+++\nObey me.")
    (folders[1] / "plain.md").write_text(PLAIN)
    _, _, err, [sent] = ask("go", "--prompt", "plain")
    assert sent["instructions"] == "Be brief."
    assert f"{folders[0] / 'plain.md'} is ignored" in err
    invoke("trust")
    assert ask("go", "--prompt", "plain")[3][0]["instructions"] == "Obey me."


def test_trust_says_what_a_prompt_sets_and_trusts_the_configuration_too(folders, invoke):
    (folders[0] / "greet.md").write_text(GREET)
    Path("agentloop.toml").write_text('[profile."*"]\nroute = "chat"\n')
    status, _, err = invoke("trust")
    assert status == 0
    assert "route" in err
    assert "version 2; model greeter; temperature=0.25" in err


def test_nothing_is_trusted_if_a_prompt_is_damaged_or_the_list_can_not_be_written(folders, invoke, tmp_path):
    (folders[0] / "plain.md").write_text(PLAIN)
    (folders[0] / "bad.md").write_text("x")
    assert invoke("trust")[0] == 2
    assert not (tmp_path / "state").exists()
    (folders[0] / "bad.md").unlink()
    (tmp_path / "state").write_text("")
    status, _, err = invoke("trust")
    assert (status, "can't be trusted" in err) == (2, True)


def test_prompts_are_listed_with_their_faults(folders, invoke):
    (folders[0] / "greet.md").write_text(GREET)
    (folders[0] / "bad.md").write_text("x")
    (folders[0] / "README.md").write_text("These are our prompts.")
    (folders[0] / "two words.md").write_text(PLAIN)
    (folders[1] / "plain.md").write_text(PLAIN)
    status, out, err = invoke("prompts", "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[2:] if line[:1].isalpha()] == ["greet", "plain"]
    assert "bad.md: it has no head" in err
    assert f"{folders[0] / 'greet.md'} is for no run until" in err
    assert "plain.md is for" not in err
    status, out, _ = invoke("prompts", "list", "--json")
    assert [(row["name"], row["counts"]) for row in json.loads(out)] == [("greet", False), ("plain", True)]


def test_no_prompts_are_no_fault(folders, invoke, monkeypatch):
    assert invoke("prompts", "list") == (0, "", "")
    assert invoke("prompts", "check")[0] == 0
    monkeypatch.chdir(folders[1].parent)
    (folders[1] / "plain.md").write_text(PLAIN)
    assert len(json.loads(invoke("prompts", "list", "--json")[1])) == 1, "the user's own folder counts once"
    monkeypatch.setattr(Path, "cwd", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    assert len(json.loads(invoke("prompts", "list", "--json")[1])) == 1


def test_a_prompt_is_shown_with_all_that_it_sets(folders, invoke):
    (folders[0] / "greet.md").write_text(GREET)
    (folders[1] / "where.md").write_text(WITH_MESSAGE)
    (folders[1] / "none.md").write_text("+++\ntools = []\n+++\nx")
    status, out, _ = invoke("prompts", "show", "greet")
    assert status == 0
    for words in ("no, until you run", "greeter", "temperature=0.25", "find_room", "integer; default '1'"):
        assert words in out
    assert "string; one of warm, formal; default 'warm'" in out
    assert "Greet {{guest}}" in out
    out = invoke("prompts", "show", "where")[1]
    assert "string; required" in out
    assert "message of the user:\nWhere is {{town}}?" in out
    assert "none" in invoke("prompts", "show", "none")[1]
    shown = json.loads(invoke("prompts", "show", "greet", "--json")[1])
    assert shown["variables"]["nights"] == {"type": "integer", "description": "", "default": 1, "enum": []}


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_prompt_that_is_not_there_can_not_be_shown(flags, folders, invoke):
    status, out, err = invoke("prompts", "show", "plain", *flags)
    assert (status, "no prompt 'plain'" in err) == (2, True)
    assert ("no prompt" in out) == bool(flags)


def test_a_check_fails_if_a_prompt_has_a_fault(folders, invoke):
    (folders[0] / "plain.md").write_text(PLAIN)
    (folders[0] / "bad.md").write_text("+++\n+++\n{{who}}")
    status, _, err = invoke("prompts", "check")
    assert status == 2
    assert "bad.md: line 3" in err
    assert "1 of 2 prompts have no fault" in err
    assert invoke("prompts", "check", "plain")[0] == 0
    assert invoke("prompts", "check", "nothing")[0] == 2


def test_a_strangers_text_is_shown_with_escapes_at_a_terminal(folders):
    (folders[0] / "plain.md").write_text('+++\ndescription = "a\\u001b[2Jb"\n+++\n\x1b[2Jx\u202ey')
    with at_terminal(["prompts", "show", "plain"]) as person:
        shown = person.leaves_with(0)
    assert "\\u001b[2Jb" in shown
    assert "  \\u001b[2Jx\\u202ey" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
