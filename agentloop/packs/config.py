"""Defines PackConfig, the pydantic model of a pack's configuration. It is imported with the first pack, not before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from agentloop.errors import ConfigurationError


class PackConfig(BaseModel):
    """The configuration of a pack: fields with defaults and descriptions. Use `SecretStr` for secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


C = TypeVar("C", bound=PackConfig)


def read_config(kind: type[C], pack: str, values: Mapping[str, object]) -> C:
    """Return a configuration from values by field name; a value may be text in place of another type.

    Raises:
        ConfigurationError: a value is not valid; the error lists each fault and all fields.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'all fields'}: {fault['msg']}" for fault in error.errors()]
        raise ConfigurationError(
            f"the configuration of the pack {pack!r} is not valid: {'; '.join(faults)}", hint=describe_config(kind)
        ) from None


def describe_config(kind: type[PackConfig]) -> str:
    """Return the fields of a configuration in words."""
    lines = [
        f"{name}{' (required)' if field.is_required() else '=' + write_value(_get_default(field))}"
        f"{': ' + field.description if field.description else ''}"
        for name, field in kind.model_fields.items()
    ]
    return "its fields are: " + "; ".join(lines) if lines else "it has no fields"


def write_value(value: object) -> str:
    """Return the value of a field as a person writes it; a secret is not shown."""
    return str(value) if isinstance(value, PurePath) else repr(value)


def _get_default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True)
