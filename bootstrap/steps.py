"""How each of the four steps is performed on real hosts; with `run`, the only writer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx2

from bootstrap import documents, explain, health, kubelet, redact, trace
from bootstrap.applying import Objects, apply
from bootstrap.components import Probe, components
from bootstrap.drain import drain
from bootstrap.errors import Code, Problem
from bootstrap.hosts import Hosts
from bootstrap.lock import Lock
from bootstrap.run import Failure
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import Apply, Drain, Facts, File, Member, Turn, Wave

OWN_HOOKS = ("rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes")  # who puts ours needs neither


@dataclass(frozen=True, slots=True)
class Steps:
    """Performs waves on these hosts, with the lock held; a turn may take `wait` seconds to get healthy."""

    hosts: Hosts
    lock: Lock
    objects: Objects
    wait: float
    _founders: list[str] = field(default_factory=list)  # whose API servers are still to be ready altogether

    def perform(self, wave: Wave) -> dict[str, Failure]:
        """Every step of a wave at once; turns settle when all of the wave are healthy. Who failed, and why.

        Problem (LOCKED) when the lock was lost, or a node knows a newer epoch.
        """
        self.lock.check()
        turns = [step for step in wave if isinstance(step, Turn)]
        ended = zip(turns, self.hosts.pool.map(self._turn, turns), strict=True)
        failures = {turn.node: failure for turn, failure in ended if failure}
        good = [turn for turn in turns if turn.node not in failures and not turn.leaves]
        settled = zip(good, self.hosts.pool.map(self._settle, good), strict=True)
        failures |= {turn.node: failure for turn, failure in settled if failure}
        for step in wave:
            match step:
                case Member(node, votes):
                    if failure := self._seat(node, votes=votes):
                        failures[node] = failure
                case Apply():
                    apply(self.hosts, step, self.objects)
                case Drain(node):
                    self._drain(node)
        return failures

    def back(self, node: str) -> None:
        """Swap a node back, if it can be reached."""
        try:
            told = self.hosts[node].back(self.lock.epoch)
            self.hosts.say(node, told or "swapped back to what it had")
        except Problem as problem:
            ours(problem)
            self.hosts.say(node, f"could not be swapped back: {problem.what}")

    def _turn(self, turn: Turn) -> Failure | None:
        with trace.span("turn", turn.node):
            return self._turned(turn)

    def _turned(self, turn: Turn) -> Failure | None:
        name, host, cluster = turn.node, self.hosts[turn.node], self.hosts.cluster
        node, was = self.hosts.nodes[name], self.hosts.known[name]
        self.hosts.say(name, summary(turn, was))
        leaving, epoch = leaving_kubelet(cluster, node, was), self.lock.epoch
        if "etcd" in turn.restart:
            self._hand_over(name)
        try:
            if told := host.turn(turn, was, cluster.etcd.data_dir, leaving, graces(cluster, node), epoch=epoch):
                self.hosts.say(name, told)
        except Problem as problem:
            ours(problem)
            return Failure(said(problem), content=problem.code is Code.FAILED)
        if turn.leaves:
            self.hosts.known.pop(name)
            self.hosts.say(name, "is as it was found")
            return None
        listed = (self.hosts.members or {}).get(name)
        soak = bool(set(turn.restart) & was.running.keys())
        founds = self.hosts.members == {} and node.control_plane and not cluster.addons  # which may need more
        if failure := self._healthy(
            node, turn.record.runs, learner=bool(listed and not listed.votes), founds=founds, soak=soak
        ):
            return failure
        if founds:
            self._founders.append(name)
        return None

    def _healthy(
        self, node: Node, runs: Mapping[str, str], *, learner: bool = False, founds: bool = False, soak: bool
    ) -> Failure | None:
        """Waits until every part of a node runs as wanted and answers; what can't be done yet is not awaited.

        Not what a learner can't do; nor, of an API server that `founds`, what it makes for itself meanwhile: `ended`
        waits for that.
        """
        host = self.hosts[node.name]
        probes = first_probes(self.hosts.cluster, self.hosts.probes(node), founds=founds)
        if learner:  # nobody may read from it: it only lives, and its API server waits until it votes
            probes = [replace(probe, path="/livez") for probe in probes if probe.part == "etcd"]
            runs = {part: generation for part, generation in runs.items() if part in ("etcd", "kubelet")}
        try:
            missing = health.wait(
                host.dial,
                lambda: self._seen(node),
                probes,
                runs,
                seconds=self.wait,
                soak=soak,
                stopped=self._stopped,
                hopeless=lambda parts: self._hopeless(node.name, parts),
                say=lambda text: self.hosts.say(node.name, text),
                known={"kube-apiserver": self.hosts.api_tls()} if founds else {},
            )
            return self._unhealthy(node.name, missing) if missing else None
        except Problem as problem:  # the line broke: this node leaves the run, the others go on
            ours(problem)
            return Failure(said(problem), content=False)

    def _seen(self, node: Node) -> Facts:
        """What it tells now: once it is healthy, nobody has to ask again at once."""
        began = time.monotonic()
        facts = self.hosts.facts(node.name)
        self.hosts.saw(node.name, facts, began)
        return facts

    def ended(self) -> dict[str, str]:
        """Waits until API servers that were founded can do all their work; who can't, and why."""
        with trace.span("waits until the API is ready"):
            told = zip(self._founders, self.hosts.pool.map(self._ready, self._founders), strict=True)
            return {name: f"kube-apiserver is not ready: {why}" for name, why in told if why}

    def _ready(self, name: str) -> str:
        probes = self.hosts.probes(self.hosts.nodes[name])
        probe = next(probe for probe in probes if probe.part == "kube-apiserver")
        return health.lasting(
            self.hosts[name].dial,
            probe,
            seconds=self.wait,
            stopped=lambda: self.hosts.asked_to_stop or self._stopped(),
        )

    def _stopped(self) -> bool:
        self.lock.holds()
        return self.hosts.stopping.is_set()

    def _hopeless(self, node: str, parts: Sequence[str]) -> bool:
        try:
            return explain.hopeless(self.hosts[node].diagnose(parts), parts)
        except Problem:  # too slow to tell: that is no reason to give up
            return False

    def _unhealthy(self, node: str, missing: Mapping[str, str]) -> Failure:
        """With why, as far as it can be told; what nobody can tell is by what the turn brought."""
        told, now = self.hosts[node].diagnose(sorted(missing)), time.time()
        found = (*explain.causes(told, sorted(missing)), *explain.clock_cause(told, now))
        words = redact.redact(explain.text(told, missing, found), redact.secrets(self.hosts.store))
        return Failure(words, content=not any(cause.own for cause in found))

    def _settle(self, turn: Turn) -> Failure | None:
        try:
            self.hosts[turn.node].settle(self.lock.epoch)
        except Problem as problem:
            ours(problem)
            return Failure(problem.what, content=False)
        known = self.hosts.known[turn.node]
        self.hosts.known[turn.node] = replace(known, record=replace(turn.record, epoch=self.lock.epoch))
        return None

    def _hand_over(self, node: str) -> None:
        """etcd's leader moves to another member that serves before this one stops: no election in anybody's way."""
        known, members = self.hosts.known, self.hosts.members or {}
        serving = [n for n in self.hosts.running("etcd") if n in members and members[n].votes and known[n].healthy]
        others = [n for n in serving if n != node]
        if node not in serving or not others:
            return
        try:
            etcd = self.hosts.etcd(node)
            if etcd.leads():
                etcd.hand_over(members[others[0]].id)
                self.hosts.say(node, f"etcd's leader moves to {others[0]}")
        except (httpx2.HTTPError, Problem) as error:
            self.hosts.say(node, f"etcd's leader could not be moved away: {error}")

    def _seat(self, node: str, *, votes: bool | None) -> Failure | None:
        """etcd's list, through another member; who votes from now on gets healthy altogether."""
        voters = [name for name, member in (self.hosts.members or {}).items() if member.votes and name != node]
        through = [name for name in self.hosts.running("etcd") if name in voters]
        if not through:
            return Failure("no other member of etcd can be asked to change its list", content=False)
        try:
            etcd = self.hosts.etcd(through[0])
            listed = self.hosts.listed(etcd)
            match votes:
                case False:
                    etcd.add_learner(self.hosts.nodes[node].address)
                    self.hosts.say(node, "is a learner of etcd")
                case True if node not in listed:
                    return Failure("etcd does not list it any more", content=False)
                case True:
                    etcd.promote(listed[node].id, seconds=self.wait)
                    self.hosts.say(node, "votes in etcd")
                case None if node in listed:
                    self._hand_over(node)
                    etcd.remove(listed[node].id)
                    self.hosts.say(node, "has left etcd")
        except httpx2.HTTPError as error:
            return Failure(f"etcd did not change its list: {error}", content=False)
        except Problem as problem:
            return Failure(f"etcd did not change its list: {problem.what}", content=False)
        if votes:
            return self._healthy(self.hosts.nodes[node], self.hosts.known[node].record.runs, soak=False)
        return None

    def _drain(self, node: str) -> None:
        reached = node in self.hosts.known
        drain(self.hosts.api(), node, seconds=self.wait, reached=reached, say=lambda text: self.hosts.say(node, text))


def graces(cluster: Cluster, node: Node) -> dict[str, int]:
    """part -> seconds from SIGTERM to SIGKILL."""
    return {component.name: component.grace for component in components(cluster, node)}


def ours(problem: Problem) -> None:
    """Raise it again when the cluster is somebody else's now: no node failed."""
    if problem.code is Code.LOCKED:
        raise problem


def said(problem: Problem) -> str:
    """What happened, and why where that is known."""
    return f"{problem.what}: {problem.why}" if problem.why else problem.what


def summary(turn: Turn, was: Facts) -> str:
    """What a turn does, in a line."""
    if turn.leaves:
        return "everything of ours goes"
    kinds = {verb: [part for part in parts if part != "host"] for verb, parts in turn.parts(was.running).items()}
    words = [f"{verb} {', '.join(names)}" for verb, names in kinds.items() if names]
    return "; ".join([f"{len(turn.put)} files", *words])


def first_probes(cluster: Cluster, probes: list[Probe], *, founds: bool) -> list[Probe]:
    """What has to answer before there are objects: a scheduler lives, but may not be allowed to read anything yet.

    An API server of a cluster that is new serves a second or two before it has made its own roles and classes, and
    answers nobody that it does not know before it has.
    """
    paths = dict.fromkeys(["kube-scheduler", *(scheduler.name for scheduler in cluster.schedulers)], "/livez")
    if founds:
        paths["kube-apiserver"] = f"/readyz?{'&'.join(f'exclude=poststarthook/{hook}' for hook in OWN_HOOKS)}"
    return [replace(probe, path=paths.get(probe.part, probe.path)) for probe in probes]


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
