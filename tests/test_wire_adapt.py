"""What a refusal teaches: from servers' own words to the field of the profile that turned out otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop import ContextOverflowError, EndpointError, Profile, RateLimitedError
from agentloop.wire.payload import dump
from agentloop.wire.profile.failures import read_error
from agentloop.wire.profile.lessons import apply_lessons
from agentloop.wire.profile.refusals import Sent, draw_lessons

TOOLS = {"tools": [{"type": "function"}], "tool_choice": "required", "parallel_tool_calls": False}
FORMAT = {"text": {"format": {"type": "json_schema"}}}
EVERYTHING = {
    **TOOLS,
    **FORMAT,
    "model": "m",
    "instructions": "Be brief.",
    "temperature": 1,
    "top_p": 1,
    "max_tokens": 10,
    "reasoning": {"effort": "minimal"},
    "stream": True,
    "stream_options": {"include_usage": True},
    "store": False,
    "user": "me",
    "input": [],
}


def first_lesson(words, *, status=400, body=EVERYTHING, has_results=False, **profile):
    """Return the field that is changed first, and what it becomes."""
    error = read_error(status, {}, dump({"error": {"message": words}}))
    lessons = draw_lessons(error, Profile(**profile), Sent(body, has_results=has_results))
    return next(((lesson.field, lesson.now) for lesson in lessons), None)


def refused(*names):
    return "refused", frozenset(names)


# The first words of each row are a server's own, as far as they are known.
@pytest.mark.parametrize(
    ("words", "lesson"),
    [
        ("feature 'parallel_tool_calls' is not currently supported", refused("parallel_tool_calls")),
        ("feature 'tool calls' is not currently supported", ("tool_calling", "prompted")),
        ("registry.ollama.ai/library/gemma does not support tools", ("tool_calling", "prompted")),
        ("tools param requires --jinja flag", ("tool_calling", "prompted")),
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            ("tool_calling", "prompted"),
        ),
        ("Function calling is not enabled for this model", ("tool_calling", "prompted")),
        ("tool_choice 'required' is not supported", ("tool_choice", frozenset({"auto", "none", "named"}))),
        ("Unsupported parameter: 'temperature' is not supported with this model.", refused("temperature")),
        ("Unrecognized request argument supplied: top_p", refused("top_p")),
        (
            "Unsupported parameter: 'max_tokens' is not supported here. Use 'max_completion_tokens' instead.",
            ("max_tokens_field", "max_completion_tokens"),
        ),
        ("stream_options is not supported", ("stream_usage", False)),
        ("json_schema with stream is not supported", ("structured_stream", False)),
        ("response_format json_schema is not supported", ("structured_output", "response_format")),
        ("body.tools.0.function.strict: Extra inputs are not permitted", ("strict_tools", False)),
        ("Unknown parameter: 'instructions'", ("system", "message")),
        ("System role not supported", ("system", "user")),
        ("reasoning effort must be one of 'low', 'medium', 'high'", ("efforts", frozenset({"low", "medium", "high"}))),
        ("reasoning is not supported by this model", ("reasoning", "none")),
        ("The encrypted content could not be verified.", ("reasoning_replay", "none")),
        ("body.store: Extra inputs are not permitted", refused("store")),
    ],
)
def test_what_a_message_names_is_done_otherwise(words, lesson):
    assert first_lesson(words) == lesson


def test_fastapis_location_of_a_fault_names_the_field():
    body = {"detail": [{"loc": ["body", "user"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]}
    error = read_error(422, {}, dump(body))
    [lesson] = draw_lessons(error, Profile(), Sent(EVERYTHING, has_results=False))
    assert (lesson.field, lesson.now, lesson.is_guess) == ("refused", {"user"}, False)


@pytest.mark.parametrize(
    "words",
    [
        "feature 'parallel_tool_calls' is not currently supported",
        "feature 'tool calls' is not currently supported",
        "tool_choice 'required' is not supported",
        "Use 'max_completion_tokens' instead, max_tokens is unsupported",
        "stream_options is not supported",
        "response_format is not supported",
        "strict is not supported",
        "reasoning is not supported",
        "temperature is not supported",
    ],
)
def test_what_was_not_sent_is_not_what_was_refused(words):
    assert first_lesson(words, body={"model": "m", "input": []}) is None


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ("System role not supported", {"system": "user"}),
        ("reasoning is not supported by this model", {"reasoning": "none"}),
        ("The encrypted content is unsupported", {"reasoning_replay": "none"}),
        ("stream_options is not supported", {"stream_usage": False}),
        ("strict is not supported", {"strict_tools": False}),
        ("tools are not supported", {"tool_calling": "prompted"}),
        ("tool_choice is not supported", {"tool_choice": frozenset({"auto"})}),
        ("json_schema is not supported", {"structured_output": "prompt"}),
    ],
)
def test_what_is_known_already_teaches_nothing(words, profile):
    body = {name: value for name, value in EVERYTHING.items() if name not in words}
    body |= {name: EVERYTHING[name] for name in ("stream_options", "tool_choice") if name in words}
    lesson = first_lesson(words, body=body, **profile)
    assert lesson is None or lesson[0] == "refused"


def test_an_effort_that_no_word_names_leaves_the_setting_out():
    assert first_lesson("reasoning.effort 'minimal' is unsupported") == ("reasoning", "none")


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize(("route", "other"), [("responses", "chat"), ("chat", "responses")])
def test_a_missing_route_sends_to_the_other_one(status, route, other):
    assert first_lesson("Not Found", status=status, route=route) == ("route", other)


@pytest.mark.parametrize("words", ["The model `gpt-9` does not exist", "model 'x' not found, try pulling it first"])
def test_a_missing_model_is_no_missing_route(words):
    assert first_lesson(words, status=404) is None


def test_a_route_that_is_refused_in_a_200_is_missing_too():
    error = EndpointError("the endpoint failed while it answered: Unexpected endpoint or method. (POST /v1/responses)")
    assert list(draw_lessons(error, Profile(), Sent({}, has_results=False))) == []
    error = read_error(500, {}, b'{"error": "Unexpected endpoint or method. (POST /v1/responses)"}')
    [lesson] = draw_lessons(error, Profile(), Sent({}, has_results=False))
    assert (lesson.field, lesson.now, lesson.is_guess) == ("route", "chat", True)


@pytest.mark.parametrize(("items", "other"), [("native", "message"), ("message", "native")])
def test_an_unexplained_400_on_results_is_first_blamed_on_their_dialect_and_then_on_the_route(items, other):
    error = read_error(400, {}, b"Bad Request")
    lessons = list(draw_lessons(error, Profile(tool_items=items), Sent({}, has_results=True)))
    assert [(lesson.field, lesson.now, lesson.is_guess) for lesson in lessons] == [
        ("tool_items", other, True),
        ("route", "chat", True),
    ]


def test_a_prompted_model_is_on_the_only_route_that_it_has():
    assert first_lesson("Not Found", status=404, tool_calling="prompted") is None
    assert first_lesson("Bad Request", has_results=True, tool_calling="prompted") is None


@pytest.mark.parametrize("status", [401, 402, 403, 413, 429])
def test_other_refusals_teach_nothing(status):
    assert first_lesson("temperature is not supported", status=status, has_results=True) is None


def test_neither_a_full_window_nor_a_crowd_teaches_anything_here():
    for error in (ContextOverflowError("temperature unsupported", status=400), RateLimitedError("user", status=429)):
        assert list(draw_lessons(error, Profile(), Sent(EVERYTHING, has_results=True))) == []


def test_a_long_message_is_quoted_in_part():
    error = read_error(400, {}, dump({"message": "temperature is not supported. " + "Sorry! " * 100}))
    [lesson] = draw_lessons(error, Profile(), Sent(EVERYTHING, has_results=False))
    assert len(lesson.why) < 250
    assert lesson.why.endswith("...")


@given(st.text(max_size=200), st.sampled_from([400, 404, 405, 422, 500, 501]), st.booleans())
def test_whatever_a_server_says_its_lessons_change_the_profile_and_come_to_an_end(words, status, has_results):
    profile, sent = Profile(), Sent(EVERYTHING, has_results)
    error = read_error(status, {}, words.encode("utf-8", "replace"))
    for _ in range(40):
        sure = [lesson for lesson in draw_lessons(error, profile, sent) if not lesson.is_guess]
        if not sure:
            return
        after = apply_lessons(profile, sure[:1])
        assert after != profile
        profile = after
    raise AssertionError("it learns for ever")


def test_a_picture_in_a_result_is_told_in_words_to_a_model_that_can_not_see():
    error = read_error(500, {}, b'{"error": {"message": "image input is not supported - you may need the mmproj"}}')
    [lesson] = draw_lessons(error, Profile(), Sent({}, has_results=True, has_pictures=True))
    assert (lesson.field, lesson.now) == ("images", False)
    for profile, pictures in ((Profile(), False), (Profile(images=False), True)):
        assert list(draw_lessons(error, profile, Sent({}, has_results=True, has_pictures=pictures))) == []


# Each is a server's own wording for something that the user, or the model, got wrong.
@pytest.mark.parametrize(
    "words",
    [
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
        "temperature must be non-negative, got -1.0.",
        "top_p must be in (0, 1], got 3.0.",
        "Invalid 'user': string too long. Expected a string with maximum length 64.",
        "Invalid schema for function 'get': In context=('properties', 'temperature'), 'format' is not permitted.",
        "Tool names must be unique; tool 'add' is not valid",
        "tools param requires at least one tool, got `tools=None`",
    ],
)
def test_a_users_mistake_teaches_nothing(words):
    assert first_lesson(words, has_results=True) is None


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (
            "Invalid schema for response_format 'x': 'additionalProperties' is required to be false.",
            "structured_output",
        ),
        ("The provided JSON schema contains features not supported by xgrammar.", "structured_output"),
        ("You uploaded an unsupported image. Please use one of: ['png', 'jpeg', 'gif', 'webp'].", "images"),
        ("Failed to load image: cannot identify image file", "images"),
    ],
)
def test_what_is_wrong_with_one_schema_or_one_image_holds_for_the_run_alone(words, field):
    error = read_error(400, {}, dump({"error": {"message": words}}))
    [lesson] = draw_lessons(error, Profile(), Sent(EVERYTHING, has_results=True, has_pictures=True))
    assert (lesson.field, lesson.is_passing) == (field, True)


@pytest.mark.parametrize(
    ("words", "status", "lesson"),
    [
        ("No endpoints found that support tool use.", 404, ("tool_calling", "prompted")),  # OpenRouter
        ("No endpoints found for foo/bar.", 404, None),
        ("This model is only supported in v1/chat/completions.", 404, ("route", "chat")),
        ("The responses operation does not work with the specified model.", 400, ("route", "chat")),  # Azure
        ("This response_format type is unavailable now", 400, ("structured_output", "response_format")),  # DeepSeek
        ("json mode cannot be combined with tool/function calling", 400, ("structured_output", "response_format")),
        ("Only user and assistant roles are supported!", 500, ("system", "user")),
        ("Invalid value: 'tool'. Supported values are: 'assistant', 'system' and 'user'.", 400, None),
        ("Unsupported value: 'temperature' does not support 1 with this model.", 400, refused("temperature")),
        ("top_p and temperature are not supported", 400, refused("top_p")),
        ("The `reasoning_content` in the thinking mode must be passed back.", 400, ("reasoning_replay", "required")),
    ],
)
def test_what_servers_say_is_understood(words, status, lesson):
    assert first_lesson(words, status=status) == lesson


def test_a_kind_of_schema_that_is_refused_is_no_mistake_of_a_schema():
    error = read_error(400, {}, dump({"message": "response_format json_schema is not supported"}))
    [lesson] = draw_lessons(error, Profile(), Sent(EVERYTHING, has_results=False))
    assert not lesson.is_passing


def test_a_template_that_knows_no_results_has_a_model_without_tool_calling():
    words = "Only user and assistant roles are supported, with the exception of an initial optional system message!"
    assert first_lesson(words, status=500) == ("tool_calling", "prompted")


def test_thoughts_that_go_back_already_are_not_asked_for_again():
    words = "The `reasoning_content` in the thinking mode must be passed back."
    assert first_lesson(words, body={}, reasoning_replay="required") is None


@pytest.mark.parametrize("words", ["Tool call id was c but must be a-z, with a length of 9.", "IDs with length 9!"])
def test_ids_that_are_too_long_are_made_short(words):
    assert first_lesson(words, has_results=True, body={}, route="chat") == ("short_call_ids", True)
    assert first_lesson(words, body={}, route="chat") is None
    assert first_lesson(words, has_results=True, body={}, route="chat", short_call_ids=True) is None


def test_a_verbosity_that_is_refused_does_not_take_the_schema_along():
    words, body = "Unknown parameter: 'text.verbosity'.", {"text": {"verbosity": "low", "format": {}}}
    assert first_lesson(words, body=body) == refused("verbosity")
    assert first_lesson("Unknown parameter: 'verbosity'.", body={"verbosity": "low"}) == refused("verbosity")
    assert first_lesson(words, body={"text": {}}) is None


def test_without_a_system_text_no_refusal_is_about_it():
    assert first_lesson("role: system is not supported", body={"input": []}) is None


def test_a_field_that_a_server_in_trouble_names_in_passing_is_not_refused():
    assert first_lesson("the user quota service can't be reached", status=503) is None
    assert first_lesson("unknown user", status=500) is None
