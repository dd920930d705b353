"""How each of the four steps is performed on real hosts; with `run`, the only writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import httpx2

from bootstrap import documents, explain, health, kubelet, redact, serving, trace
from bootstrap.components import Probe, components
from bootstrap.documents import Object
from bootstrap.drain import drain, unlisted
from bootstrap.errors import Code, Problem
from bootstrap.hosts import Event, Hosts
from bootstrap.kube import Kube
from bootstrap.lock import Lock
from bootstrap.objects import SYSTEM
from bootstrap.run import Failure
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import Apply, Drain, Facts, File, Member, Turn, Wave, about

OWN_HOOKS = ("rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes")  # who puts ours needs neither
REGISTERED = 60.0  # seconds a kubelet may take to register its node, once the API answers

Objects = Callable[[frozenset[str]], Mapping[str, Object]]  # registered nodes -> the wanted objects, by key


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
                    self._apply(step)
                case Drain(node):
                    self._drain(node)
        return failures

    def back(self, node: str) -> None:
        """Swap a node back, if it can be reached."""
        try:
            told = self.hosts[node].back(self.lock.epoch)
            self._say(node, told or "swapped back to what it had")
        except Problem as problem:
            ours(problem)
            self._say(node, f"could not be swapped back: {problem.what}")

    def _say(self, node: str, text: str) -> None:
        self.hosts.report(Event(node, text))

    def _turn(self, turn: Turn) -> Failure | None:
        with trace.span("turn", turn.node):
            return self._turned(turn)

    def _turned(self, turn: Turn) -> Failure | None:
        name, host, cluster = turn.node, self.hosts[turn.node], self.hosts.cluster
        node, was = self.hosts.nodes[name], self.hosts.known[name]
        self._say(name, summary(turn, was))
        leaving, epoch = leaving_kubelet(cluster, node, was), self.lock.epoch
        if "etcd" in turn.restart:
            self._hand_over(name)
        try:
            if told := host.turn(turn, was, cluster.etcd.data_dir, leaving, graces(cluster, node), epoch=epoch):
                self._say(name, told)
        except Problem as problem:
            ours(problem)
            return Failure(said(problem), content=problem.code is Code.FAILED)
        if turn.leaves:
            self.hosts.known.pop(name)
            self._say(name, "is as it was found")
            return None
        listed = (self.hosts.members or {}).get(name)
        soak = bool(set(turn.restart) & was.running.keys())
        founds = self.hosts.members == {} and node.control_plane
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
                say=lambda text: self._say(node.name, text),
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
        return health.lasting(self.hosts[name].dial, probe, seconds=self.wait, stopped=self._stopped)

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
                self._say(node, f"etcd's leader moves to {others[0]}")
        except (httpx2.HTTPError, Problem) as error:
            self._say(node, f"etcd's leader could not be moved away: {error}")

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
                    self._say(node, "is a learner of etcd")
                case True if node not in listed:
                    return Failure("etcd does not list it any more", content=False)
                case True:
                    etcd.promote(listed[node].id, seconds=self.wait)
                    self._say(node, "votes in etcd")
                case None if node in listed:
                    self._hand_over(node)
                    etcd.remove(listed[node].id)
                    self._say(node, "has left etcd")
        except httpx2.HTTPError as error:
            return Failure(f"etcd did not change its list: {error}", content=False)
        except Problem as problem:
            return Failure(f"etcd did not change its list: {problem.what}", content=False)
        if votes:
            return self._healthy(self.hosts.nodes[node], self.hosts.known[node].record.runs, soak=False)
        return None

    def _kube(self) -> Kube:
        kube = self.hosts.kube()
        if kube is None:
            raise Problem("no API server answers any more", next="run the same command again: it goes on from here")
        return kube

    def _drain(self, node: str) -> None:
        reached = node in self.hosts.known
        drain(self._kube(), node, seconds=self.wait, reached=reached, say=lambda text: self._say(node, text))

    def _apply(self, step: Apply) -> None:
        if not self.hosts.running("kube-apiserver"):
            self.hosts.observe(self.hosts.addresses)
        kube = self._kube()
        if self._founders:
            with trace.span("waits until the API has its namespaces"):
                housed(kube, self.hosts.stopping.is_set)
        put = [key for _, key, _ in step.put if not key.startswith(serving.PREFIX)]
        for name in (key for _, key, _ in step.put if key.startswith(serving.PREFIX)):
            serving.approve(kube, name)
        marks = {key: key.rpartition("|")[2] for key in put if key.startswith("|Node|")}
        wanted = self.objects(frozenset(marks.values()))
        servers = {node: found for node in about(step) if (found := self._server(kube, node))}
        ours = set(kube.inventory()) | (set(put) - marks.keys())
        kube.note(ours)
        with trace.span("puts objects"):
            kube.put(wanted[key] for key in put if key not in marks)
        with trace.span("waits until the nodes are registered"):
            registered(kube, frozenset(marks.values()), self.hosts.stopping.is_set)
        kube.put(wanted[key] for key in marks)
        kube.drop(step.drop)
        if step.drop:
            kube.note(ours - set(step.drop))
        for node, address in sorted(servers.items()):
            unlisted(
                kube,
                address,
                expire=partial(self._expire, node, address),
                stopped=self.hosts.stopping.is_set,
                say=partial(self._say, node),
            )
        self._say("", f"{len(step.put)} objects put, {len(step.drop)} dropped")

    def _server(self, kube: Kube, node: str) -> str:
        """The address of a control-plane node's API server, also where only the API still knows it; "": it has none."""
        if node in self.hosts.nodes:
            return self.hosts.nodes[node].address if self.hosts.nodes[node].control_plane else ""
        found = kube.get(f"/api/v1/nodes/{node}")
        if not found or "node-role.kubernetes.io/control-plane" not in found["metadata"].get("labels", {}):
            return ""
        return next((each["address"] for each in found["status"]["addresses"] if each["type"] == "InternalIP"), "")

    def _expire(self, node: str, address: str) -> None:
        """Nobody serves at this address any more, whatever the API server there left in etcd."""
        for through in self.hosts.running("etcd"):
            if through != node:
                self.hosts.etcd(through).delete(f"/registry/masterleases/{address}")
                return


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


def housed(kube: Kube, stopped: Callable[[], bool]) -> None:
    """Returns once there is the namespace that most of ours is in: a new API server makes it by itself."""
    deadline = time.monotonic() + REGISTERED
    while kube.get(f"/api/v1/namespaces/{SYSTEM}") is None:
        if time.monotonic() > deadline or stopped():
            raise Problem(
                f"the API server did not make its namespace {SYSTEM} in {REGISTERED:.0f} s",
                next="run the same command again: it goes on where this one ended",
            )
        time.sleep(0.1)


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
