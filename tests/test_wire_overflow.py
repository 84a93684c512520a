import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop.wire.profile.overflow import Overflow, read_overflow


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "request (6031 tokens) exceeds the available context size (4096 tokens), try increasing it",
            Overflow(4096, 6031),
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens.",
            Overflow(8192, 8545),
        ),
        (
            (
                "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens "
                "(112946 in the messages, 10000 in the completion). Please reduce the length of the messages."
            ),
            Overflow(16384, 112946),
        ),
        (
            "This endpoint's maximum context length is 1,048,576 tokens. However, you requested about 1,293,741 tokens",
            Overflow(1048576, 1293741),
        ),
        (
            (
                "You passed 4097 input tokens and requested 0 output tokens. However, the model's context length is "
                "only 4096 tokens, resulting in a maximum input length of 4096 tokens."
            ),
            Overflow(4096, 4097),
        ),
        (
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is "
                "4096 tokens and your request has 2104 input tokens (2000 > 4096 - 2104)."
            ),
            Overflow(4096, 2104),
        ),
        ("max_tokens must be at least 1, got -17032.", Overflow(excess=17032)),
        ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", Overflow(4096, 5000)),
        ("Input length (265330) exceeds model's maximum context length (262144).", Overflow(262144, 265330)),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", Overflow(4096, 5000)),
        (
            (
                "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a "
                "total of 5000 tokens"
            ),
            Overflow(4096, 5000),
        ),
        (
            (
                "Trying to keep the first 5000 tokens when context overflows. However, the model is loaded with "
                "context length of only 4096 tokens"
            ),
            Overflow(4096),
        ),
        ("Requested tokens (2285) exceed context window of 2048", Overflow(2048, 2285)),
        ("prompt is too long: 209353 tokens > 199999 maximum", Overflow(199999, 209353)),
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            Overflow(32768, 40000),
        ),
        (
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            Overflow(131072, 537812),
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            Overflow(1048576, 1200000),
        ),
        (
            "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
            Overflow(4096, 5000),
        ),
        ("Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output)", Overflow(2048, 5152)),
        (
            (
                "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 288634 tokens. "
                "Please reduce the length of the messages."
            ),
            Overflow(272000, 288634),
        ),
        ("Input validation error: `inputs` must have less than 4095 tokens. Given: 5000", Overflow(4095, 5000)),
        ("Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).", Overflow(59862, 160062)),
        (
            "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease",
            Overflow(200000, 199759),
        ),
        ("Your input exceeds the context window of this model.", Overflow()),
        (
            "This model's maximum context length is 3 tokens. However, your request has 8 input tokens.",
            Overflow(None, 8),
        ),
    ],
)
def test_the_window_and_the_length_of_the_request_are_read_from_an_error(message, said):
    assert read_overflow(f"the endpoint answered 400: {message}") == said


@given(st.text())
@example("context length is " + "9" * 5000)
def test_whatever_an_error_says_is_read(message):
    assert isinstance(read_overflow(message), Overflow)
