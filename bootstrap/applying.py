"""The step that puts and drops objects, and what it waits for: a namespace, registered nodes, an address off a list."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from bootstrap import serving, trace
from bootstrap.documents import Object
from bootstrap.drain import unlisted
from bootstrap.errors import Problem
from bootstrap.hosts import Hosts
from bootstrap.joining import PUBLIC
from bootstrap.kube import Kube
from bootstrap.objects import SYSTEM
from bootstrap.world import Apply, about

REGISTERED = 60.0  # seconds a kubelet may take to register its node, once the API answers, and that to make a namespace

Objects = Callable[[frozenset[str]], Mapping[str, Object]]  # registered nodes -> the wanted objects, by key


def apply(hosts: Hosts, step: Apply, objects: Objects) -> None:
    """Put what is to be put, once the API has what that needs, and drop the rest; Problem when the API refuses."""
    if not hosts.running("kube-apiserver"):
        hosts.observe(hosts.addresses)
    kube, stopped = hosts.api(), hosts.stopping.is_set
    housed(kube, stopped)
    put = [key for _, key, _ in step.put if not key.startswith(serving.PREFIX)]
    for name in (key for _, key, _ in step.put if key.startswith(serving.PREFIX)):
        serving.approve(kube, name)
    marks = {key: key.rpartition("|")[2] for key in put if key.startswith("|Node|")}
    wanted = objects(frozenset(marks.values()))
    servers = {node: found for node in about(step) if (found := _server(hosts, kube, node))}
    ours = set(kube.inventory()) | (set(put) - marks.keys())
    kube.note(ours)
    with trace.span("puts objects"):
        kube.put(wanted[key] for key in put if key not in marks)
    with trace.span("waits until the nodes are registered"):
        registered(kube, frozenset(marks.values()), stopped)
    kube.put(wanted[key] for key in marks)
    kube.drop(step.drop)
    if step.drop:
        kube.note(ours - set(step.drop))
    for node, address in sorted(servers.items()):
        unlisted(
            kube,
            address,
            expire=partial(_expire, hosts, node, address),
            stopped=stopped,
            say=partial(hosts.say, node),
        )
    hosts.say("", f"{len(step.put)} objects put, {len(step.drop)} dropped")


def _server(hosts: Hosts, kube: Kube, node: str) -> str:
    """The address of a control-plane node's API server, also where only the API still knows it; "": it has none."""
    if node in hosts.nodes:
        return hosts.nodes[node].address if hosts.nodes[node].control_plane else ""
    found = kube.get(f"/api/v1/nodes/{node}")
    if not found or "node-role.kubernetes.io/control-plane" not in found["metadata"].get("labels", {}):
        return ""
    return next((each["address"] for each in found["status"]["addresses"] if each["type"] == "InternalIP"), "")


def _expire(hosts: Hosts, node: str, address: str) -> None:
    """Nobody serves at this address any more, whatever the API server there left in etcd."""
    for through in hosts.running("etcd"):
        if through != node:
            hosts.etcd(through).delete(f"/registry/masterleases/{address}")
            return


def housed(kube: Kube, stopped: Callable[[], bool]) -> None:
    """Returns once there are the namespaces that ours are in: a new API server makes them by itself."""

    def missing() -> list[str]:
        return [name for name in (SYSTEM, PUBLIC) if kube.get(f"/api/v1/namespaces/{name}") is None]

    if late := _awaited(missing, stopped):
        raise Problem(
            f"the API server did not make its namespaces in {REGISTERED:.0f} s: {', '.join(late)}",
            next="run the same command again: it goes on where this one ended",
        )


def registered(kube: Kube, nodes: frozenset[str], stopped: Callable[[], bool]) -> None:
    """Returns once the API knows these nodes: an object put before its kubelet's would keep the taints away."""
    if late := _awaited(lambda: sorted(nodes - kube.nodes().keys()), stopped):
        raise Problem(
            f"{', '.join(late)} did not register with the API in {REGISTERED:.0f} s",
            why="the kubelet does that by itself once the API server answers",
            next=f"on {late[0]}: journalctl -u kubelet -n 50",
        )


def _awaited(missing: Callable[[], list[str]], stopped: Callable[[], bool]) -> list[str]:
    """What is missing still when time is up, or somebody stops us."""
    deadline = time.monotonic() + REGISTERED
    while (late := missing()) and time.monotonic() <= deadline and not stopped():
        time.sleep(0.1)
    return late
