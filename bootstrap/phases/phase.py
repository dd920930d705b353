"""What a phase is: a name, a title, and what must be true; never how it becomes so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bootstrap.documents import Object
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import File, World


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a phase may depend on: the file, the credentials, and what is known."""

    cluster: Cluster
    credentials: Mapping[str, bytes]
    world: World


def no_files(_setting: Setting, _node: Node) -> Iterator[File]:
    """For a phase that wants none."""
    return iter(())


def no_objects(_setting: Setting) -> Iterable[Object]:
    """For a phase that wants none."""
    return ()


@dataclass(frozen=True, slots=True)
class Phase:
    """One line of the table of contents."""

    name: str
    title: str
    files: Callable[[Setting, Node], Iterator[File]] = no_files
    objects: Callable[[Setting], Iterable[Object]] = no_objects
