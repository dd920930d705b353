"""How each of the four steps is performed on real hosts; with `run`, the only writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bootstrap import documents, health, kubelet
from bootstrap.components import Probe
from bootstrap.errors import Code, Problem
from bootstrap.hosts import Event, Hosts
from bootstrap.kube import Kube
from bootstrap.run import Failure
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import Apply, Drain, Facts, File, Member, Turn, Wave

REGISTERED = 60.0  # seconds a kubelet may take to register its node, once the API answers

Objects = Callable[[frozenset[str]], Mapping[str, Mapping[str, Any]]]  # registered nodes -> the wanted objects, by key


@dataclass(frozen=True, slots=True)
class Steps:
    """Performs waves on these hosts; a turn may take `wait` seconds to get healthy."""

    hosts: Hosts
    objects: Objects
    wait: float

    def perform(self, wave: Wave) -> dict[str, Failure]:
        """Every step of a wave at once; turns settle when all of the wave are healthy. Who failed, and why."""
        turns = [step for step in wave if isinstance(step, Turn)]
        ended = zip(turns, self.hosts.pool.map(self._turn, turns), strict=True)
        failures = {turn.node: failure for turn, failure in ended if failure}
        good = [turn.node for turn in turns if turn.node not in failures and not turn.leaves]
        list(self.hosts.pool.map(lambda name: self.hosts[name].settle(), good))
        for step in wave:
            match step:
                case Member(node, votes):
                    self._seat(node, votes=votes)
                case Apply():
                    self._apply(step)
                case Drain(node):
                    raise Problem(f"{node} serves pods, and draining is not there yet", next="reset the whole cluster")
        return failures

    def back(self, node: str) -> None:
        """Swap a node back, if it can be reached."""
        try:
            self.hosts[node].back()
            self._say(node, "swapped back to what it had")
        except Problem as problem:
            self._say(node, f"could not be swapped back: {problem.what}")

    def _say(self, node: str, text: str) -> None:
        self.hosts.report(Event(node, text))

    def _turn(self, turn: Turn) -> Failure | None:
        name, host, cluster = turn.node, self.hosts[turn.node], self.hosts.cluster
        node, was = cluster.node(name), self.hosts.known[name]
        self._say(name, summary(turn, was))
        try:
            host.turn(turn, was, cluster.etcd.data_dir, leaving_kubelet(cluster, node, was))
        except Problem as problem:
            why = f"{problem.what}: {problem.why}" if problem.why else problem.what
            return Failure(why, content=problem.code is Code.FAILED)
        if turn.leaves:
            self.hosts.known.pop(name)
            self._say(name, "is as it was found")
            return None
        missing = health.wait(
            host.dial,
            lambda: self.hosts.facts(node),
            first_probes(cluster, self.hosts.probes(node)),
            turn.record.runs,
            seconds=self.wait,
            soak=bool(set(turn.restart) & was.running.keys()),
            stopped=self.hosts.stopping.is_set,
            say=lambda text: self._say(name, text),
        )
        if missing:
            words = host.diagnose([part for part in turn.record.runs if part in missing])
            return Failure(f"{missing}\n{words}", content=True)
        return None

    def _seat(self, node: str, *, votes: bool | None) -> None:
        others = [name for name in self.hosts.running("etcd") if name != node]
        etcd = self.hosts.etcd(others[0])
        match votes:
            case False:
                etcd.add_learner(self.hosts.cluster.node(node).address)
            case True:
                etcd.promote(etcd.members(self.hosts.addresses)[node].id)
            case None if node in (listed := etcd.members(self.hosts.addresses)):
                etcd.remove(listed[node].id)

    def _apply(self, step: Apply) -> None:
        self.hosts.observe(self.hosts.addresses)
        kube = self.hosts.kube()
        if kube is None:
            raise Problem("no API server answers any more", next="run the same command again: it goes on from here")
        put = [key for _, key, _ in step.put]
        marked = frozenset(key.rpartition("|")[2] for key in put if key.startswith("|Node|"))
        registered(kube, marked, self.hosts.stopping.is_set)
        wanted = self.objects(marked)
        ours = set(kube.inventory()) | {key for key in put if not key.startswith("|Node|")}
        kube.note(ours)
        kube.put(wanted[key] for key in put)
        kube.drop(step.drop)
        if step.drop:
            kube.note(ours - set(step.drop))
        self._say("", f"{len(put)} objects put, {len(step.drop)} dropped")


def registered(kube: Kube, nodes: frozenset[str], stopped: Callable[[], bool]) -> None:
    """Returns once the API knows these nodes: an object put before its kubelet's would keep the taints away."""
    deadline = time.monotonic() + REGISTERED
    while missing := sorted(nodes - kube.nodes().keys()):
        if time.monotonic() > deadline or stopped():
            raise Problem(
                f"{', '.join(missing)} did not register with the API in {REGISTERED:.0f} s",
                why="the kubelet does that by itself once the API server answers",
                next=f"on {missing[0]}: journalctl -u kubelet -n 50",
            )
        time.sleep(0.1)


def summary(turn: Turn, was: Facts) -> str:
    """What a turn does, in a line."""
    if turn.leaves:
        return "everything of ours goes"
    parts = [part for part in turn.restart if part != "host"]
    kinds = {
        "starts": [part for part in parts if part not in was.running],
        "restarts": [part for part in parts if part in was.running and part in turn.record.runs],
        "stops": [part for part in parts if part not in turn.record.runs],
    }
    words = [f"{verb} {', '.join(names)}" for verb, names in kinds.items() if names]
    return "; ".join([f"{len(turn.put)} files", *words])


def first_probes(cluster: Cluster, probes: list[Probe]) -> list[Probe]:
    """What has to answer before there are objects: a further scheduler lives, but may not read anything yet."""
    further = {scheduler.name for scheduler in cluster.schedulers}
    return [replace(probe, path="/livez") if probe.part in further else probe for probe in probes]


def leaving_kubelet(cluster: Cluster, node: Node, facts: Facts) -> File:
    """The configuration of a kubelet without an API server: it removes every pod that no file asks for."""
    settings = kubelet.config(cluster, node, facts.machine)
    for name in ("tlsCertFile", "tlsPrivateKeyFile", "registerWithTaints"):
        settings.pop(name, None)
    settings |= {
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "enableServer": False,
        "registerNode": False,
    }
    return File("leave.yaml", documents.dump(settings).encode(), secret=False)
