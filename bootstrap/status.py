"""What `status` tells: nodes, what runs there and whether it answers, etcd's members, and what to look after."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from bootstrap import health, serving
from bootstrap.components import Probe
from bootstrap.credentials import ends
from bootstrap.drain import ready
from bootstrap.errors import Problem
from bootstrap.facts import moved
from bootstrap.spec.model import Node
from bootstrap.workflow import Session
from bootstrap.world import Facts

Tree = dict[str, Any]


def look(session: Session) -> Tree:
    """Plain values; nothing is written anywhere."""
    facts, members = session.observe(node.name for node in session.cluster.nodes)
    api = _api(session)
    seats = None if members is None else dict(sorted(members.items()))
    said = dict(zip(seats or (), session.hosts.pool.map(lambda name: _member(session, name), seats or ()), strict=True))
    leaders = {each.get("leader") for each in said.values()} - {None}
    return {
        "apiVersion": "bootstrap/v1",
        "kind": "Status",
        "cluster": session.cluster.name,
        "kubernetes": api.version,
        "requests": api.requests,
        "nodes": [_node(session, node, facts.get(node.name), api) for node in session.cluster.nodes],
        "etcd": None
        if seats is None
        else [
            {
                "name": name,
                "id": member.id,
                "votes": member.votes,
                "started": member.started,
                "leader": leaders == {member.id},
                "version": said[name].get("version", ""),
                "bytes": int(said[name].get("dbSize", 0)),
                "alarm": session.hosts.alarms.get(member.id, ""),
            }
            for name, member in seats.items()
        ],
    }


@dataclass(frozen=True, slots=True)
class Api:
    """What the API says; nothing where it can't be asked."""

    version: str | None = None
    registered: Mapping[str, Tree] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)  # pod of the system's -> image
    requests: Sequence[Tree] = ()  # for serving certificates, that nobody has decided on


def _api(session: Session) -> Api:
    """Who joined by kubeadm asks for a serving certificate; without it the API server does not believe the kubelet."""
    try:
        kube = session.hosts.kube()
        version = kube.get("/version") if kube else None
        if kube is None or version is None:
            return Api()
        pods = kube.get("/api/v1/namespaces/kube-system/pods") or {}
        asked = serving.pending(kube, session.taken) if session.cluster.kubeadm_join else {}
        registered = kube.registered()
    except (Problem, KeyError, ssl.SSLError):  # no answer, or no identity to ask with
        return Api()
    waiting = [
        {"name": key.removeprefix(serving.PREFIX), "user": request.user, "wrong": request.wrong}
        for key, request in sorted(asked.items())
    ]
    images = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in pods.get("items", ())}
    return Api(version["gitVersion"], registered, images, waiting)


def _member(session: Session, name: str) -> Tree:
    """What a member says of itself; {} when it does not answer."""
    if name not in session.hosts.running("etcd"):
        return {}
    try:
        return session.hosts.etcd(name).status()
    except (httpx2.HTTPError, Problem, KeyError, ssl.SSLError):
        return {}


def _node(session: Session, node: Node, facts: Facts | None, api: Api) -> Tree:
    told: Tree = {"name": node.name, "role": node.role, "address": node.address}
    live = api.registered.get(node.name)
    told |= {
        "ready": live and ready(live),
        "cordoned": bool(live and live["spec"].get("unschedulable")),
        "kubelet": live["status"]["nodeInfo"]["kubeletVersion"] if live else "",
    }
    if facts is None:
        return told | {"state": "unreachable", "why": session.hosts.unreachable[node.name].what, "parts": []}
    parts = [_part(session, node, probe) for probe in session.hosts.probes(node)]
    for part in parts:  # a static pod is known to the API under its own name and the node's
        image = api.images.get(f"{part['name']}-{node.name}", "")
        part["version"] = told["kubelet"] if part["name"] == "kubelet" else _tag(image)
    healthy = all(part["healthy"] for part in parts)
    drift = [each for kind in moved(facts) for each in kind]  # `bootstrap verify` says how
    told |= {"unfinished": not facts.record.settled, "rolledBack": facts.record.former, "drift": drift}
    told |= {"certificates": _expiry(session, node, facts)}
    return told | {"state": "healthy" if healthy else "unhealthy", "parts": parts}


def _tag(image: str) -> str:
    """Of registry.k8s.io/kube-apiserver:v1.37.2 it is v1.37.2; "" where there is none."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[2]


def _expiry(session: Session, node: Node, facts: Facts) -> Tree | None:
    """The certificate of the node that ends first; None where that can't be told."""
    known = ends(session.cluster, session.store, node, facts.seen)
    dated = {path: end for path, end in known.items() if end}
    if not dated:
        return None
    path = min(dated, key=lambda path: (dated[path], path))
    return {"path": path, "ends": f"{dated[path]:%FT%TZ}", "days": (dated[path] - datetime.now(UTC)).days}


def _part(session: Session, node: Node, probe: Probe) -> Tree:
    why = health.asked(session.hosts[node.name].dial, probe)
    if probe.part == "etcd" and (alarm := session.hosts.alarms.get(session.hosts.known[node.name].etcd)):
        why = f"alarm {alarm}"
    return {"name": probe.part, "healthy": not why, "why": why}
