"""What `status` tells: every node, what runs there and whether it answers, and etcd's members."""

from __future__ import annotations

from typing import Any

from bootstrap import health
from bootstrap.components import Probe
from bootstrap.spec.model import Node
from bootstrap.workflow import Session


def look(session: Session) -> dict[str, Any]:
    """Plain values; nothing is written anywhere."""
    facts, members = session.observe(node.name for node in session.cluster.nodes)
    return {
        "apiVersion": "bootstrap/v1",
        "kind": "Status",
        "cluster": session.cluster.name,
        "nodes": [_node(session, node, reached=node.name in facts) for node in session.cluster.nodes],
        "etcd": None
        if members is None
        else [
            {"name": name, "id": member.id, "votes": member.votes, "started": member.started}
            for name, member in sorted(members.items())
        ],
    }


def _node(session: Session, node: Node, *, reached: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": node.name, "role": node.role, "address": node.address}
    if not reached:
        return told | {"state": "unreachable", "why": session.hosts.unreachable[node.name].what, "parts": []}
    parts = [_part(session, node, probe) for probe in session.hosts.probes(node)]
    healthy = all(part["healthy"] for part in parts)
    record = session.hosts.known[node.name].record
    told |= {"unfinished": not record.settled, "rolledBack": record.former}
    return told | {"state": "healthy" if healthy else "unhealthy", "parts": parts}


def _part(session: Session, node: Node, probe: Probe) -> dict[str, Any]:
    why = health.asked(session.hosts[node.name].dial, probe)
    if probe.part == "etcd" and (alarm := session.hosts.alarms.get(session.hosts.known[node.name].etcd)):
        why = f"alarm {alarm}"
    return {"name": probe.part, "healthy": not why, "why": why}
