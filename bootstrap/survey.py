"""The only module that reads what the preflight script prints: a Survey of one machine."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bootstrap.diagnosis import Listener, listener
from bootstrap.errors import Code, Problem


@dataclass(frozen=True, slots=True)
class Room:
    """Where a path lies: bytes and files (inodes) of its file system; 0 files in all: it does not count them."""

    size: int
    free: int
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True, slots=True)
class Runtime:
    """The container runtime, as far as it can be asked."""

    listens: bool = True
    cri: str | None = None  # what its CRI plugin says of itself, "ok"; "": there is none; None: nobody could ask
    containerd: str = ""  # its version, "1.6.20"
    images: frozenset[str] | None = None  # None: nobody could ask
    sandbox: str = ""  # the image that holds a pod's namespaces; "" where it is not known
    systemd: bool | None = None  # whether its cgroup driver is systemd; None where it is not known
    mirrors: frozenset[str] = frozenset()  # registries whose images it has from elsewhere
    plugins: str = "/opt/cni/bin"  # where it looks for CNI plugins
    unplugged: tuple[str, ...] = ()  # those of ours that are not there


@dataclass(frozen=True, slots=True)
class Unreached:
    """A port of the node `end` that does not answer when the node `start` asks, though something listens there."""

    start: str
    end: str
    port: int
    why: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What a machine is like, beyond its Facts: what has to be known before anything of ours goes there."""

    ahead: float = 0.0  # seconds its clock is ahead of the workstation's
    kubelet: str = ""  # its version, "v1.37.2"
    machine_id: str = ""
    product: str = ""  # the firmware's UUID
    cpus: int = 0  # 0: not known
    memory: int = 0  # bytes; 0: not known
    swaps: tuple[str, ...] = ()
    cgroup: int = 2
    guards: frozenset[str] = frozenset()  # that are in force: selinux, apparmor (without its parser), firewalld, ufw
    lacks: tuple[str, ...] = ()  # programs
    unloadable: tuple[str, ...] = ()  # kernel modules that are not there
    fixed: Mapping[str, str] = field(default_factory=dict)  # kernel setting that can't be changed -> its value
    addresses: frozenset[str] = frozenset()  # of its interfaces
    resolves: frozenset[str] = frozenset()  # where its own name leads
    listeners: tuple[Listener, ...] = ()
    rooms: Mapping[str, Room] = field(default_factory=dict)  # path -> where it lies
    readonly: tuple[str, ...] = ()  # mount points
    immutable: tuple[str, ...] = ()  # paths
    authority: str = ""  # PEM of /etc/kubernetes/pki/ca.crt
    proxied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # unit with a proxy -> its NO_PROXY
    runtime: Runtime = Runtime()
    unpullable: Mapping[str, str] = field(default_factory=dict)  # image that is missing -> why its registry is silent
    unreached: tuple[Unreached, ...] = ()


def parse(node: str, text: str, now: float) -> Survey:
    """From what the script printed; `now` is Unix time here, when it said what its clock says.

    Problem when it did not come to its end.
    """
    lines = [line.split("\t") for line in text.splitlines() if "\t" in line]
    if not lines or lines[-1] != ["end", "ok"]:
        raise Problem(f"{node}: the script of preflight did not end", why=text.strip()[-400:], code=Code.UNREACHABLE)
    one = {line[0]: line[1] for line in lines if len(line) == 2}
    without = {line[1]: line[2].split(",") for line in _of(lines, "unproxied", 3)}
    return Survey(
        ahead=float(one.get("clock") or now) - now,
        kubelet=one.get("kubelet", "").rpartition(" ")[2],
        machine_id=one.get("machine-id", ""),
        product=one.get("product", ""),
        cpus=int(one.get("cpus") or 0),
        memory=int(one.get("memory") or 0) * 1024,
        swaps=_all(lines, "swap"),
        cgroup=2 if one.get("cgroup") == "cgroup2fs" else 1,
        guards=frozenset(_all(lines, "guard")),
        lacks=_all(lines, "lacks"),
        unloadable=_all(lines, "unloadable"),
        fixed={line[1]: line[2] for line in _of(lines, "fixed", 3)},
        addresses=frozenset(_all(lines, "address")),
        resolves=frozenset(_all(lines, "resolves")),
        listeners=tuple(listener(*line[1:5]) for line in _of(lines, "port", 5)),
        rooms={line[1]: Room(*_room(line[2:6])) for line in _of(lines, "room", 6)},
        readonly=_all(lines, "readonly"),
        immutable=_all(lines, "immutable"),
        authority=one.get("authority", "").replace("|", "\n"),
        proxied={
            unit: tuple(part.strip() for part in without.get(unit, ()) if part.strip()) for unit in _all(lines, "proxy")
        },
        runtime=_runtime(lines, one),
    )


def _of(lines: Sequence[list[str]], kind: str, least: int) -> Iterator[list[str]]:
    return (line for line in lines if line[0] == kind and len(line) >= least)


def _all(lines: Sequence[list[str]], kind: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line[1] for line in _of(lines, kind, 2)))


def _room(words: Sequence[str]) -> tuple[int, int, int, int]:
    size, free, inodes, inodes_free = (int(word) if word.isdigit() else 0 for word in words)
    return size * 1024, free * 1024, inodes, inodes_free


def _runtime(lines: Sequence[list[str]], one: Mapping[str, str]) -> Runtime:
    settings = _settings("\n".join("\t".join(line[1:]) for line in _of(lines, "config", 2)))
    return Runtime(
        listens="listens" in one,
        cri=one.get("cri"),
        containerd=one.get("containerd", "").removeprefix("v"),
        images=frozenset(_all(lines, "image")) if "images" in one else None,
        sandbox=str(_found(settings, "sandbox_image") or _found(settings, "sandbox") or ""),
        systemd=_found(settings, "SystemdCgroup"),
        mirrors=frozenset(_all(lines, "mirror")),
        plugins=one.get("plugins", "/opt/cni/bin"),
        unplugged=_all(lines, "unplugged"),
    )


def _settings(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # nobody knows then: the rows that depend on it say nothing


def _found(tree: Mapping[str, Any], name: str, default: str = "") -> Any:
    """The first value of this name that says something, at any depth; the handler that is the default comes first."""
    default = tree.get("default_runtime_name", default)
    for key, value in sorted(tree.items(), key=lambda item: item[0] != default):
        if key == name and value != "" and not isinstance(value, Mapping):
            return value
        if isinstance(value, Mapping) and (deeper := _found(value, name, default)) is not None:
            return deeper
    return None
