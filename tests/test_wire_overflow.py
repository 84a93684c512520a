import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentloop.errors import ContextOverflowError
from agentloop.wire.formats.selection import DIALECTS
from agentloop.wire.profile.failures import read_error
from agentloop.wire.profile.overflow import Overflow, find_excess, read_overflow


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
    assert find_excess(message) == "conversation"


@given(st.text())
@example("context length is " + "9" * 5000)
def test_whatever_an_error_says_is_read(message):
    assert isinstance(read_overflow(message), Overflow)


OTHER_WORDS = [
    "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
    "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)",
    "Input length 9000 exceeds the maximum allowed input length of 8192 tokens.",
    "Requested input length 9000 exceeds maximum input length 8192",
    "Prompt exceeds max length",
    "Prompt 超长",
    "Input is too long for requested model.",
    "Too many input tokens. Max input tokens: 300000, request input token count: 300100",
    "The number of input tokens exceeds maximum length",
    "prompt token count of 70000 exceeds the limit of 64000",
    "Request body too large for phi-4 model. Max size: 8000 tokens.",
    "Total tokens of image and text exceed max message tokens.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292. Try a shorter prompt",
    "Please reduce the length of the messages or completion.",
    "Please reduce the length of the messages or completion. Current length is 9012 while limit is 8192",
    "User input tokens exceeds 127072 tokens",
    "The total length of all messages is too long.",
    "prompt too long; exceeded max context length by 4021 tokens",
    "Context size has been exceeded.",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "invalid params, context window exceeds limit (2013)",
    (
        "AiError: The estimated number of input and maximum output tokens (35000) exceeded this model context window "
        "limit (24000)"
    ),
    "The prompt is too long: 8003, model maximum context length: 4095",
    "length of prompt_tokens (9000) must be less than max_seq_len (8192).",
    "the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model",
    "Unable to submit request because the input token count is 1,100,000 but model only supports up to 1,048,576",
    "The input token count exceeds the maximum number of tokens allowed 1048575.",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Prompt has 9000 tokens, but the configured context size is 8192 tokens",
    "Input exceeds the context limit",
    "This model's maximum prompt length is 8192 but the request contains 9000 tokens.",
    "context_length_exceeded",
    "too_many_prompt_tokens",
    "model_context_window_exceeded",
]


@pytest.mark.parametrize("words", OTHER_WORDS)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_an_overflow_is_known_by_the_words_of_many_servers(words, status):
    error = read_error(status, {}, json.dumps({"error": {"message": words}}).encode())
    assert type(error) is ContextOverflowError


@pytest.mark.parametrize("words", OTHER_WORDS)
@pytest.mark.parametrize("dialect", ["chat", "native"])
def test_an_overflow_inside_a_reply_is_known_too(words, dialect):
    error = {"error": {"message": "Provider returned error", "metadata": {"raw": words}}}
    with pytest.raises(ContextOverflowError):
        DIALECTS[dialect].decode(json.dumps(error).encode())
    decoder = DIALECTS[dialect].decoder()
    with pytest.raises(ContextOverflowError):
        decoder.feed(f"data: {json.dumps(error)}\n\n".encode())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (OTHER_WORDS[0], Overflow(30720)),
        (OTHER_WORDS[1], Overflow(8192, 9000)),
        (OTHER_WORDS[2], Overflow(8192, 9000)),
        (OTHER_WORDS[7], Overflow(300000, 300100)),
        (OTHER_WORDS[9], Overflow(64000, 70000)),
        (OTHER_WORDS[10], Overflow(8000)),
        (OTHER_WORDS[12], Overflow(4081, 4292)),
        (OTHER_WORDS[14], Overflow(8192, 9012)),
        (OTHER_WORDS[15], Overflow(127072)),
        (OTHER_WORDS[17], Overflow(excess=4021)),
        (OTHER_WORDS[21], Overflow(24000, 35000)),
        (OTHER_WORDS[22], Overflow(4095)),
        (OTHER_WORDS[23], Overflow(8192, 9000)),
        (OTHER_WORDS[24], Overflow(4096, 5000)),
        (OTHER_WORDS[25], Overflow(1048576, 1100000)),
        (OTHER_WORDS[26], Overflow(1048575)),
        (OTHER_WORDS[28], Overflow(8192, 9000)),
        (OTHER_WORDS[30], Overflow(8192, 9000)),
    ],
)
def test_their_figures_are_read_too(words, said):
    assert read_overflow(f"the endpoint answered 400: {words}") == said


@pytest.mark.parametrize(
    "words",
    [
        "Rate limit reached for model `m` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 400.",
        (
            "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce "
            "your message size and try again."
        ),
        "Too many tokens, please wait before trying again.",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 4096 "
            "tokens and your request has 12 input tokens (100000 > 4096 - 12)."
        ),
        (
            "This model's maximum context length is 8192 tokens. However, you requested 100012 tokens (12 in the "
            "messages, 100000 in the completion)."
        ),
        (
            "You passed 12 input tokens and requested 5000 output tokens. However, the model's context length is only "
            "4096 tokens"
        ),
        "input length and `max_tokens` exceed context limit: 12 + 300000 > 200000, decrease",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 12 `inputs` tokens and 9000 `max_new_tokens`",
        "max_completion_tokens (200000) exceeds the model's context window",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for m",
        "Range of max_tokens should be [1, 8192]",
        "The maximum tokens you requested exceeds the model limit of 4096.",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "temperature must be <= 2",
        "the name of a tool must have less than 64 characters",
        "input length must be greater than 0",
        "The input image is too large: 20 MB is the most",
        "The model `m` does not support a context of this kind",
    ],
)
def test_a_rate_limit_or_a_long_reply_is_no_overflow(words):
    for status in (400, 413):
        assert type(read_error(status, {}, json.dumps({"message": words}).encode())) is not ContextOverflowError


def test_a_reply_that_a_shorter_conversation_makes_room_for_is_an_overflow():
    words = "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 `inputs` tokens and 2000 `max_new_tokens`"
    assert find_excess(words) == "conversation"


@pytest.mark.parametrize(
    "words",
    [
        "The number of input tokens per minute exceeds your limit of 40000.",
        "Prompt tokens exceed what is left of your TPM.",
        "Rate limit: please reduce the length of the messages.",
    ],
)
def test_words_about_a_rate_say_nothing_about_the_window(words):
    assert find_excess(words) is None
    assert type(read_error(500, {}, words.encode())) is not ContextOverflowError
