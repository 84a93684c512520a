"""Finds the cause of a failed request that its HTTP status does not tell, or tells wrongly, in its codes and words.

xAI refuses a wrong key with a 400, moderators answer 403, OpenAI reports a used-up quota as 429, and an error inside a
reply with the status 200 has no status at all. `failures` handles everything else by the status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentloop.errors import AuthenticationError, EndpointError, NotFoundError, RateLimitedError, RefusedError
from agentloop.wire.profile.error_body import ErrorBody, squeeze
from agentloop.wire.rare_pattern import RarePattern


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a request failed.

    Attributes:
        error: The exception for it.
        hint: What to do about it.
        codes: The codes that name it, as `squeeze` writes them.
        words: The words that name it.
    """

    error: type[EndpointError]
    hint: str
    codes: frozenset[str]
    words: RarePattern


def _cause(error: type[EndpointError], hint: str, codes: str, words: str) -> Cause:
    return Cause(error, hint, frozenset(map(squeeze, codes.split())), RarePattern(words))


_KEY = _cause(
    AuthenticationError,
    "check the key of this endpoint: it is missing, mistyped or expired",
    "invalid_api_key api_key_invalid incorrect_api_key authentication_error unauthenticated AuthError",
    r"(?:incorrect|invalid|missing|expired|wrong|no|unknown|malformed) (?:x-)?api[ _-]?key|no auth credentials"
    r"|api[ _-]?key(?: provided)? (?:is |was |has )?(?:not (?:valid|found)|invalid|missing|expired|incorrect|required)"
    r"|(?:invalid|incorrect|expired) (?:(?:access|auth|bearer|api) )?token\b|invalid authentication|login fail"
    r"|\bunauthori[sz]ed\b|authentication (?:failed|required)|\btoken (?:has |is )?expired\b",
)
_CREDIT = _cause(
    RefusedError,
    "the account has no credit left: check its billing",
    "insufficient_quota insufficient_balance insufficient_credits billing_error billing_hard_limit_reached"
    " payment_required arrearage budget_exceeded",
    r"insufficient (?:\w{1,20} )?(?:balance|credit|funds|quota)"
    r"|(?:\bno|out of|not enough|(?:not|n't) have (?:any|enough)) (?:\w{1,20} )?(?:balance|credit)"
    r"|payment required|in arrears|余额不足|欠费"
    r"|(?:balance|credits?) (?:is |are |has )?(?:too low|insufficient|not enough|exhausted|used up)",
)
_MODEL = _cause(
    NotFoundError,
    "check the model's name, capitals included: this endpoint does not have it, or this key may not use it",
    "model_not_found model_not_exist model_not_available model_not_supported invalid_model unknown_model no_such_model"
    " model_decommissioned model_deprecated",
    r"\bmodel:? (?:['\"`]?[\w./:@-]{1,100}['\"`]? )?(?:is |was |could |does )?(?:not (?:be )?found|not exist)"
    r"|no such model|is not a valid model|(?:unknown|invalid|unsupported) model(?: name| id)?:|模型不存在"
    r"|\bmodel\b.{0,100} (?:has been|was|is) (?:decommissioned|deprecated|retired|no longer (?:available|supported))",
)
_CONTENT = _cause(
    RefusedError,
    "a filter of the provider refused the content of the conversation: change the text, or use another model",
    "content_filter responsible_ai_policy_violation content_policy_violation content_moderation moderation_blocked"
    " data_inspection_failed image_content_policy_violation prohibited_content sensitive input_sensitive"
    " output_sensitive safety",
    r"(?:requires?|failed|blocked by) (?:the )?moderation|\bflagged\b|usage polic"
    r"|content[ _-]?(?:management |moderation |safety )?(?:policy|policies|filter)|safety system"
    r"|(?:inappropriate|sensitive) content|content (?:is )?(?:sensitive|inappropriate|blocked)"
    r"|(?:input|output|prompt|response) (?:was |is )?(?:blocked|sensitive)|敏感|不安全",
)
_REGION = _cause(
    RefusedError,
    "the provider does not serve the country that this machine connects from",
    "unsupported_country_region_territory",
    r"(?:country|location|region)[^.\n]{0,60} not supported|not available in your (?:country|region|location)",
)
_RATE = _cause(
    RateLimitedError,
    "too many requests: wait, send fewer at once, or use a key with a higher limit",
    "rate_limit_error rate_limit_exceeded too_many_requests throttling throttling_exception resource_exhausted",
    r"rate[ _-]?limit|too many requests|throttl|(?:tokens|requests) per minute",
)
_WALL = _cause(
    RefusedError,
    "the answer is not from the API but from a bot check, a firewall or the login page of a network: check base_url, "
    "the network, its proxy and VPN",
    "",
    r"^a web page|cloudflare|error code: 10\d\d|captcha|you are (?:a )?human|blocked by .{0,20}(?:firewall|waf)\b",
)
_WRONG_PATH = _cause(
    NotFoundError,
    "a web page came in place of a reply: check that base_url ends where the API begins (/v1)",
    "",
    r"^a web page",
)
_TOO_MUCH_AT_ONCE = _cause(
    RefusedError,
    "one request takes more tokens than this account may use in a minute: shorten the conversation, cap tool results, "
    "or use a key with a higher limit",
    "",
    r"too large\b.{0,300}(?:per min|\bTPM\b|rate[ _-]?limit)",
)

# The causes that a status may hide, most certain first.
_HIDDEN = (_KEY, _CREDIT, _CONTENT, _REGION, _MODEL, _RATE)
_BY_STATUS: dict[int | None, tuple[Cause, ...]] = {
    None: _HIDDEN,
    400: _HIDDEN,
    403: (_WALL, *_HIDDEN),
    404: (_WRONG_PATH,),
    413: (_TOO_MUCH_AT_ONCE,),
    422: _HIDDEN,
    429: (_TOO_MUCH_AT_ONCE, _CREDIT),
    500: _HIDDEN,
    502: _HIDDEN,
    503: (_KEY, _CREDIT),
}

# The statuses that codes stand for in errors without one (OpenAI, Anthropic, vLLM, OpenRouter, Google, MiniMax).
_STATUS_OF_CODE: dict[str, int] = {
    squeeze(code): status
    for status, codes in {
        400: "invalid_prompt invalid_request_error invalid_request bad_request bad_request_error invalid_argument"
        " invalid_parameter invalid_parameter_error failed_precondition validation_error 2013",
        401: "1004 2049",
        402: "1008",
        403: "permission_error permission_denied forbidden",
        404: "not_found not_found_error",
        429: "1002 1041 2045",
        503: "overloaded_error unavailable service_unavailable",
    }.items()
    for code in codes.split()
}


def find_cause(words: ErrorBody, status: int | None) -> Cause | None:
    """Return the cause that the codes or the words of an error name, or None if the status tells more.

    Args:
        words: What the error says.
        status: The HTTP status, or None for an error inside a reply with the status 200.
    """
    causes = _BY_STATUS.get(status, ())
    by_code = next((cause for cause in causes if not cause.codes.isdisjoint(words.codes)), None)
    return by_code or next((cause for cause in causes if cause.words.search(words.message)), None)


def status_of(words: ErrorBody) -> int:
    """Return the status that an error inside a reply with the status 200 would have had."""
    inner_first = words.codes[::-1]
    names = (status for code in inner_first if (status := _STATUS_OF_CODE.get(code)))
    numbers = (int(code) for code in inner_first if re.fullmatch(r"[45]\d\d", code))
    return next(names, 0) or next(numbers, 500)
