"""Rows about the disk: what lies where our files go and is not ours, room, and what can't be written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from bootstrap import paths
from bootstrap.checks.check import Check, Ground, Level, Words, dashed
from bootstrap.facts import foreigners

MIB = 1 << 20
# path -> bytes and files it has to have room for; etcd writes its log ahead in pieces of 64 MiB, two at a time
NEEDED = {
    paths.KUBERNETES: (1 * MIB, 50),
    paths.OURS: (4 * MIB, 100),
    paths.KUBELET: (64 * MIB, 500),
    "/var/lib/containerd": (64 * MIB, 500),
}
ETCD = (256 * MIB, 50)
PRESSURE = {"bytes": 10, "files": 5}  # per cent; the kubelet evicts pods with less


def _data(ground: Ground) -> Iterator[Words]:
    if ground.facts.etcd and not ground.facts.record.birth:
        yield {"dashed": dashed(ground.cluster.etcd.data_dir), "path": ground.cluster.etcd.data_dir}


def _no_data(ground: Ground) -> Iterator[Words]:
    birth = ground.facts.record.birth
    if birth and birth.answered and not ground.facts.etcd:
        yield {"path": ground.cluster.etcd.data_dir}


def _manifests(ground: Ground) -> Iterator[Words]:
    for path in foreigners(ground.facts):
        yield {"dashed": dashed(path), "path": path}


def _authority(ground: Ground) -> Iterator[Words]:
    there = ground.facts.seen.get(f"{paths.PKI}/ca.crt", "").partition(":")[0]
    if ground.new and there and there != ground.seen.authority:
        yield {"path": f"{paths.PKI}/ca.crt", "whose": whose(ground.survey.authority)}


def whose(certificate: str) -> str:
    """An authority in words, for people to recognise: its name, and since when it is."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return "which can't be read"
    since = found.not_valid_before_utc.astimezone(UTC)
    return f"{found.subject.rfc4514_string()}, since {since:%Y-%m-%d}"


def _kubeconfigs(ground: Ground) -> Iterator[Words]:
    for name in ("kubelet", "bootstrap-kubelet"):
        path = f"{paths.KUBERNETES}/{name}.conf"
        if ground.new and path in ground.facts.seen:
            yield {"name": name, "path": path}


def _record(ground: Ground) -> Iterator[Words]:
    theirs = ground.facts.record.uid
    if theirs and theirs != ground.seen.uid:
        yield {"uid": theirs, "ours": ground.seen.uid or "none"}


def _needed(ground: Ground) -> dict[str, tuple[int, int]]:
    etcd = {ground.cluster.etcd.data_dir: ETCD} if ground.node.control_plane else {}
    return NEEDED | etcd


def _bytes(ground: Ground) -> Iterator[Words]:
    for path, (size, _) in _needed(ground).items():
        room = ground.survey.rooms.get(path)
        if room and room.size and room.free < size:
            free, needed = room.free / MIB, size // MIB
            yield {"dashed": dashed(path), "path": path, "free": f"{free:.1f}", "needed": str(needed)}


def _files(ground: Ground) -> Iterator[Words]:
    for path, (_, count) in _needed(ground).items():
        room = ground.survey.rooms.get(path)
        if room and room.inodes and room.inodes_free < count:
            yield {"dashed": dashed(path), "path": path, "free": str(room.inodes_free), "needed": str(count)}


def _pressure(ground: Ground) -> Iterator[Words]:
    room = ground.survey.rooms.get(paths.KUBELET)
    if not room or not room.size:
        return
    left = {"bytes": 100 * room.free / room.size}
    left |= {"files": 100 * room.inodes_free / room.inodes} if room.inodes else {}
    for what, percent in left.items():
        if percent < PRESSURE[what]:
            yield {"percent": f"{percent:.0f}", "what": what, "path": paths.KUBELET, "least": str(PRESSURE[what])}


def _readonly(ground: Ground) -> Iterator[Words]:
    for path in ground.survey.readonly:
        yield {"dashed": dashed(path), "path": path}


def _immutable(ground: Ground) -> Iterator[Words]:
    for path in ground.survey.immutable:
        yield {"dashed": dashed(path), "path": path}


DISK = (
    Check(
        "DirAvailable-{dashed}",
        Level.ERROR,
        "{path} holds data that no turn of ours put there",
        "move the directory away on {node}, if nobody needs it",
        _data,
        surveyed=False,
    ),
    Check(
        "EtcdData",
        Level.WARNING,
        "{path} is empty, and a member of etcd had its data there",
        "bootstrap join takes it out of etcd's list and in again, while the other members are a quorum",
        _no_data,
        surveyed=False,
    ),
    Check(
        "FileAvailable-{dashed}",
        Level.ERROR,
        "the kubelet would run what is not ours: {path}",
        "move it out of the directory, or list it under staticPods",
        _manifests,
        surveyed=False,
    ),
    Check(
        "FileAvailable--etc-kubernetes-pki-ca.crt",
        Level.ERROR,
        "{path} is of another cluster: its authority is {whose}",
        "name the right machine in cluster.yaml; or, if nobody needs that cluster, on {node}: kubeadm reset",
        _authority,
    ),
    Check(
        "FileAvailable--etc-kubernetes-{name}.conf",
        Level.ERROR,
        "{path} is there: its kubelet is of another cluster",
        "name the right machine in cluster.yaml; or, if nobody needs that cluster, on {node}: kubeadm reset",
        _kubeconfigs,
    ),
    Check(
        "OtherCluster",
        Level.ERROR,
        "its record says that it is of the cluster {uid}; the keys here are of {ours}",
        "put that cluster's state directory back, or name the right machine in cluster.yaml",
        _record,
        surveyed=False,
    ),
    Check(
        "DiskFree-{dashed}",
        Level.ERROR,
        "{path} has {free} MiB left, and needs {needed}",
        "make room on {node} (df -h shows where)",
        _bytes,
    ),
    Check(
        "InodesFree-{dashed}",
        Level.ERROR,
        "{path} can hold {free} files more, and needs {needed}",
        "delete files on {node} (df -i shows where)",
        _files,
    ),
    Check(
        "DiskPressure",
        Level.WARNING,
        "{path} has {percent} % of its {what} left; below {least} the kubelet evicts pods",
        "make room on {node}, or change kubelet.evictionHard in cluster.yaml",
        _pressure,
    ),
    Check(
        "ReadOnly-{dashed}",
        Level.ERROR,
        "the file system at {path} is read-only",
        "see why (dmesg on {node}: a disk that fails is mounted so); mount -o remount,rw {path}",
        _readonly,
    ),
    Check(
        "Immutable-{dashed}",
        Level.ERROR,
        "{path} can't be changed, not even by root",
        "on {node}: lsattr -d {path}; chattr -i {path}",
        _immutable,
    ),
)
