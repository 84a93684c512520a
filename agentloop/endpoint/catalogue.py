"""Fetches and reads the lists of models that providers publish, in any of their formats.

The information helps users to choose a model. It does not change requests; the profile decides on those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

from agentloop.endpoint.proxies import is_local
from agentloop.errors import EndpointError, EndpointTimeoutError, ReplyError, UnreachableError
from agentloop.items import JsonObject
from agentloop.wire.payload import load, mapping, string
from agentloop.wire.profile.failures import not_a_reply, read_error

TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 16_000_000
_USUAL_NAMES: Final = ("id", "name", "model")
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "data": _USUAL_NAMES,
    "models": _USUAL_NAMES,
    "result": ("name",),  # Cloudflare, where `id` is another one
    "modelSummaries": ("modelId",),  # Bedrock
}
"""Where a catalogue has its list, and which fields of an entry may hold the name in requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The entry of one model in a catalogue; a field is None or "" if the catalogue does not give it.

    Attributes:
        name: The model's name in requests.
        available: Whether it may be called now.
        tools: Whether it supports tool calls.
        vision: Whether it accepts images.
        reasoning: Whether it reasons before it answers.
        streaming: Whether its reply may be streamed.
        writes_text: Whether it writes text, and is not for speech or embeddings.
        limit: The rate limit with a key.
        anonymous_limit: The rate limit without a key.
    """

    name: str
    available: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    streaming: bool | None = None
    writes_text: bool | None = None
    limit: str = ""
    anonymous_limit: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models of a catalogue in the order of their names, and one sentence for each fault in it."""

    models: tuple[ModelCard, ...]
    faults: tuple[str, ...] = ()

    @property
    def has_only_names(self) -> bool:
        """Whether the catalogue gives only the names of the models, as OpenAI's list does."""
        return all(card == ModelCard(name=card.name) for card in self.models)


def fetch_catalogue(url: str, headers: Mapping[str, str]) -> Catalogue:
    """Return the catalogue at a URL.

    Raises:
        UnreachableError: there is no connection, for example because this machine is offline.
        EndpointTimeoutError: the request took longer than TIMEOUT_SECONDS.
        EndpointError: the reply is an error, is too large or is not a list of models.
    """
    body = _get(url, headers)
    try:
        catalogue = read_catalogue(load(body))
    except ValueError:
        raise not_a_reply(body, "JSON") from None
    if not catalogue.models and catalogue.faults:
        raise ReplyError(f"{url} holds no list of models: {catalogue.faults[0]}", hint="check the URL")
    return catalogue


def read_catalogue(payload: object) -> Catalogue:
    """Return the models in a catalogue.

    The catalogue may be in OVHcloud's format (https://catalog.endpoints.ai.ovh.net/rest/v1/models_v2), or the reply to
    `GET /v1/models` in OpenAI's format, which holds little more than names; or a list of Cloudflare or Bedrock
    (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html).
    """
    about = mapping(payload)
    where = next((key for key in _NAMES if key in about), "")
    listed: object = about[where] if where else payload
    if not isinstance(listed, list):
        return Catalogue((), (f"it is a {type(payload).__name__} without a list in `data` or `models`",))
    entries = cast("list[object]", listed)
    read = [_read_card(entry, _NAMES.get(where, _USUAL_NAMES)) for entry in entries]
    cards = {card.name: card for card in read if card is not None}
    nameless = read.count(None)
    faults = (f"{nameless} of {len(entries)} entries have no name and are left out",) if nameless else ()
    return Catalogue(tuple(cards[name] for name in sorted(cards, key=str.lower)), faults)


def _read_card(entry: object, names: Iterable[str]) -> ModelCard | None:
    fields = mapping(entry)
    name = string(entry) or next((name for key in names if (name := string(fields.get(key)))), "")
    if not name:
        return None
    about = mapping(fields.get("metadata")) or fields
    can = mapping(mapping(about.get("model_specs")).get("capabilities")) or mapping(fields.get("capabilities"))
    limits = mapping(mapping(about.get("usage_information")).get("rate_limit"))
    return ModelCard(
        name=name,
        available=_read_flag(fields, "available"),
        tools=_read_flag(can, "function_calling"),
        vision=_has(can.get("input_modality", fields.get("inputModalities")), "image"),
        reasoning=_read_flag(can, "reasoning"),
        streaming=_read_flag(can, "streaming"),
        writes_text=_has(can.get("output_modality", fields.get("outputModalities")), "text"),
        limit=_describe(limits.get("rate_limit_api")),
        anonymous_limit=_describe(limits.get("rate_limit_api_anonymous")),
    )


def _read_flag(fields: JsonObject, name: str) -> bool | None:
    value = fields.get(name)
    return value if isinstance(value, bool) else None


def _has(listed: object, wanted: str) -> bool | None:
    if not isinstance(listed, list):
        return None
    return wanted in {each.lower() for each in cast("list[object]", listed) if isinstance(each, str)}


def _describe(value: Any) -> str:
    """Return a limit as text; it may be a number, a sentence, or an object of both."""
    parts: Iterable[object] = mapping(value).values() or [value]
    return " ".join(str(part) for part in parts if isinstance(part, (str, int, float)) and not isinstance(part, bool))


def _get(url: str, headers: Mapping[str, str]) -> bytes:
    import httpx2  # noqa: PLC0415 - takes 0.2 s, not needed to read a catalogue

    started = monotonic()
    try:
        tls = httpx2.create_ssl_context()
        client = httpx2.Client(timeout=TIMEOUT_SECONDS, verify=tls, trust_env=not is_local(url))
        with client, client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if monotonic() - started > TIMEOUT_SECONDS:
                    raise httpx2.ReadTimeout("the whole reply took too long")
                if len(body) > MOST_BYTES:
                    raise ReplyError(f"{url} is larger than {MOST_BYTES:,} bytes", hint="check the URL")
    except httpx2.TimeoutException:
        raise EndpointTimeoutError(
            f"{url} gave no answer within {TIMEOUT_SECONDS:g} s", hint="try again later, or check the network"
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise UnreachableError(
            f"{url} can't be reached: {error or type(error).__name__}",
            hint="check that this machine is online, or that the server runs there",
        ) from None
    if not response.is_success:
        raise _refusal(url, response.status_code, response.headers, bytes(body))
    return bytes(body)


def _refusal(url: str, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
    error = read_error(status, headers, body)
    error.message = f"{url}: {error.message}"
    return error
