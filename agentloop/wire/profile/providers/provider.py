"""Defines Provider, a row of the table, and the facts about models that hold on any provider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from agentloop.errors import ConfigurationError
from agentloop.wire.profile import Endpoint, Profile, add_path

Fields: TypeAlias = Mapping[str, Any]

_PLACE: Final = re.compile(r"\{([A-Z_|]+)\}")
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")

RARE_FIELDS: Final = frozenset(
    {
        "background",
        "conversation",
        "include",
        "logprobs",
        "max_tool_calls",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "stream_options",
        "top_logprobs",
        "truncation",
        "user",
        "verbosity",
    }
)
"""Fields of /v1/responses that simple servers do not have."""

# Their chat templates raise on any other id, and on a `user` message after a tool's result or after another one.
_MISTRAL: Fields = {"short_call_ids": True, "alternating_roles": True}
# Fields for models on any provider, by patterns of their names in lower case.
_MODELS: Mapping[str, Fields] = {
    "*gpt-oss*": {"efforts": frozenset({"low", "medium", "high"}), "images": False},
    "*mistral*": _MISTRAL,
    "*mixtral*": _MISTRAL,
    "*magistral*": _MISTRAL,
    "*devstral*": _MISTRAL,
    "*gemma*": {"alternating_roles": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A row of the table.

    Attributes:
        base_url: The base URL; "" if `address` or `starter` gives it. `{NAME}` stands for the value of an environment
            variable, and `{NAME|OTHER}` for that of the first one that is set.
        address: The environment variable that may hold another base URL, or the only one.
        keys: Environment variables that may hold the key. The first one that is set is used; if none is set, requests
            are anonymous.
        profile: What the server can and can't do.
        models: Fields that differ for single models, by a shell pattern of the name in lower case. All matching
            patterns apply; a later one overrides an earlier one.
        starter: `module:function` that starts a server for a model's name and returns its base URL.
        catalogue: The URL of the list of its models, for `agentloop models`; "" for `/models` below the base URL. It
            may hold `{NAME}` too.
        catalogue_headers: Headers for `catalogue`; `{key}` stands for the key. Without headers, it is public.
    """

    base_url: str = ""
    address: str = ""
    keys: tuple[str, ...] = ()
    profile: Profile = Profile()
    models: Mapping[str, Fields] = field(default_factory=dict[str, Fields])
    starter: str = ""
    catalogue: str = ""
    catalogue_headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def endpoint(self, model: str, environment: Mapping[str, str], base_url: str = "") -> Endpoint:
        """Return the endpoint of a model, with the key from the environment if it is set there.

        Args:
            model: The model's name on the server.
            environment: The environment variables.
            base_url: The base URL of a server that was started for the model, or "".

        Raises:
            ConfigurationError: a part of the base URL must be in the environment, and is not.
        """
        url = base_url or environment.get(self.address) or _fill(self.base_url, environment)
        if not url:
            raise ConfigurationError(
                f"the base URL for {model} is not known: {self.address} is not set",
                hint=f"set {self.address} to the base URL, up to and including /v1",
            )
        key = next((environment[name] for name in self.keys if environment.get(name)), None)
        profile = self.profile
        for fields in _fitting({**_MODELS, **self.models}, model):
            profile = replace(profile, **fields)
        return Endpoint(url, api_key=key, profile=profile)

    def locate_catalogue(self, environment: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Return the URL of the list of its models, and the headers of the request for it.

        Raises:
            ConfigurationError: a part of the URL must be in the environment, and is not.
        """
        endpoint = self.endpoint("its models", environment)
        url = _fill(self.catalogue, environment) or add_path(endpoint.base_url, "/models")
        headers = self.catalogue_headers or {"Authorization": "Bearer {key}"}
        key = endpoint.api_key
        return url, {} if key is None else {name: value.replace("{key}", key) for name, value in headers.items()}


def _fitting(models: Mapping[str, Fields], model: str) -> Iterable[Fields]:
    return (fields for pattern, fields in models.items() if fnmatchcase(model.lower(), pattern))


def _fill(url: str, environment: Mapping[str, str]) -> str:
    """Return a URL with the values of the variables that it names."""

    def find(place: re.Match[str]) -> str:
        names = place[1].split("|")
        value = next((environment[name] for name in names if environment.get(name)), "")
        if not _PART.fullmatch(value):
            raise ConfigurationError(
                f"the base URL is not known: {' or '.join(names)} is not set, or is not a plain name",
                hint=f"set {names[0]}, which is a part of {url}",
            )
        return value

    return _PLACE.sub(find, url)
