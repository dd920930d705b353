"""Preflight, one row each: what a node must have, or must not, before anything of ours goes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bootstrap.components import components
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import Facts, World


@dataclass(frozen=True, slots=True)
class Check:
    """`ask` returns what is wrong, or ""."""

    name: str
    ask: Callable[[Cluster, Node, Facts], str]
    next: str


def _root(_cluster: Cluster, _node: Node, facts: Facts) -> str:
    return "" if facts.machine.user == 0 else f"the script ran with user id {facts.machine.user}, not as root"


def _systemd(_cluster: Cluster, _node: Node, facts: Facts) -> str:
    return "" if facts.machine.systemd else "there is no systemd"


def _kubelet(_cluster: Cluster, _node: Node, facts: Facts) -> str:
    if not facts.machine.kubelet:
        return "there is no kubelet in the PATH"
    return "the kubelet has no systemd unit" if facts.machine.kubelet_state in ("", "not-found") else ""


def _runtime(_cluster: Cluster, _node: Node, facts: Facts) -> str:
    return "" if facts.machine.runtime else "no container runtime listens (containerd, CRI-O or cri-dockerd)"


def _etcd_directory(cluster: Cluster, _node: Node, facts: Facts) -> str:
    stranger = facts.etcd and not facts.record.birth
    return f"{cluster.etcd.data_dir} holds data that no turn of ours put there" if stranger else ""


def _ports(cluster: Cluster, node: Node, facts: Facts) -> str:
    if facts.record.files:
        return ""
    asked = {probe.port for probe in (row.probe for row in components(cluster, node))} | {10250}
    asked |= {2379, 2380} if node.control_plane else set()
    taken = sorted(asked & facts.machine.ports)
    return f"something listens on {', '.join(map(str, taken))}" if taken else ""


def _manifests(_cluster: Cluster, _node: Node, facts: Facts) -> str:
    directory = facts.machine.manifests + "/"
    foreign = sorted(
        path
        for path in [*facts.seen, *facts.machine.odd]
        if path.startswith(directory)
        and "/" not in path.removeprefix(directory)
        and path not in facts.record.files
        and not path.removeprefix(directory).startswith(".")
    )
    return f"the kubelet would run what is not ours: {', '.join(foreign)}" if foreign else ""


CHECKS = (
    Check("IsPrivilegedUser", _root, "log in as root, or as a user with sudo"),
    Check("Systemd", _systemd, "use a distribution with systemd"),
    Check("Kubelet", _kubelet, "install the kubelet's package"),
    Check("CRI", _runtime, "install and start containerd"),
    Check("DirAvailable--etcd", _etcd_directory, "move the directory away, if nobody needs it"),
    Check("Port", _ports, "stop what listens there (ss -ltnp shows it)"),
    Check("ForeignManifests", _manifests, "move it out of the directory, or list it under staticPods"),
)


def findings(cluster: Cluster, world: World) -> list[tuple[str, Check, str]]:
    """(node, check, what is wrong), of every node that answered."""
    return [
        (node.name, check, wrong)
        for node in cluster.nodes
        if node.name in world.facts
        for check in CHECKS
        if (wrong := check.ask(cluster, node, world.facts[node.name]))
    ]


def refuse(cluster: Cluster, world: World) -> None:
    """Problem with every finding of every node at once."""
    found = findings(cluster, world)
    if found:
        raise Problem(
            f"{len(found)} findings before anything was changed",
            why="\n".join(f"{node}: {check.name}: {wrong}" for node, check, wrong in found),
            next="\n".join(dict.fromkeys(check.next for _, check, _ in found)),
            code=Code.REFUSED,
        )
