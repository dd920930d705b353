"""A look into values as they were read, before anything is known of their types: what is not there is empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.spec.faults import Fault, Where


@dataclass(frozen=True, slots=True)
class Place:
    """A value at its place in the file; rules over several fields read it so, even when some fields are wrong."""

    where: Where
    value: object

    def __getitem__(self, name: str) -> Place:
        """The field of this name; a Place that holds None when there is none."""
        return Place((*self.where, name), self.value.get(name) if isinstance(self.value, dict) else None)

    def __iter__(self) -> Iterator[Place]:
        """The entries of a list, or the fields of a mapping; nothing for anything else."""
        match self.value:
            case list():
                yield from (Place((*self.where, index), value) for index, value in enumerate(self.value))
            case dict():
                yield from (Place((*self.where, name), value) for name, value in self.value.items())

    @property
    def name(self) -> str:
        """What the value is called, or its number in a list."""
        return str(self.where[-1])

    @property
    def text(self) -> str:
        """The value if it is text, else ""."""
        return self.value if isinstance(self.value, str) else ""

    def wrong(self, problem: str, hint: str = "") -> Fault:
        """A fault of this value."""
        return Fault(self.where, problem, hint)

    def unwanted(self, problem: str, hint: str = "") -> Fault:
        """A fault of this field's being there at all, shown at its name."""
        return Fault(self.where, problem, hint, on_key=True)
