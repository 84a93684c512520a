"""Defines PromptVersion: which prompt a run was given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """Names the prompt file whose instructions a run was given.

    Attributes:
        name: The name of the prompt.
        version: The version that its author wrote, or "".
        digest: The SHA-256 of the whole file, which changes with every change of the file.
    """

    name: str
    version: str
    digest: str
