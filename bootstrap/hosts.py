"""Everything that can be asked: every node of the file over SSH, and through them etcd and the API."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

import httpx2

from bootstrap import credentials, flags, health, trace, tunnel
from bootstrap.components import Probe, components
from bootstrap.errors import Problem
from bootstrap.etcd import Etcd
from bootstrap.kube import Kube
from bootstrap.machines import Opened
from bootstrap.spec.addresses import API_PORT, ETCD_PORT, bracketed
from bootstrap.spec.model import Node
from bootstrap.ssh import Host
from bootstrap.survey import Survey
from bootstrap.world import Facts, Listed

TRIES = 3  # how often a member of etcd is asked before it counts as down: one that was only slow for once serves


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened that a person who waits wants to see; `node` "" is the cluster."""

    node: str
    text: str


Report = Callable[[Event], None]


class Hosts:
    """The machines of one cluster, and what was told of them; etcd and the API through them."""

    def __init__(self, opened: Opened, report: Report) -> None:
        """Nobody has told anything yet."""
        machines = opened.machines
        self._opened, self._machines = opened, machines
        self.cluster, self.report = opened.cluster, report
        self.nodes, self.former, self.pool = machines.nodes, machines.former, machines.pool
        self.known: dict[str, Facts] = {}  # as they were last told
        self._told: dict[str, float] = {}  # when each was asked, by our own clock; "": etcd was, for its members
        self.members: Mapping[str, Listed] | None = None  # as etcd last told
        self.alarms: Mapping[str, str] = {}  # member id -> what etcd complains of
        self.unreachable: dict[str, Problem] = {}
        self.stopping = threading.Event()  # set when whoever waits should give up
        self.asked_to_stop = False  # once what is under way is done
        self._kube: tuple[str, Kube] | None = None  # and the node it goes through

    @property
    def store(self) -> Mapping[str, bytes]:
        """The identities by which etcd and the API know us are in it."""
        return self._opened.store

    def __getitem__(self, node: str) -> Host:
        """The host of this node."""
        return self._machines[node]

    def observe(
        self, nodes: Iterable[str], *, within: float = 0
    ) -> tuple[dict[str, Facts], Mapping[str, Listed] | None]:
        """The facts of those that answer, and etcd's members; what was told in so many seconds is not asked again."""
        asked, began = sorted(nodes), time.monotonic()
        old = [name for name in asked if began - self._told.get(name, -inf) >= within]
        since = [self._machines.since(name) for name in old]
        for name, at, told in zip(old, since, self.pool.map(self._look, old), strict=True):
            self.saw(name, told, at)
        self._machines.forget()
        if old or began - self._told.get("", -inf) >= within:
            self.members = self._members()
            self._told[""] = began
        for name in asked:
            if self._young(name) and (told := self._look(name)):
                self.known[name] = told
            if name in self.known and self.known[name].etcd in self.alarms:
                self.known[name] = replace(self.known[name], healthy=False)
        return {name: self.known[name] for name in asked if name in self.known}, self.members

    def say(self, node: str, text: str) -> None:
        """Somebody waits, and wants to see it."""
        self.report(Event(node, text))

    def saw(self, name: str, facts: Facts | None, at: float) -> None:
        """A node was asked at that time, by our own clock, and told this, or nothing."""
        self._told[name] = at
        if facts:
            self.known[name] = facts
        else:
            self.known.pop(name, None)

    def forget(self) -> None:
        """Something is done now: whatever was told is old."""
        self._told.clear()

    def _young(self, name: str) -> bool:
        """Whether a member has written its data between the two questions: it is not wiped."""
        facts, listed = self.known.get(name), (self.members or {}).get(name)
        return bool(facts and listed and listed.started and facts.etcd in ("", "?") and "etcd" in facts.running)

    def _look(self, name: str) -> Facts | None:
        node = self.nodes[name]
        try:
            facts = self.facts(name)
        except Problem as problem:
            self.unreachable[name] = problem
            return None
        self.unreachable.pop(name, None)
        if node.control_plane and "etcd" in facts.running:
            serves = next(replace(probe, path="/livez") for probe in self.probes(node) if probe.part == "etcd")
            asked = (health.asked(self[name].dial, serves) for _ in range(TRIES))
            facts = replace(facts, healthy=not all(asked))
        return facts

    def _members(self) -> Mapping[str, Listed] | None:
        """None: etcd can't be asked; {}: nobody ever founded, and all who could have say so. The alarms with them."""
        self.alarms = {}
        for name in self.running("etcd"):
            try:
                with trace.span("asks etcd for its members", name):
                    etcd = self.etcd(name)
                    members = self.listed(etcd)
                    alarms = etcd.alarms()
            except (httpx2.HTTPError, Problem, KeyError, ssl.SSLError):  # no answer, or no identity to ask with
                continue
            self.alarms = alarms
            return members
        answered = all(node.name in self.known for node in self.cluster.voters)
        traces = any(f.record.files or f.record.birth or f.etcd for f in self.known.values())
        return {} if answered and not traces else None

    def facts(self, name: str) -> Facts:
        """What one node tells; Problem when it does not."""
        return self._machines.facts(name)

    def survey(self, name: str) -> Survey:
        """What the machine of a node is like whose facts are known; Problem when it does not tell."""
        return self._machines.survey(name, self.known[name])

    def listed(self, etcd: Etcd) -> dict[str, Listed]:
        """etcd's list, by the names of our nodes, of those too that were in the file once."""
        return etcd.members({node: one.address for node, one in self.nodes.items()})

    @property
    def addresses(self) -> dict[str, str]:
        """node -> address, of the file."""
        return {node.name: node.address for node in self.cluster.nodes}

    def running(self, part: str) -> list[str]:
        """Where this part runs, as far as it was told."""
        return sorted(name for name, facts in self.known.items() if part in facts.running)

    def etcd(self, node: str) -> Etcd:
        """The member of this node."""
        return Etcd(self._client(node, ETCD_PORT, _tls(credentials.etcd_identity(self.store))))

    def kube(self) -> Kube | None:
        """The API, through the first node where it runs; None when it runs nowhere."""
        serving = self.running("kube-apiserver")
        if self._kube is None or self._kube[0] not in serving:
            if not serving:
                return None
            self._kube = serving[0], Kube(self._client(serving[0], API_PORT, self.api_tls()))
        return self._kube[1]

    def api(self) -> Kube:
        """The API; Problem where it ran, and does not any more."""
        kube = self.kube()
        if kube is None:
            raise Problem("no API server answers any more", next="run the same command again: it goes on from here")
        return kube

    def api_tls(self) -> ssl.SSLContext:
        """To an API server, which knows us by it."""
        return _tls(credentials.api_identity(self.store))

    def _client(self, node: str, port: int, tls: ssl.SSLContext) -> httpx2.Client:
        loopback = flags.loopback(self.nodes[node])
        return tunnel.client(self[node].dial, f"https://{bracketed(loopback)}:{port}", tls)

    def probes(self, node: Node) -> list[Probe]:
        """Where each part of a node is asked whether it can do its work."""
        kubelets = Probe("kubelet", 10248, "/healthz", "http", "127.0.0.1")
        return [kubelets, *(component.probe for component in components(self.cluster, node))]


def _tls(identity: credentials.Identity) -> ssl.SSLContext:
    return tunnel.context(identity.ca, identity.certificate, identity.key)
