"""What `diagnose` tells of nodes: what is not healthy there, why, and all that the node itself can say about it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from bootstrap import explain, health, redact
from bootstrap.diagnosis import Diagnosis
from bootstrap.errors import Problem
from bootstrap.explain import Cause
from bootstrap.spec.model import Node
from bootstrap.workflow import Session


@dataclass(frozen=True, slots=True)
class Examined:
    """One node that answered; `missing`: part -> what it lacks."""

    node: Node
    told: Diagnosis
    parts: tuple[str, ...]
    missing: Mapping[str, str]
    causes: tuple[Cause, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything answers, and nothing was found that will break it."""
        return not self.missing and not self.causes


def look(session: Session, names: Iterable[str], *, lines: int = 20) -> dict[str, Examined | Problem]:
    """Every node of these, or why it can't be asked; nothing is written anywhere."""
    asked = list(names)
    session.observe(asked)
    return dict(zip(asked, session.hosts.pool.map(lambda name: _examine(session, name, lines), asked), strict=True))


def _examine(session: Session, name: str, lines: int) -> Examined | Problem:
    hosts, node = session.hosts, session.cluster.node(name)
    if name not in hosts.known:
        return hosts.unreachable[name]
    facts, probes = hosts.known[name], hosts.probes(node)
    missing = {probe.part: why for probe in probes if (why := health.asked(hosts[name].dial, probe))}
    parts = tuple(probe.part for probe in probes)
    before = time.time()
    try:
        told = hosts[name].diagnose(parts, lines=lines, manifests=facts.machine.manifests)
    except Problem as problem:
        return problem
    if alarm := hosts.alarms.get(facts.etcd):
        missing["etcd"] = f"alarm {alarm}"
    found = (*explain.causes(told, sorted(missing)), *explain.clock_cause(told, before))
    return Examined(node, told, parts, missing, found)


def tree(cluster: str, nodes: Mapping[str, Examined | Problem], secrets: Iterable[str] = ()) -> dict[str, Any]:
    """As plain values, without secrets; docs/output.md has the schema."""
    told = [_node(name, it) if isinstance(it, Examined) else _silent(name, it) for name, it in nodes.items()]
    found = {"apiVersion": "bootstrap/v1", "kind": "Diagnosis", "cluster": cluster, "nodes": told}
    cleaned: dict[str, Any] = redact.tree(found, tuple(secrets))
    return cleaned


def _silent(name: str, problem: Problem) -> dict[str, Any]:
    return {"name": name, "state": "unreachable", "why": problem.what, "causes": [], "parts": []}


def _node(name: str, it: Examined) -> dict[str, Any]:
    return {
        "name": name,
        "state": "healthy" if it.healthy else "unhealthy",
        "why": "",
        "causes": [asdict(cause) for cause in it.causes],
        "parts": [
            {
                "name": part,
                "healthy": part not in it.missing,
                "why": it.missing.get(part, ""),
                "containers": [
                    {
                        "attempt": each.number,
                        "exitCode": each.exit,
                        "reason": each.reason,
                        "lastWords": list(each.lines),
                    }
                    for each in it.told.attempts.get(part, ())
                ],
            }
            for part in it.parts
        ],
        "kubelet": {"state": it.told.kubelet, "restarts": it.told.restarts, "complaints": list(it.told.journal)},
        "clock": datetime.fromtimestamp(it.told.clock, UTC).isoformat(),
        "listeners": [asdict(each) for each in it.told.listeners],
        "disks": [asdict(each) for each in it.told.rooms],
        "memory": it.told.memory,
        "certificates": sorted(it.told.certificates),
    }


def text(it: Examined, secrets: Iterable[str] = ()) -> str:
    """For people: the state of every part, what is wrong and what to do, and then what the node is like."""
    lines = [f"{it.node.name}: {'healthy' if it.healthy else 'not healthy'}"]
    if not it.healthy:
        lines += [f"  {line}" for line in explain.text(it.told, it.missing, it.causes).splitlines()]
    clock = datetime.fromtimestamp(it.told.clock, UTC)
    lines.append(f"  answers: {', '.join(part for part in it.parts if part not in it.missing) or 'nothing'}")
    lines.append(f"  clock {clock:%Y-%m-%d %H:%M:%S} UTC; memory {it.told.memory >> 20} MiB available")
    lines.append(f"  kubelet {it.told.kubelet}, restarted {it.told.restarts} times; {len(it.told.journal)} complaints")
    for room in it.told.rooms:
        inodes = "" if room.inodes is None else f", {room.inodes} files"
        lines.append(f"  {room.path}: room for {room.free >> 20} of {room.size >> 20} MiB{inodes}")
    for each in it.told.listeners:
        lines.append(f"  {each.address} {each.port}: {each.program or 'unknown'} (process {each.pid or 'unknown'})")
    return redact.redact("\n".join(lines), secrets)
