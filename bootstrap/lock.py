"""The cluster's lock: a process on a majority of its control-plane nodes, each of which dies with its holder."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from bootstrap.errors import Code, Problem
from bootstrap.hosts import Event, Hosts
from bootstrap.talk import Talk

BEAT = 5.0  # seconds between two signs of life; after 20 without one, a node lets go
PATIENCE = 2.0  # seconds that a lock is waited for in any case: that its holder has just ended is still to be noticed
PAUSE = 0.5  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Share:
    """The lock of one node, held; what the node told when it was taken."""

    talk: Talk
    epoch: int  # the highest it knew
    last: int  # when it was last held, in seconds since 1970 by the node's clock; 0: never


class Lock:
    """Taken or not; taking it raises the epoch, by which every node tells its holder from those before."""

    def __init__(self, hosts: Hosts) -> None:
        """Nobody is asked yet."""
        self._hosts = hosts
        self._shares: dict[str, Share] = {}
        self._gone: dict[str, Problem] = {}  # nodes that could not give it, or do not hold it any more
        self._released = threading.Event()
        self._regaining = threading.Lock()
        self._me = ""  # as others are told who holds it
        self.epoch = 0  # 0: not taken

    def take(self, command: str, known: int, *, wait: float) -> bool:
        """Raise the epoch beyond `known` and all that any node knows; whether others were at work since we looked.

        Taken in order of name, so that of two who come at once, one gets all of it. Problem (LOCKED) when somebody
        holds it for longer than `wait` seconds, (UNREACHABLE) where there is no majority.
        """
        told, began, self._me = "", time.monotonic(), holder(command)
        while other := self._try():
            if time.monotonic() - began > max(wait, PATIENCE):
                raise _busy(other, "if it is dead, its lock goes by itself within 20 seconds")
            if wait and other != told:
                self._hosts.report(Event("", f"waits for {other}"))
                told = other
            time.sleep(PAUSE)
        looked = {node: int(self._hosts.known[node].machine.clock) for node in self._shares}
        others = any(share.last >= looked[node] for node, share in self._shares.items())
        self.epoch = 1 + max([known, *(share.epoch for share in self._shares.values())])
        for node in list(self._shares):
            self._ask(node, f"epoch {self.epoch}")
        self._majority("can't take the lock on this cluster", Code.UNREACHABLE)
        self._released.clear()
        for node in self._shares:
            threading.Thread(target=self._live, args=(node,), daemon=True).start()
        return others

    def check(self) -> None:
        """Problem (LOCKED) unless a majority of the nodes answers that we hold it now, whatever happened meanwhile."""
        list(self._hosts.pool.map(lambda node: self._ask(node, "beat"), list(self._shares)))
        self.holds()

    def holds(self) -> None:
        """Problem (LOCKED) when it is known to be lost; where only a line broke, it is taken again."""
        if not self._held:
            self._regain()
        self._majority("the lock on this cluster was lost", Code.LOCKED)

    def release(self) -> None:
        """Nobody has to wait for it any more."""
        self._released.set()
        shares, self._shares, self.epoch = self._shares, {}, 0
        for node, share in shares.items():
            if node not in self._gone:
                share.talk.end()

    def alone(self) -> None:
        """Problem (LOCKED) while somebody else holds it: what is found on nodes then may be their work."""
        for other in self.holders().values():
            raise _busy(other, "what it has begun on the nodes is in the way now")

    def holders(self, *, end: bool = False) -> dict[str, str]:
        """node -> who holds its lock; they lose it where `end` says so. Problem when no node answers."""
        found, problems = {}, []
        for node in sorted(self._voters):
            try:
                if who := self._hosts[node].holder(end=end):
                    found[node] = who
            except Problem as problem:
                problems.append(problem)
        if len(problems) == len(self._voters):
            raise problems[0]
        return found

    def _try(self) -> str:
        """Take it everywhere, else nowhere, and who holds it."""
        self._gone = {}
        for node in sorted(self._voters & self._hosts.known.keys()):
            try:
                given = self._hold(node)
            except Problem as problem:
                self._gone[node] = problem
                continue
            if isinstance(given, str):
                self.release()
                return given
            self._shares[node] = given
        return ""

    def _hold(self, node: str) -> Share | str:
        """The lock of one node, or who holds it; Problem where it does not answer."""
        talk = self._hosts[node].hold(self._me)
        answer, *words = talk.hear().split("\t")
        if answer == "busy":
            talk.close()
            return words[-1]
        return Share(talk, int(words[0]), int(words[1]))

    def _ask(self, node: str, line: str) -> None:
        try:
            self._shares[node].talk.ask(line)
        except (Problem, KeyError) as problem:  # KeyError: released meanwhile
            if isinstance(problem, Problem):
                self._gone[node] = problem

    def _live(self, node: str) -> None:
        while node not in self._gone and not self._released.wait(BEAT):
            self._ask(node, "beat")

    @property
    def _held(self) -> bool:
        return len(self._shares.keys() - self._gone.keys()) > len(self._voters) // 2

    def _regain(self) -> None:
        """Nodes whose line broke, and that know no newer epoch: nobody has taken the lock there since."""
        with self._regaining:
            for node in sorted(self._gone.keys() & self._shares.keys()):
                try:
                    if self._shares[node].talk.unmeant and (share := self._again(node)):
                        self._shares[node] = share
                        del self._gone[node]
                        threading.Thread(target=self._live, args=(node,), daemon=True).start()
                        self._hosts.report(Event(node, "reached again; nobody has taken the lock meanwhile"))
                except Problem as problem:
                    self._gone[node] = problem

    def _again(self, node: str) -> Share | None:
        given = self._hold(node)
        if given == self._me:  # the node has not noticed that the line is gone
            self._hosts[node].holder(end=True)
            given = self._hold(node)
        if isinstance(given, str):
            return None
        if given.epoch != self.epoch:
            given.talk.close()
            return None
        return given

    def _majority(self, what: str, code: Code) -> None:
        if self._held:
            return
        missing = sorted(self._voters - (self._shares.keys() - self._gone.keys()))
        why = [f"{node}: {self._why(node)}" for node in missing]
        self.release()
        raise Problem(
            f"{what}: it has to be held on more than half of {', '.join(sorted(self._voters))}",
            why="\n".join(why),
            next="run the same command again: it looks at what was done meanwhile, and goes on"
            if code is Code.LOCKED
            else "bring them back; what is gone for good has to leave cluster.yaml",
            code=code,
        )

    def _why(self, node: str) -> str:
        problem = self._gone.get(node) or self._hosts.unreachable.get(node)
        return problem.why or problem.what if problem else "not taken"

    @property
    def _voters(self) -> frozenset[str]:
        return frozenset(node.name for node in self._hosts.cluster.voters)


def _busy(other: str, why: str) -> Problem:
    return Problem(
        f"another bootstrap is at work on this cluster: {other}",
        why=why,
        next="wait until it ends (--wait 600), or end it: bootstrap unlock",
        code=Code.LOCKED,
    )


def holder(command: str) -> str:
    """Who we are, for others who wait."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name goes with the number
        user = str(os.getuid())
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{user}@{socket.gethostname()}, process {os.getpid()}, since {since}: bootstrap {command}"
