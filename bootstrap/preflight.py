"""Asks what preflight judges: what machines are like, whether nodes reach each other, whether the registry answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from bootstrap import checks, trace
from bootstrap.checks import Ground, Seen
from bootstrap.errors import Problem
from bootstrap.hosts import Hosts
from bootstrap.spec.model import API_PORT, Cluster, Node
from bootstrap.survey import Survey, Unreached
from bootstrap.world import Facts

ANSWER = 5.0  # seconds a port may take to answer: a machine under load is slow, and a firewall is silent
ENOUGH = 20.0  # seconds after which no further port is asked


@dataclass(frozen=True, slots=True)
class Way:
    """A port of a node that another one has to reach."""

    start: str
    end: str
    port: int


def surveys(hosts: Hosts, facts: Mapping[str, Facts], names: Collection[str]) -> dict[str, Survey]:
    """A survey of each of these nodes; one that does not answer any more is left out, and is among the unreachable."""
    asked = sorted(names & facts.keys())
    with trace.span("looks at machines"):
        told = zip(asked, hosts.pool.map(partial(_survey, hosts, facts), asked), strict=True)
        found = {name: survey for name, survey in told if survey}
    with trace.span("asks whether nodes reach each other"):
        for name, failed in _unreached(hosts, facts, found).items():
            found[name] = replace(found[name], unreached=tuple(failed))
    return found


def _survey(hosts: Hosts, facts: Mapping[str, Facts], name: str) -> Survey | None:
    cluster, node = hosts.cluster, hosts.nodes[name]
    try:
        told = hosts.survey(name)
        missing = checks.absent(Ground(cluster, node, Seen(facts, {name: told})))
        return replace(told, unpullable=_unpullable(hosts, name, told, missing))
    except Problem as problem:
        hosts.unreachable[name] = problem
        return None


def _unpullable(hosts: Hosts, name: str, told: Survey, missing: Iterable[str]) -> dict[str, str]:
    """image -> why its registry can't be reached from this node; not where nobody can tell (a proxy, a mirror)."""
    if told.proxied.keys() - {"kubelet"}:
        return {}
    places = {image: place(image) for image in missing}
    mirrors = told.runtime.mirrors
    asked = {it for it in places.values() if not mirrors & {it[0], f"{it[0]}:{it[1]}", "_default"}}
    silent = {it: why for it in asked if (why := hosts[name].unanswered(*it, within=ANSWER))}
    return {image: f"{it[0]}:{it[1]}: {silent[it]}" for image, it in places.items() if it in silent}


def place(image: str) -> tuple[str, int]:
    """Where an image's registry is: what comes before the first slash, or, where that is no host, Docker's."""
    first, slash, _ = image.partition("/")
    host, _, port = first.partition(":")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return "registry-1.docker.io", 443
    return host, int(port or 443)


def ways(cluster: Cluster, new: Collection[str]) -> Iterator[Way]:
    """Who has to reach whom: etcd's peers each other, everybody the API servers, API servers the kubelets.

    Only those that begin or end at one of the `new` nodes.
    """
    for end in cluster.nodes:
        for start in cluster.nodes if end.control_plane else cluster.voters:
            if start is not end and (start.name in new or end.name in new):
                for port in _between(start, end):
                    yield Way(start.name, end.name, port)


def _between(start: Node, end: Node) -> Iterator[int]:
    if end.control_plane:
        yield API_PORT
    if start.control_plane:
        yield 10250
    if start.control_plane and end.control_plane:
        yield 2380


def _unreached(hosts: Hosts, facts: Mapping[str, Facts], surveys: Mapping[str, Survey]) -> dict[str, list[Unreached]]:
    """node -> what does not answer there though something listens: ports of nodes that are new are opened for it."""
    cluster, began = hosts.cluster, time.monotonic()
    asked = [way for way in ways(cluster, surveys.keys()) if {way.start, way.end} <= facts.keys()]
    open_ports = {name: set(told.machine.ports) for name, told in facts.items()}
    for name, told in surveys.items():  # less those that another preflight opened, and will close
        open_ports[name] = {each.port for each in told.listeners if each.part != "preflight"}
    with ExitStack() as blocks:

        def listen(name: str) -> None:
            if wanted := {way.port for way in asked if way.end == name} - open_ports[name]:
                block = hosts[name].listening(cluster.node(name).address, sorted(wanted))
                open_ports[name] |= blocks.enter_context(block)

        list(hosts.pool.map(listen, sorted({way.end for way in asked} & surveys.keys())))

        def why(way: Way) -> str:
            if time.monotonic() - began > ENOUGH:
                return ""
            return hosts[way.start].unanswered(cluster.node(way.end).address, way.port, within=ANSWER)

        tried = [way for way in asked if way.port in open_ports[way.end]]
        answers = list(zip(tried, hosts.pool.map(why, tried), strict=True))
    failed: dict[str, list[Unreached]] = {}
    for way, answer in answers:
        if answer:
            whose = way.start if way.start in surveys else way.end
            failed.setdefault(whose, []).append(Unreached(way.start, way.end, way.port, answer))
    return failed
