"""The only module that reads what the diagnose script prints: a Diagnosis of one node."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from bootstrap.errors import Code, Problem


@dataclass(frozen=True, slots=True)
class Attempt:
    """One container of a part; `exit` None: it runs, or nobody knows. `old`: it began before the last turn."""

    number: int
    old: bool
    lines: tuple[str, ...]
    exit: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens where; `pid` 0: it can't be told. `part` "": it is not ours."""

    address: str
    port: int
    pid: int
    program: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: bytes, and how many files it may still hold (None: it does not count them)."""

    path: str
    size: int
    free: int
    inodes: int | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that one node tells of what went wrong there."""

    node: str
    clock: float  # Unix time, there
    turn: float  # when the last turn began; 0: there was none
    kubelet: str  # active, activating, failed, …
    restarts: int
    attempts: Mapping[str, tuple[Attempt, ...]]  # part -> its last two containers
    journal: tuple[str, ...]  # of the kubelet: what it complains of
    kernel: tuple[str, ...]  # whom it ended for want of memory
    listeners: tuple[Listener, ...]
    rooms: tuple[Room, ...]
    memory: int  # bytes that are available
    certificates: Mapping[str, str]  # path -> PEM
    manifests: Mapping[str, str] = field(default_factory=dict)  # path -> text, where it was asked for


def parse(node: str, text: str) -> Diagnosis:
    """From what the script printed; Problem when it did not come to its end."""
    lines = [line.split("\t") for line in text.splitlines() if "\t" in line]
    if not lines or lines[-1] != ["end", "ok"]:
        raise Problem(f"{node}: the script that diagnoses did not end", why=text[-400:], code=Code.UNREACHABLE)
    one = {line[0]: line[1] for line in lines if len(line) == 2}
    logs: dict[tuple[str, str], list[str]] = {}
    for _, part, attempt, *words in _of(lines, "log", 4):
        logs.setdefault((part, attempt), []).append("\t".join(words))
    states = {(part, attempt): "\t".join(words) for _, part, attempt, *words in _of(lines, "state", 4)}
    attempts: dict[str, list[Attempt]] = {}
    for _, part, number, old, *_path in _of(lines, "attempt", 4):
        key = (part, number)
        ended, reason = outcome(states.get(key, ""))
        attempts.setdefault(part, []).append(
            Attempt(int(number), old == "yes", tuple(logs.get(key, ())), ended, reason)
        )
    manifests: dict[str, list[str]] = {}
    for _, path, *words in _of(lines, "manifest", 3):
        manifests.setdefault(path, []).append("\t".join(words))
    inodes = {path: int(free) for _, path, _, free in _of(lines, "inodes", 4)}
    memory = {name: int(size) * 1024 for _, name, size in _of(lines, "memory", 3)}
    return Diagnosis(
        node=node,
        clock=float(one.get("clock") or 0),
        turn=float(one.get("turn") or 0),
        kubelet=one.get("kubelet", ""),
        restarts=int(one.get("restarts") or 0),
        attempts={part: tuple(each) for part, each in attempts.items()},
        journal=tuple("\t".join(words) for _, *words in _of(lines, "journal", 2)),
        kernel=tuple("\t".join(words) for _, *words in _of(lines, "kernel", 2)),
        listeners=tuple(listener(*line[1:5]) for line in _of(lines, "port", 4)),
        rooms=tuple(
            Room(path, int(size) * 1024, int(free) * 1024, inodes.get(path))
            for _, path, size, free in _of(lines, "disk", 4)
        ),
        memory=memory.get("MemAvailable", 0),
        certificates={path: "\t".join(words).replace("|", "\n") for _, path, *words in _of(lines, "certificate", 3)},
        manifests={path: "\n".join(text) + "\n" for path, text in manifests.items()},
    )


def _of(lines: Sequence[list[str]], kind: str, least: int) -> Iterator[list[str]]:
    return (line for line in lines if line[0] == kind and len(line) >= least)


def listener(place: str, pid: str, program: str, part: str = "") -> Listener:
    """From a line of listeners.sh; `place` as /proc/net has it: "0B004D0A:192B"."""
    address, _, port = place.rpartition(":")
    words = bytes.fromhex(address)  # each four bytes as this kind of machine keeps a number: the last one first
    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    told = IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)
    return Listener(str(told), int(port, 16), int(pid or 0), program, part)


def outcome(state: str) -> tuple[int | None, str]:
    """(exit code, reason) as containerd keeps them, or crictl prints them; None while it runs."""
    try:
        tree = json.loads(state)
    except ValueError:
        found = dict(re.findall(r'"(exitCode|reason|finishedAt)":\s*"?([^",}]*)', state))
        ended = found.get("finishedAt", "").strip() not in ("", "0", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z")
        return (int(found.get("exitCode") or 0) if ended else None), found.get("reason", "").strip()
    if not isinstance(tree, dict) or not tree.get("FinishedAt"):
        return None, ""
    return int(tree.get("ExitCode", 0)), str(tree.get("Reason", ""))
