"""An answer with a type: the model's JSON is validated and returned as an instance of a dataclass.

How the JSON is requested depends on what the endpoint supports.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from agentloop import Agent


@dataclass
class Person:
    """A person who is described in a text."""

    name: str
    city: str
    age: Annotated[int, Field(ge=0, le=150)]


agent = Agent("local:smollm2", output=Person)
person = agent.run_sync("Anna Kovacs is 41 years old and lives in Szeged.").output
print(f"{person.name} of {person.city}, {person.age}")
