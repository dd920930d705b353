"""What every node would have, on this workstation's disk: for people to read, and for other automation to use."""

from __future__ import annotations

from pathlib import Path

from bootstrap import disk, documents
from bootstrap.credentials import Passphrase, nobody
from bootstrap.machines import Opened
from bootstrap.pod_networks import pod_networks
from bootstrap.workflow import Session
from bootstrap.world import Facts, Machine, Record, World, stamped

ANOTHER = "name another directory with -o, or make room in this one"


def write(file: Path, target: Path, passphrase: Passphrase = nobody) -> tuple[int, bool]:
    """How many files were written, and whether their credentials are throw-away ones; Problem when they can't be."""
    with Opened(file) as opened, Session(opened, passphrase=passphrase) as session:
        throw_away = "pki/ca.key" not in session.store
        session.issue()
        world = imagined(session)
        count = 0
        for node in session.cluster.nodes:
            for wanted in stamped(session.wants.files(world, node.name))[0]:
                path = target / "nodes" / node.name / wanted.path.lstrip("/")
                _put(path, wanted.content, wanted.mode)
                count += 1
        objects = "---\n".join(documents.dump(each) for each in session.objects(frozenset(world.nodes)).values())
        _put(target / "objects.yaml", objects.encode(), 0o600)  # add-ons may hold Secrets
        # Until these objects are there, nobody else may put them: what admin.conf may do is among them.
        _put(target / "super-admin.conf", session.store["super-admin.conf"], 0o600)
        mark = target / "THROW-AWAY"
        with disk.told("delete", mark, ANOTHER):
            mark.unlink(missing_ok=True)
        if throw_away:
            _put(mark, b"These credentials were made for this rendering only: no cluster knows them.\n", 0o644)
    return count + 2, throw_away


def imagined(session: Session) -> World:
    """The cluster as it is founded, on machines as most are."""
    cluster = session.cluster
    facts = {}
    for node in cluster.nodes:
        settings = {**cluster.kubelet, **node.kubelet}
        machine = Machine(manifests=settings.get("staticPodPath", Machine().manifests))
        facts[node.name] = Facts(Record(), {}, {}, machine=machine)
    return World(
        wanted={node.name: node.address for node in cluster.nodes},
        voters=frozenset(node.name for node in cluster.voters),
        facts=facts,
        members={},
        nodes={node.name: False for node in cluster.nodes},
        pods=pod_networks(cluster, {}),
    )


def _put(path: Path, content: bytes, mode: int) -> None:
    with disk.told("write", path, ANOTHER):
        path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, content, mode=mode, lasting=False, next=ANOTHER)
