"""Opens hosts, observes the World, plans, runs: all that a command, or a program that imports us, starts with."""

from __future__ import annotations

import ipaddress
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bootstrap import credentials, documents, health, kubelet, objects, spec, state, tunnel
from bootstrap.components import Probe, components
from bootstrap.errors import Code, Problem
from bootstrap.etcd import Etcd
from bootstrap.kube import Kube, fingerprint
from bootstrap.phases import PHASES, Setting
from bootstrap.plan import Plan, plan
from bootstrap.run import Failure, Outcome, run
from bootstrap.spec.model import API_PORT, Cluster, Node
from bootstrap.ssh import Host, Login
from bootstrap.world import (
    Apply,
    Drain,
    Facts,
    File,
    Listed,
    Member,
    Turn,
    Wants,
    Wave,
    World,
    born,
)

WAIT = 240.0  # seconds a turn may take to get healthy; kubeadm's


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened that a person who waits wants to see; `node` "" is the cluster."""

    node: str
    text: str
    done: bool = True


Report = Callable[[Event], None]


class Session:
    """One cluster.yaml, its state and its hosts, for the time of one command; the real Site of a run."""

    def __init__(self, file: Path, report: Report = lambda _: None, *, wait: float = WAIT) -> None:
        """Reads the file; nothing is connected or written yet."""
        self.cluster: Cluster = spec.load(file)
        self.directory = state.directory(file, self.cluster.name)
        self.store: MutableMapping[str, bytes] = ChainMap({}, state.Store(self.directory))
        self.unreachable: dict[str, Problem] = {}
        self._report, self._wait = report, wait
        self._hosts = {node.name: Host(node.name, self._login(node)) for node in self.cluster.nodes}
        self._pool = ThreadPoolExecutor(16)
        self._known: dict[str, Facts] = {}
        self._wanted: dict[object, tuple[File, ...]] = {}
        self._kube: Kube | None = None

    def __enter__(self) -> Session:
        """Closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Every connection ends."""
        self._pool.shutdown(cancel_futures=True)
        for host in self._hosts.values():
            host.close()

    def keep(self) -> None:
        """From now on credentials are written to the state directory; call it with the lock held."""
        self.store = state.Store(self.directory)

    # --- what is known

    def world(self, *, leaving: frozenset[str] = frozenset()) -> World:
        """Everything, as it is now. Problem when a node carries another cluster, or when our state was lost."""
        facts, members = self.observe(self._hosts.keys())
        self._refuse_strangers(facts)
        credentials.issue(self.cluster, self.store, datetime.now(UTC))
        world = World(
            wanted={node.name: node.address for node in self.cluster.nodes},
            voters=frozenset(node.name for node in self.cluster.voters),
            facts=facts,
            members=members,
            leaving=leaving,
            pods=self.pods(facts),
        )
        if members and (kube := self.kube()):
            try:
                world = replace(world, nodes=kube.nodes())
                world = replace(world, objects=kube.seen(tuple(self.objects(world).values())))
            except httpx2.HTTPError:
                self._kube = None  # it runs, and can't be asked: the plan ends there
        return world

    def observe(self, nodes: Iterable[str]) -> tuple[dict[str, Facts], Mapping[str, Listed] | None]:
        """The facts of those that answer, and etcd's members."""
        facts = {name: found for name, found in self._pool.map(self._look, sorted(nodes)) if found}
        self._known |= facts
        return facts, self._members()

    def _look(self, name: str) -> tuple[str, Facts | None]:
        node, host = self.cluster.node(name), self._hosts[name]
        manifests = {**self.cluster.kubelet, **node.kubelet}.get("staticPodPath", "")
        try:
            facts = host.observe(self.cluster.etcd.data_dir, manifests)
            if node.control_plane and "etcd" in facts.running:
                facts = replace(
                    facts, healthy=not health.answers(host.dial, replace(self._etcd_probe(node), path="/livez"))
                )
        except Problem as problem:
            self.unreachable[name] = problem
            self._known.pop(name, None)
            return name, None
        return name, facts

    def _members(self) -> Mapping[str, Listed] | None:
        addresses = {node.name: node.address for node in self.cluster.nodes}
        if "operator/etcd.crt" in self.store:
            for name, facts in sorted(self._known.items()):
                if "etcd" in facts.running:
                    try:
                        return Etcd(self._client(name, 2379, credentials.etcd_identity(self.store))).members(addresses)
                    except httpx2.HTTPError:
                        continue
        answered = all(node.name in self._known for node in self.cluster.voters)
        traces = any(f.record.files or f.record.birth or f.etcd for f in self._known.values())
        return {} if answered and not traces else None

    def host(self, node: str) -> Host:
        """The host of this node."""
        return self._hosts[node]

    def kube(self) -> Kube | None:
        """The API, through the first control-plane node where it runs; None when it runs nowhere."""
        if self._kube is None:
            for name, facts in sorted(self._known.items()):
                if "kube-apiserver" in facts.running:
                    self._kube = Kube(self._client(name, API_PORT, credentials.api_identity(self.store)))
                    break
        return self._kube

    def _client(self, node: str, port: int, identity: credentials.Identity) -> httpx2.Client:
        tls = tunnel.context(identity.ca, identity.certificate, identity.key)
        return tunnel.client(self._hosts[node].dial, port, tls)

    def _refuse_strangers(self, facts: Mapping[str, Facts]) -> None:
        ours = credentials.uid(self.store) if "pki/ca.crt" in self.store else ""
        for name, uid in sorted((name, f.record.uid) for name, f in facts.items() if f.record.uid):
            if uid != ours:
                raise Problem(
                    f"{name} belongs to a cluster whose keys are not in {self.directory}",
                    why=f"its record says cluster {uid}, this workstation knows {ours or 'none'}",
                    next="put that cluster's state directory back, or name the right node in cluster.yaml",
                    code=Code.LOCKED,
                )

    def pods(self, facts: Mapping[str, Facts]) -> dict[str, str]:
        """node -> pod CIDR: the union over the records, and the lowest free for who has none."""
        if self.cluster.networking.plugin != "bridge":
            return {}
        known = {node: cidr for f in facts.values() for node, cidr in f.record.pods.items()}
        subnet = ipaddress.ip_network(self.cluster.networking.pod_subnet)
        free = (str(net) for net in subnet.subnets(new_prefix=24 if subnet.version == 4 else 80))
        taken = set(known.values())
        unused = (cidr for cidr in free if cidr not in taken)
        for node in self.cluster.nodes:
            if node.name not in known:
                known[node.name] = next(unused)
        return dict(sorted(known.items()))

    # --- what is wanted

    @property
    def wants(self) -> Wants:
        """The phases, joined."""
        return Wants(
            files=self._files,
            objects=lambda world: {key: fingerprint(each) for key, each in self.objects(world).items()},
            uid=credentials.uid(self.store),
            constants={
                "name": self.cluster.name,
                "podSubnet": self.cluster.networking.pod_subnet,
                "serviceSubnet": self.cluster.networking.service_subnet,
                "dnsDomain": self.cluster.networking.dns_domain,
                "etcdDataDir": self.cluster.etcd.data_dir,
            },
        )

    def _files(self, world: World, name: str) -> tuple[File, ...]:
        node = self.cluster.node(name)
        birth = born(world, name) if node.control_plane else None
        same = (name, birth and (birth.members, birth.state), world.pods.get(name), _place(world.facts[name]))
        if same not in self._wanted:
            setting = Setting(self.cluster, self.store, world)
            self._wanted[same] = tuple(file for phase in PHASES for file in phase.files(setting, node))
        return self._wanted[same]

    def objects(self, world: World) -> dict[str, dict[str, Any]]:
        """Every object the API should hold, by key, in order of application."""
        setting = Setting(self.cluster, self.store, world)
        every = objects.ordered(each for phase in PHASES for each in phase.objects(setting))
        return {objects.key(each): each for each in every}

    # --- what is done

    def plan(self, world: World) -> Plan:
        """The waves from what is to what should be."""
        return plan(world, self.wants)

    def run(self, world: World, approved: Plan) -> Outcome:
        """Perform an approved plan."""
        return run(self, world, self.wants, approved.waves)

    def perform(self, wave: Wave) -> dict[str, Failure]:
        """Every step of a wave at once; turns settle when all of the wave are healthy."""
        turns = [step for step in wave if isinstance(step, Turn)]
        failures = {name: failure for name, failure in self._pool.map(self._turn, turns) if failure}
        good = [turn.node for turn in turns if turn.node not in failures and not turn.leaves]
        for _ in self._pool.map(lambda name: self._hosts[name].settle(), good):
            pass
        for step in wave:
            match step:
                case Member(node, votes):
                    self._seat(node, votes=votes)
                case Apply():
                    self._apply(step)
                case Drain(node):
                    raise Problem(f"{node} has pods: draining is not possible yet", next="reset the whole cluster")
        return failures

    def back(self, node: str) -> None:
        """Swap a node back, if it can be reached."""
        try:
            self._hosts[node].back()
            self._report(Event(node, "swapped back to what it had"))
        except Problem as problem:
            self._report(Event(node, f"could not be swapped back: {problem.what}"))

    def _turn(self, turn: Turn) -> tuple[str, Failure | None]:
        name, host = turn.node, self._hosts[turn.node]
        node, was = self.cluster.node(name), self._known[turn.node]
        parts = ", ".join(turn.restart)
        self._report(
            Event(name, f"{len(turn.put)} files; " + (f"restarts {parts}" if parts else "nothing restarts"), done=False)
        )
        try:
            host.turn(turn, was, self.cluster.etcd.data_dir, leaving_kubelet(self.cluster, node, was))
        except Problem as problem:
            return name, Failure(
                problem.what + (f": {problem.why}" if problem.why else ""), content=problem.code is Code.FAILED
            )
        if turn.leaves:
            self._known.pop(name)
            self._report(Event(name, "is as it was found"))
            return name, None
        manifests = {**self.cluster.kubelet, **node.kubelet}.get("staticPodPath", "")
        missing = health.wait(
            host.dial,
            lambda: host.observe(self.cluster.etcd.data_dir, manifests),
            self.first_probes(node),
            turn.record.runs,
            seconds=self._wait,
            soak=bool(set(turn.restart) & was.running.keys()),
            say=lambda text: self._report(Event(name, text)),
        )
        if missing:
            words = host.diagnose([part for part in turn.record.runs if part in missing])
            return name, Failure(f"{missing}\n{words}", content=True)
        return name, None

    def probes(self, node: Node) -> list[Probe]:
        """Where each part of a node is asked whether it can do its work."""
        kubelets = Probe("kubelet", 10248, "/healthz", "http", "127.0.0.1")
        return [kubelets, *(component.probe for component in components(self.cluster, node))]

    def first_probes(self, node: Node) -> list[Probe]:
        """What has to answer before there are objects: a further scheduler lives, but may not read anything yet."""
        further = {scheduler.name for scheduler in self.cluster.schedulers}
        return [replace(probe, path="/livez") if probe.part in further else probe for probe in self.probes(node)]

    def _etcd_probe(self, node: Node) -> Probe:
        return next(probe for probe in self.probes(node) if probe.part == "etcd")

    def _seat(self, node: str, *, votes: bool | None) -> None:
        through = next(name for name, f in sorted(self._known.items()) if "etcd" in f.running and name != node)
        etcd = Etcd(self._client(through, 2379, credentials.etcd_identity(self.store)))
        listed = etcd.members({n.name: n.address for n in self.cluster.nodes})
        match votes:
            case False:
                etcd.add_learner(self.cluster.node(node).address)
            case True:
                etcd.promote(listed[node].id)
            case None if node in listed:
                etcd.remove(listed[node].id)

    def _apply(self, step: Apply) -> None:
        known, _ = self.observe(self._hosts.keys())
        self._known = known
        kube = self.kube()
        if kube is None:
            raise Problem("no API server answers any more", next="run the same command again", code=Code.FAILED)
        wanted = self.objects(World({}, frozenset(), known, None, nodes={n.name: False for n in self.cluster.nodes}))
        puts = [wanted[key] for _, key, _ in step.put]
        ours = set(kube.inventory()) | {key for _, key, _ in step.put if not key.startswith("|Node|")}
        kube.note(ours)
        kube.put(puts)
        kube.drop(step.drop)
        if step.drop:
            kube.note(ours - set(step.drop))
        self._report(Event("", f"{len(puts)} objects put, {len(step.drop)} dropped"))

    def _login(self, node: Node) -> Login:
        ssh = self.cluster.ssh_of(node)
        user, known = ssh.user or "root", (self.directory / "known_hosts", Path("~/.ssh/known_hosts"))
        identity = Path(ssh.identity_file) if ssh.identity_file else None
        jump = None
        for hop in (ssh.jump or "").split(",") if ssh.jump else ():
            login, _, place = hop.rpartition("@")
            url = urlsplit(f"//{place}")
            jump = Login(url.hostname or place, url.port or 22, login or user, identity, known_hosts=known, jump=jump)
        return Login(
            host=ssh.host or node.address,
            port=ssh.port or 22,
            user=user,
            identity=identity,
            host_key=ssh.host_key or "",
            known_hosts=known,
            jump=jump,
            sudo=user != "root" if ssh.sudo is None else ssh.sudo,
        )


def _place(facts: Facts) -> tuple[object, ...]:
    machine = facts.machine
    return (
        machine.manifests,
        machine.kubelet,
        machine.kubelet_flags,
        machine.runtime,
        machine.resolved,
        machine.ca_directories,
    )


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
