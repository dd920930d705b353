"""With what nobody may go on: another cluster's nodes, an older state, a field that can't change. Each is a Problem."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap import credentials, joining, state
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster
from bootstrap.world import Facts, World, identity


def strangers(facts: Mapping[str, Facts], store: Mapping[str, bytes], directory: Path) -> None:
    """Problem (LOCKED) when a node carries another cluster, or our own, whose keys were lost from `directory`."""
    ours = credentials.uid(store) if "pki/ca.crt" in store else ""
    for name, uid in sorted((name, f.record.uid) for name, f in facts.items() if f.record.uid):
        if uid != ours:
            raise Problem(
                f"{name} belongs to a cluster whose keys are not in {directory}",
                why=f"its record says cluster {uid}, this workstation knows {ours or 'none'}",
                next="put that cluster's state directory back, or a copy of it: bootstrap state import FILE\n"
                "if it is not the node that was meant: name the right one in cluster.yaml",
                code=Code.LOCKED,
            )


def newer(facts: Mapping[str, Facts], store: Mapping[str, bytes], directory: Path) -> None:
    """Problem (LOCKED) when a node was changed from a newer state: its record says so; a lock taken does not count."""
    known = state.epoch(store)
    newest = max(facts.values(), key=lambda told: told.record.epoch, default=None)
    if newest and newest.record.epoch > known:
        name = min(node for node, told in facts.items() if told.record.epoch == newest.record.epoch)
        raise Problem(
            f"the state in {directory} is older than the nodes",
            why=f"{name} was changed at epoch {newest.record.epoch}, from a state directory newer than this one, "
            f"which knows {known}",
            next="bring the newest here: bootstrap state export FILE there, bootstrap state import FILE here\n"
            f"if this is the newest there is: echo {newest.record.epoch} > {shlex.quote(str(directory / state.EPOCH))}",
            code=Code.LOCKED,
        )


def founded_with(cluster: Cluster) -> dict[str, str]:
    """What is decided when a cluster is founded; the record of every node keeps it."""
    networking = cluster.networking
    return {
        "name": cluster.name,
        "networking.podSubnet": networking.pod_subnet,
        "networking.serviceSubnet": networking.service_subnet,
        "networking.dnsDomain": networking.dns_domain,
        "etcd.dataDir": cluster.etcd.data_dir,
    }


def constants(world: World, cluster: Cluster) -> None:
    """Problem (WRONG_FILE) when the file asks for what can't change on a living cluster."""
    founded = {n: f for n, f in world.facts.items() if not f.record.birth or f.record.birth.answered}
    for name, told in sorted(founded.items()):
        for field, value in identity(world, name).items():
            if (was := told.record.constants.get(field, value)) != value:
                raise Problem(
                    f"{name}: its {field} can't change on a living cluster: it is {was}, not {value}",
                    why="its record keeps it; etcd and the certificates of others know the node by it",
                    next=f"write {was} again; or, with the old entry: bootstrap remove {name}; with the new one: "
                    "bootstrap join",
                    code=Code.WRONG_FILE,
                )
        for field, value in founded_with(cluster).items():
            if (was := told.record.constants.get(field, value)) != value:
                raise Problem(
                    f"{field} can't change on a living cluster: it was founded with {was}, not with {value}",
                    why=f"the record of {name} keeps it; what runs in the cluster depends on it",
                    next=f"write {was} again, or reset the cluster and found another",
                    code=Code.WRONG_FILE,
                )


def orphans(world: World, cluster: Cluster, joined: Sequence[str]) -> None:
    """Problem (REFUSED) when kubeadmJoin is to end while nodes live by it: nothing would know them any more."""
    if joined and not cluster.kubeadm_join and joining.KEY in (world.objects or {}):
        raise Problem(
            f"kubeadmJoin can't end while nodes are there that joined by it: {', '.join(joined)}",
            why="their certificates are of the authority that goes with it",
            next=f"bootstrap remove {' '.join(joined)}; then run the same command again",
            code=Code.REFUSED,
        )
