"""What a command leaves alone: nodes that it is not about, and phases that are held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.errors import Code, Problem
from bootstrap.phases import OPTIONAL, PHASES, no_objects
from bootstrap.spec.model import Cluster
from bootstrap.world import World


@dataclass(frozen=True, slots=True)
class Scope:
    """Only these nodes are touched, and no object (None: everything); these phases want what the records have."""

    nodes: frozenset[str] | None = None
    held: frozenset[str] = frozenset()

    @property
    def holds_objects(self) -> bool:
        """Whether a phase is held that wants objects."""
        return bool(self.held & {phase.name for phase in PHASES if phase.objects is not no_objects})

    def check(self, cluster: Cluster) -> None:
        """Problem when it names what does not exist."""
        _known("node", self.nodes or (), [node.name for node in cluster.nodes])
        _known("phase", self.held, [phase.name for phase in PHASES])

    def refuse(self, world: World) -> None:
        """Problem when a phase is held that a node has nothing of yet, and can't come up without."""
        needed = sorted(self.held - OPTIONAL)
        bare = sorted(node for node, told in world.facts.items() if not told.record.files)
        if needed and bare:
            raise Problem(
                f"{', '.join(needed)} can't be held: {', '.join(bare)} has nothing of it yet",
                why="a phase that is held wants exactly what a node's record has",
                next="bring the node in first, with every phase",
                code=Code.USAGE,
            )


EVERYTHING = Scope()


def _known(what: str, names: Iterable[str], every: Iterable[str]) -> None:
    there = list(every)
    if unknown := sorted(set(names) - set(there)):
        raise Problem(f"there is no {what} {unknown[0]}", next=f"name one of: {', '.join(there)}", code=Code.USAGE)
