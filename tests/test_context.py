from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentloop.items import Image, Item, Message, Opaque, Reasoning, Text, ToolCall, ToolResult
from agentloop.loop.trim import (
    LEFT_OUT,
    OLD_RESULT_CHARACTERS,
    TOKENS_AN_IMAGE,
    TrimmedConversation,
    describe_largest,
    fit,
    mark_gaps,
    measure,
    shorten_results,
    split_turns,
)

PICTURE = Image("data:image/png;base64,iVBORw0KGgo=")


def size(items):
    return sum(map(measure, items))


def call(name, arguments="{}"):
    return ToolCall(name, "read", arguments)


def result(name, characters=10, *images):
    return ToolResult(name, "x" * characters, images=images)


def step(name, characters=10):
    """Return what one reply with a call, and its result, add to a conversation."""
    return [call(name), result(name, characters)]


def user(text):
    return Message("user", text)


def said(text):
    return Message("assistant", text)


# --- any conversation, any window ---

TEXTS = st.sampled_from(["", "yes", "x" * 300, "語" * 500, "\ud800" * 900, "x" * 2001, "x" * 8000, "x" * 20_000])
PROMPTS = st.builds(Message, st.sampled_from(["user", "user", "system"]), TEXTS)
REPLIES = st.one_of(
    st.builds(Message, st.just("assistant"), TEXTS),
    st.builds(Reasoning, TEXTS),
    st.builds(lambda text: Opaque({"type": "search", "text": text}), TEXTS),
)


@st.composite
def conversations(draw):
    """Draw what a run or a user's own history may hold: calls in rows, some of them never answered."""
    items: list[Item] = []
    for number in range(draw(st.integers(0, 8))):
        items += draw(st.lists(PROMPTS, max_size=2))
        names = [f"{number}_{at}" for at in range(draw(st.integers(0, 3)))]
        parts = [*draw(st.lists(REPLIES, max_size=2)), *(call(name, draw(TEXTS)) for name in names)]
        items += draw(st.permutations(parts))
        late = draw(st.lists(PROMPTS, max_size=1)) if draw(st.integers(0, 5)) == 0 else []
        answered = names if draw(st.integers(0, 5)) else names[1:]
        images = st.sampled_from([(), (), (PICTURE,)])
        items += late + [ToolResult(name, draw(TEXTS), images=draw(images)) for name in answered]
    return items, draw(st.integers(0, max(0, len(items) - 1)))


WINDOWS = st.integers(-10, 5000)


def pairs(items):
    calls = {item.call_id for item in items if isinstance(item, ToolCall)}
    results = {item.call_id for item in items if isinstance(item, ToolResult)}
    return calls & results, calls ^ results


def key(item):
    return ("result", item.call_id) if isinstance(item, ToolResult) else id(item)


def must_stay(items, start):
    users = [item for item in items if isinstance(item, Message) and item.role == "user"]
    begun = [item for item in items[start:] if isinstance(item, Message) and item.role == "user"]
    system = [item for item in items if isinstance(item, Message) and item.role == "system"]
    return [*system, *users[:1], *begun[:1], *users[-1:]]


@given(conversations(), WINDOWS)
def test_a_call_and_its_result_go_together_or_stay_together(conversation, tokens):
    items, start = conversation
    whole, halves = pairs(items)
    fitted_whole, fitted_halves = pairs(fit(items, tokens=tokens, start=start).items)
    assert fitted_whole <= whole
    assert fitted_halves <= halves, "a call was parted from its result"


@given(conversations(), WINDOWS)
def test_system_messages_and_the_requests_stay_and_so_does_the_order(conversation, tokens):
    items, start = conversation
    fitted = fit(items, tokens=tokens, start=start).items
    kept = [key(item) for item in fitted]
    remaining = iter(key(item) for item in items)
    assert all(item in remaining for item in kept), "they are an ordered part of what there was"
    assert {id(item) for item in must_stay(items, start)} <= {id(item) for item in fitted}
    if items:
        assert fitted[-1] is items[-1] or isinstance(items[-1], ToolResult)


@given(conversations(), WINDOWS)
def test_what_was_fitted_fits_or_there_is_nothing_left_to_leave_out(conversation, tokens):
    items, start = conversation
    fitted = fit(items, tokens=tokens, start=start)
    if size(fitted.items) > tokens:
        assert fitted == fit(items, tokens=-1, start=start)
    assert bool(fitted.dropped or fitted.shortened) == (fitted.items is not items)


@given(conversations(), WINDOWS)
def test_fitting_again_changes_nothing(conversation, tokens):
    items, start = conversation
    once = fit(items, tokens=tokens, start=start).items
    for begun, item in enumerate(once):
        if item is items[start]:
            assert fit(once, tokens=tokens, start=begun) == TrimmedConversation(once)


@given(conversations())
def test_turns_cover_all_items_and_hold_each_call_with_its_result(conversation):
    items, _ = conversation
    turns = split_turns(items)
    assert [at for turn in turns for at in turn] == list(range(len(items)))
    by_call = {}
    for number, turn in enumerate(turns):
        for item in items[turn.start : turn.stop]:
            if isinstance(item, ToolCall | ToolResult):
                by_call.setdefault(item.call_id, set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_call.values())


# --- what goes first ---


def test_a_conversation_that_fits_is_left_alone():
    items = (user("go"), *step("a"))
    assert fit(items, tokens=size(items)).items is items
    assert fit((), tokens=0) == TrimmedConversation(())


def test_large_results_of_old_turns_are_shortened_first_and_the_oldest_of_them_first():
    items = [user("go"), *step("a", 9000), *step("b", 9000), *step("c", 9000)]
    fitted = fit(items, tokens=size(items) - 1)
    assert (fitted.dropped, fitted.shortened) == (0, 1)
    [shortened] = [item for item in fitted.items if item not in items]
    assert shortened.call_id == "a"
    assert len(shortened.content) == OLD_RESULT_CHARACTERS
    fitted = fit(items, tokens=4000)
    assert [len(item.content) for item in fitted.items if isinstance(item, ToolResult)] == [2000, 2000, 9000]


def test_a_shortened_result_keeps_its_head_and_its_tail_and_says_how_much_is_missing():
    text = "begin " + "x" * 50_000 + " end"
    items = [user("go"), call("a"), ToolResult("a", text, ok=False), *step("b")]
    shortened = fit(items, tokens=1000).items[2]
    head, _, rest = shortened.content.partition("\n[... ")
    missing, _, tail = rest.partition(" characters left out ...]\n")
    assert head.startswith("begin xxx")
    assert tail.endswith("xxx end")
    assert len(head) + int(missing) + len(tail) == len(text)
    assert shortened.ok is False


def test_images_of_old_results_go_with_their_length_and_are_named():
    items = [user("go"), call("a"), result("a", 10, PICTURE, PICTURE), call("b"), result("b", 10, PICTURE)]
    fitted = fit(items, tokens=1500)
    assert fitted.items[2] == ToolResult("a", "x" * 10 + "\n[images left out: 2]")
    assert fitted.items[4] is items[4]


def test_then_whole_turns_go_and_the_oldest_of_them_first():
    items = [user("go"), *step("a", 1000), *step("b", 1000), *step("c", 1000)]
    fitted = fit(items, tokens=size(items) - 1)
    assert fitted == TrimmedConversation([items[0], *items[3:]], dropped=1, left_out=items[1:3])
    assert fit(items, tokens=0) == TrimmedConversation([items[0], *items[5:]], dropped=2, left_out=items[1:5])


def test_the_latest_results_are_shortened_only_when_nothing_else_could_help():
    items = [user("go"), *step("a", 4000), *step("b", 40_000)]
    fitted = fit(items, tokens=5000)
    assert [len(item.content) for item in fitted.items if isinstance(item, ToolResult)] == [2000, 16_000]
    fitted = fit(items, tokens=300)
    assert [len(item.content) for item in fitted.items if isinstance(item, ToolResult)] == [1000]
    fitted = fit(items, tokens=10_050)
    assert [len(item.content) for item in fitted.items if isinstance(item, ToolResult)] == [40_000]


def test_the_latest_results_keep_their_images():
    items = [user("go"), call("a"), result("a", 5000, PICTURE)]
    assert fit(items, tokens=10).items[2].images == (PICTURE,)


def test_the_request_of_the_run_stays_beside_the_first_and_the_latest():
    history = [user("first"), said("one"), user("second"), said("two")]
    run = [user("the request"), *step("a"), user("please go on")]
    fitted = fit([*history, *run], tokens=0, start=len(history))
    assert fitted.items == [history[0], *run]


def test_only_where_something_is_left_out_are_two_messages_of_the_user_kept_apart():
    one, two, three, four = map(user, "1234")
    whole = [one, two, said("hm"), three, *step("a"), four]
    assert mark_gaps(whole, whole) == whole
    assert mark_gaps([], whole) == []
    assert mark_gaps([one, two, three, four], whole) == [one, two, LEFT_OUT, three, LEFT_OUT, four]


def test_the_results_that_the_model_just_asked_for_stay_when_it_is_asked_again():
    items = [user("go"), *step("a"), *step("b"), user("please go on")]
    assert fit(items, tokens=0).items == [items[0], *items[3:]]


def test_a_call_that_is_answered_late_takes_what_lies_between_into_its_turn():
    between = user("are you there?")
    items = [user("go"), call("a"), between, result("a"), *step("b"), *step("c"), user("well?")]
    assert split_turns(items) == [range(1), range(1, 4), range(4, 6), range(6, 8), range(8, 9)]
    assert call("a") not in fit(items, tokens=0).items


def test_ids_that_a_foreign_history_uses_twice_still_pair_up_in_order():
    items = [user("go"), *step("a"), *step("a"), *step("a")]
    assert split_turns(items) == [range(1), range(1, 3), range(3, 5), range(5, 7)]


# --- counting ---


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (user("x" * 400), 100),
        (user("ж" * 400), 200),
        (user("語" * 400), 300),
        (user("\ud800" * 400), 300),
        (Message("user", (Text("x" * 400), PICTURE, PICTURE)), 100 + 2 * TOKENS_AN_IMAGE),
        (Reasoning("x" * 400, "y" * 40), 110),
        (ToolCall("a", "read", "x" * 396), 100),
        (result("a", 400, PICTURE), 100 + TOKENS_AN_IMAGE),
        (Opaque({"t": "x" * 391}), 100),
    ],
)
def test_a_token_is_about_four_bytes_of_text_and_an_image_a_thousand(item, tokens):
    assert measure(item) == 4 + tokens


def test_the_largest_parts_are_named_with_their_size_and_where_they_are():
    large = Image("data:image/png;base64," + "A" * 300_000)
    items = [
        Message("user", (Text("u" * 90_000), large)),
        Reasoning("z" * 50_000, "z" * 30_000),
        said("hm"),
        Opaque({"type": "search", "text": "q" * 40_000}),
        ToolCall("a", "read_file", '{"path": "' + "p" * 60_000 + '"}'),
        replace(result("a", 100_000), images=(Image(large.url[:200_000]),)),
        result("nobody's", 70_000),
    ]
    assert describe_largest(items) == (
        "an image of a user message (0.30 MB), an image in the result of read_file (0.20 MB), "
        "the result of read_file (0.10 MB)"
    )
    assert describe_largest(items, most=9).split("), ")[3:] == [
        "a user message's text (0.09 MB",
        "the model's reasoning (0.08 MB",
        "the result of nobody's (0.07 MB",
        "the arguments for read_file (0.06 MB",
        "an item of type search (0.04 MB)",
    ]
    assert describe_largest([]) == ""


def test_all_results_can_be_shortened_to_a_length_of_ones_own():
    items = [user("go"), call("a"), result("a", 900, PICTURE), call("b"), result("b", 900, PICTURE)]
    fitted = shorten_results(items, 500)
    assert fitted.shortened == 2
    assert [len(item.content) for item in fitted.items if isinstance(item, ToolResult)] == [500, 500]
    assert [item.images for item in fitted.items if isinstance(item, ToolResult)] == [(), (PICTURE,)]
    assert shorten_results(items[3:], 900) == TrimmedConversation(items[3:])
