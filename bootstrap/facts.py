"""The only module that reads what a node tells: the script's lines to Facts, and the record to JSON and back."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from bootstrap import paths
from bootstrap.errors import Code, Problem
from bootstrap.world import Birth, Facts, Machine, Origin, Record

# Flags of the kubelet that our own unit sets, or that stand for what our configuration says; all others are kept.
OURS = frozenset(
    {
        "--bootstrap-kubeconfig",
        "--config",
        "--config-dir",
        "--container-runtime-endpoint",
        "--hostname-override",
        "--kubeconfig",
        "--node-ip",
        "--pod-manifest-path",
        "--register-with-taints",
    }
)


def parse(node: str, text: str) -> Facts:
    """Facts from the observe script's output; Problem when it did not come to its end."""
    lines = [tuple(line.split("\t")) for line in text.splitlines() if "\t" in line]
    if not lines or lines[-1] != ("end", "ok"):
        raise Problem(
            f"{node}: the script that looks at the node did not come to its end",
            why=text.strip()[-400:],
            next=f"log in on {node} and see whether its disk is full or its shell is restricted",
            code=Code.UNREACHABLE,
        )
    seen = {path: fingerprint for kind, path, fingerprint, *_ in _of(lines, "file", 3)}
    one = {line[0]: line[1] for line in lines}
    record = from_json(node, one["record"]) if "record" in one else Record()
    machine = _machine(lines, one, record)
    running: dict[str, str] = {}
    began: dict[str, int] = {}
    for _, ticks, *words in _of(lines, "run", 4):
        part, generation = _part(words)
        began[part] = min(int(ticks), began.get(part, int(ticks)))
        known = running.setdefault(part, generation)
        if generation not in known.split("+"):
            running[part] = f"{known}+{generation}"  # two generations at once: neither is what is wanted
    if "host" in record.runs and not machine.unset:
        running["host"] = record.runs["host"]
    etcd = member_id(one["etcd"]) if "etcd" in one else ""
    if etcd and unbegun(one["etcd"]):
        running.pop("etcd", None)  # it has just started, or never will be of any use
    return Facts(record, seen, running, etcd=etcd, aside="aside" in one, machine=machine, began=began)


def moved(facts: Facts) -> tuple[list[str], list[str]]:
    """Recorded files, and parts, that are not as the last turn left them."""
    record, running = facts.record, facts.running
    files = [path for path, left in record.files.items() if facts.seen.get(path) != left]
    parts = [part for part in record.runs.keys() | running.keys() if record.runs.get(part) != running.get(part)]
    return sorted(files), sorted(parts)


def foreigners(facts: Facts) -> list[str]:
    """What lies in the manifest directory and is not ours: the kubelet reads every file but hidden ones."""
    there = sorted({*facts.seen, *facts.machine.odd} - facts.record.files.keys())
    places = [(path, PurePosixPath(path)) for path in there]
    return [p for p, at in places if str(at.parent) == facts.machine.manifests and not at.name.startswith(".")]


def _of(lines: Sequence[tuple[str, ...]], kind: str, least: int) -> list[tuple[str, ...]]:
    return [line for line in lines if line[0] == kind and len(line) >= least]


def _part(words: Sequence[str]) -> tuple[str, str]:
    """(part, generation): the environment has them in any order; a generation is 16 hexadecimal digits."""
    one, two = words[0], words[1]
    hexadecimal = len(one) == 16 and set(one) <= set("0123456789abcdef")
    return (two, one) if hexadecimal else (one, two)


def _machine(lines: Sequence[tuple[str, ...]], one: Mapping[str, str], record: Record) -> Machine:
    words = [line[1] for line in _of(lines, "kubelet.word", 2)]
    runtimes = [line[1] for line in _of(lines, "runtime", 2)]
    return Machine(
        manifests=one["manifests"],
        kubelet=one.get("kubelet.binary", ""),
        kubelet_state=one.get("kubelet.state", ""),
        unit=one.get("kubelet.state") != "not-found" and paths.KUBELET_UNIT not in record.files,
        kubelet_flags=record.kubelet_flags if record.files else kept_flags(words),
        command=tuple(words) if one.get("kubelet.state") == "running" else (),
        runtime=f"unix://{runtimes[0]}" if runtimes else "",
        resolved="resolved" in one,
        ca_directories=tuple(line[1] for line in _of(lines, "ca", 2)),
        hostname=one.get("hostname", ""),
        id=one.get("machine-id", ""),
        clock=float(one.get("clock") or 0),
        free=int(one.get("free") or 0) * 1024,
        ports=frozenset(int(line[1].rpartition(":")[2], 16) for line in _of(lines, "port", 2)),
        systemd="systemd" in one,
        user=int(one.get("user") or -1),
        odd=tuple(line[1] for line in _of(lines, "odd", 2)),
        unset=tuple(line[1] for line in _of(lines, "sysctl", 2)),
    )


def kept_flags(words: Sequence[str]) -> tuple[str, ...]:
    """The kubelet's flags that we do not set, each as --name=value, in their order."""
    flags: list[str] = []
    for word in words:
        if word.startswith("-"):
            flags.append(word)
        elif flags and "=" not in flags[-1]:
            flags[-1] += f"={word}"
    return tuple(flag for flag in flags if flag.split("=")[0] not in OURS)


def member_id(wal: str) -> str:
    """The member id, in decimal, from the start of a write-ahead log in hexadecimal; "?" when it can't be told.

    Frames are a length of 8 bytes (the top byte counts padding) and a record {1: type, 2: crc, 3: bytes};
    the one of type 1 holds {1: NodeID, 2: ClusterID}.
    https://github.com/etcd-io/etcd/blob/main/server/storage/wal/encoder.go
    """
    for entry in _entries(wal):
        if entry.get(1) == 1:
            metadata = entry.get(3)
            found = _fields(metadata).get(1) if isinstance(metadata, bytes) else None
            return str(found) if isinstance(found, int) else "?"
    return "?"


def unbegun(wal: str) -> bool:
    """Whether a log holds no more than etcd makes it with: a checksum (4), who it is (1), an empty snapshot (5).

    An etcd that is killed there, at its first breath, would wait for ever for members that it does not know.
    """
    rest = bytes.fromhex(wal)[80:]
    return bool(rest) and not any(rest) and [entry.get(1) for entry in _entries(wal)] == [4, 1, 5]


def _entries(wal: str) -> Iterator[dict[int, int | bytes]]:
    """The fields of each entry of the log, as far as it was read; what it does not hold yet are zeros."""
    log = bytes.fromhex(wal)
    while len(log) > 8 and any(log[:8]):
        (size,) = struct.unpack_from("<Q", log)
        padding = (size >> 56) & 0x7 if size >> 63 else 0
        length = size & ((1 << 56) - 1)
        yield _fields(log[8 : 8 + length])
        log = log[8 + length + padding :]


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a protobuf message of varints and byte strings, as far as it is whole."""
    fields: dict[int, int | bytes] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    try:
        while at < len(message):
            key = varint()
            if key & 7 == 2:
                size = varint()
                fields[key >> 3], at = message[at : at + size], at + size
            else:
                fields[key >> 3] = varint()
    except IndexError:
        pass
    return fields


def to_json(record: Record) -> bytes:
    """One line, deterministic, for the node's disk."""
    birth = record.birth
    tree = {
        "version": 1,
        "uid": record.uid,
        "epoch": record.epoch,
        "constants": dict(record.constants),
        "manifests": record.manifests,
        "kubeletFlags": list(record.kubelet_flags),
        "files": dict(record.files),
        "origins": {path: [it.phase, it.part, it.secret] for path, it in record.origins.items()},
        "runs": dict(record.runs),
        "pods": dict(record.pods),
        "birth": birth and {"members": dict(birth.members), "state": birth.state, "answered": birth.answered},
        "former": record.former,
        "settled": record.settled,
    }
    return (json.dumps(tree, separators=(",", ":")) + "\n").encode()


def from_json(node: str, text: str) -> Record:
    """A record from the node's disk; Problem when it is none, since nothing may be guessed of a node of ours."""
    try:
        tree = json.loads(text)
        birth = tree["birth"]
        return Record(
            uid=tree["uid"],
            epoch=tree["epoch"],
            constants=tree["constants"],
            files=tree["files"],
            origins={path: Origin(*it) for path, it in tree["origins"].items()},
            runs=tree["runs"],
            pods=tree["pods"],
            manifests=tree["manifests"],
            kubelet_flags=tuple(tree["kubeletFlags"]),
            birth=birth and Birth(tuple(birth["members"].items()), birth["state"], birth["answered"]),
            former=tree.get("former", False),
            settled=tree["settled"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem(
            f"{node}: its record, /var/lib/bootstrap/record.json, can't be read",
            why=f"{type(error).__name__}: {error}",
            next=f"put the file back on {node} from a backup",
            code=Code.REFUSED,
        ) from error
