"""A Host that is a node of the Room: what plans and sweeps take for a machine, held to what real ones do."""

from __future__ import annotations

from collections.abc import Mapping

from bootstrap.errors import Code, Problem
from bootstrap.world import Facts, File, Turn
from tests.room import Refused, Room


class FakeHost:
    """The node of this name; what it refuses, and how, is what a real one does."""

    def __init__(self, room: Room, name: str) -> None:
        """The room has it already."""
        self.room, self.name = room, name

    def observe(self, etcd: str, manifests: str = "") -> Facts:
        """All that is known of the node."""
        if self.name in self.room.dead:
            raise Problem(f"{self.name}: can't be reached", code=Code.UNREACHABLE)
        return self.room.fact(self.name)

    def turn(self, turn: Turn, was: Facts, etcd: str, leave: File, graces: Mapping[str, int], *, epoch: int) -> str:
        """Take the node from what it has to what it should have."""
        self._known(epoch)
        seen = self.room.fact(self.name).seen
        if moved := [file.path for old, file in turn.put if seen.get(file.path) not in (old, file.fingerprint)]:
            raise Problem(f"{self.name}: {moved[0]} changed since the plan was made", code=Code.CHANGES)
        if self.name not in self.room.unsettled:
            self.room.former[self.name] = self.room.fact(self.name)
        again = tuple((seen.get(file.path), file) for _, file in turn.put)
        self.room.turn(Turn(turn.node, again, turn.drop, turn.restart, turn.fresh, turn.record))
        return ""

    def settle(self, epoch: int) -> None:
        """The probes have passed."""
        self._known(epoch)
        self.room.settle(self.name, settled=True)

    def back(self, epoch: int) -> str:
        """The former generation, if a turn has begun and did not settle."""
        self._known(epoch)
        if self.name not in self.room.unsettled:
            return "keeps what it had"
        self.room.back(self.name)
        return ""

    def _known(self, epoch: int) -> None:
        self.room.epoch = epoch
        try:
            self.room.refuse(self.name)
        except Refused as error:
            raise Problem(f"{self.name}: another epoch was taken since", code=Code.LOCKED) from error
