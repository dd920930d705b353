"""A cluster.yaml that is opened: what it says, its state directory, and its machines, over SSH."""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bootstrap import roster, spec, state, trace
from bootstrap.spec.model import Cluster, Node
from bootstrap.ssh import Client, Host, Login, Source, hops
from bootstrap.survey import Survey
from bootstrap.world import Facts, Machine

CONTAINERD = "unix:///run/containerd/containerd.sock"  # where a node says that most runtimes listen


class Place(NamedTuple):
    """What a survey depends on that only the node can tell."""

    manifests: str
    runtime: str


class Machines:
    """The nodes of the file, and those that were in it once; each is connected when it is first asked."""

    def __init__(self, cluster: Cluster, kept: Mapping[str, bytes], known_hosts: Path) -> None:
        """Nothing is connected yet; `kept` is what the state directory has."""
        gone = roster.gone(kept, cluster)
        self.cluster = cluster
        self.former = frozenset(name for name, one in gone.items() if not one.removed)  # they hold what was theirs
        self.nodes: Mapping[str, Node] = {name: one.node for name, one in gone.items()} | {
            node.name: node for node in cluster.nodes
        }
        self.pool = ThreadPoolExecutor(16)
        self._ssh = Client()
        self._hosts = {
            name: Host(name, login(cluster, node, known_hosts), self._ssh) for name, node in self.nodes.items()
        }
        self._strangers = self.nodes.keys() - roster.entries(kept).keys()  # no run has changed anything there
        self.asked = 0.0  # when what follows was, by our own clock
        self._facts: dict[str, Future[Facts]] = {}  # what was asked before anybody wanted to know
        self._surveys: dict[str, Future[Survey]] = {}

    def __getitem__(self, node: str) -> Host:
        """The host of this node."""
        return self._hosts[node]

    def ask(self, names: Iterable[str], *, surveys: bool) -> None:
        """Begins to ask these for their facts, and with `surveys` strangers what they are like."""
        self.asked = time.monotonic()
        self._facts = {name: self.pool.submit(self._begun, name, surveys=surveys) for name in sorted(names)}

    def facts(self, name: str) -> Facts:
        """What a node tells: what it was asked beforehand, once, else now. Problem when it does not."""
        begun = self._facts.pop(name, None)
        return begun.result() if begun else self._told(name)

    def forget(self) -> None:
        """What was asked beforehand, and is not wanted, soon is old."""
        self._facts.clear()

    def survey(self, name: str, was: Facts) -> Survey:
        """What its machine is like: as it was asked beforehand, once, else now. Problem when it does not tell."""
        begun, place = self._surveys.pop(name, None), Place(was.machine.manifests, was.machine.runtime)
        return begun.result() if begun and place == self._usual(name) else self._looked_at(name, place)

    def since(self, name: str) -> float:
        """When a node was asked what it tells next, by our own clock."""
        return self.asked if name in self._facts else time.monotonic()

    def _begun(self, name: str, *, surveys: bool) -> Facts:
        self[name].open()  # who can't be reached is tried once
        if surveys and name in self._strangers:
            self._surveys[name] = self.pool.submit(self._looked_at, name, self._usual(name))
        return self._told(name)

    def _told(self, name: str) -> Facts:
        return self[name].observe(self.cluster.etcd.data_dir, self._manifests(name))

    def _looked_at(self, name: str, place: Place) -> Survey:
        return self[name].survey(self.cluster.etcd.data_dir, place.manifests, place.runtime, name)

    def _usual(self, name: str) -> Place:
        """As most are: who is not is surveyed again."""
        return Place(self._manifests(name) or Machine().manifests, CONTAINERD)

    def _manifests(self, name: str) -> str:
        """As cluster.yaml says; "": the kubelet's own."""
        found: str = {**self.cluster.kubelet, **self.nodes[name].kubelet}.get("staticPodPath", "")
        return found

    def close(self, *, at_once: bool = False) -> None:
        """Every connection ends; `at_once`: under whoever is still busy with a node."""
        self.pool.shutdown(wait=not at_once, cancel_futures=True)
        for host in self._hosts.values():
            host.close()
        self._ssh.close()


class Opened:
    """A cluster.yaml that was read, its state directory, and its machines, for the time of one command."""

    def __init__(self, file: Path) -> None:
        """Nothing is connected or written yet. Problem, Invalid when it can't be read, or asks for what can't be."""
        self.file = file
        self.cluster: Cluster = spec.load(file)
        self.directory = state.directory(file, self.cluster.name)
        self.kept: MutableMapping[str, bytes] = state.opened(self.directory)
        self.store = self.fresh()
        self.machines = Machines(self.cluster, self.kept, self.directory / state.KNOWN_HOSTS)

    def fresh(self) -> MutableMapping[str, bytes]:
        """What the state directory has; what is written goes to memory."""
        return ChainMap({}, self.kept)

    def __enter__(self) -> Opened:
        """Closed at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """In a hurry, connections end under whoever uses them."""
        with trace.span("closes connections"):
            self.machines.close(at_once=kind is KeyboardInterrupt)


def login(cluster: Cluster, node: Node, known_hosts: Path) -> Login:
    """How this node is reached, as far as the file says so; its paths start from the file's directory."""
    ssh = cluster.ssh_of(node)

    def path(text: str | None) -> Path | None:
        return cluster.base / Path(text).expanduser() if text else None

    wanted = Login(
        host=ssh.host or node.address,
        port=ssh.port,
        user=ssh.user,
        identity=path(ssh.identity_file),
        passphrase=Source(path(ssh.passphrase_file), ssh.passphrase_env or ""),
        host_key=ssh.host_key or "",
        known_hosts=known_hosts,
        accept_new=ssh.host_key_policy == "accept-new",
        sudo=ssh.sudo,
        password=Source(path(ssh.sudo_password_file), ssh.sudo_password_env or ""),
        config=None if ssh.config_file == "none" else path(ssh.config_file),
        plain=ssh.config_file == "none",
    )
    return replace(wanted, jump=tuple(hops(ssh.jump, wanted)) if ssh.jump else None)
