"""What `bootstrap verify` tells: how nodes are not as they were left, and what no plan can see; it writes nothing."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cryptography import x509

from bootstrap import credentials, flags, paths, planned, tunnel
from bootstrap.components import components
from bootstrap.differences import facets
from bootstrap.errors import Problem
from bootstrap.facts import foreigners, moved
from bootstrap.plan import Plan
from bootstrap.saved import SEATS
from bootstrap.spec.addresses import ETCD_PORT
from bootstrap.spec.model import Node
from bootstrap.ssh import Read
from bootstrap.workflow import Session
from bootstrap.world import Apply, Drain, Facts, Member, Turn, World

MEND = "bootstrap apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as it should be: where ("" as node: the cluster), what, since when, and what to type."""

    node: str
    where: str
    what: str
    next: str = MEND
    since: float | None = None  # seconds since 1970, where it can be told

    @property
    def mended(self) -> bool:
        """Whether `bootstrap apply` makes it good."""
        return self.next == MEND


def look(session: Session) -> list[Finding]:
    """Every finding of every node that answers, of etcd's list and of the API's objects."""
    world = session.world()
    plan = session.plan(world)
    names = sorted(world.facts)
    nodes = session.hosts.pool.map(lambda name: of_node(session, world, name), names)
    return [
        *(each for told in nodes for each in told),
        *seats(world, session.unnamed(world)),
        *asked(session, plan, world),
    ]


def of_node(session: Session, world: World, name: str) -> list[Finding]:
    """How a node is not as its record says, with since when; and what it serves."""
    facts, node = world.facts[name], session.cluster.node(name)
    if not facts.record.files:
        return []  # a stranger: the plan tells
    found = [*drift(name, facts), *foreign(name, facts)]
    shows = {row.path: row for row in serving(session, node) if row.part in facts.running}
    recorded = [path for path in (*shows, paths.KUBELET_DROPIN) if path in facts.record.files]
    drifted = [each.where for each in found if each.where in facts.seen and each.where not in recorded]
    try:
        lie = session.hosts[name].read(recorded, drifted)
    except Problem as problem:
        return [*found, Finding(name, "ssh", problem.what, "bootstrap status")]
    since = {path: read.since for path, read in lie.items()}
    return [
        *(replace(each, since=since.get(each.where)) for each in found),
        *kubelet(name, facts, lie),
        *(wrong for path, row in shows.items() if path in lie and (wrong := shown(session, name, row, lie[path]))),
    ]


def drift(name: str, facts: Facts) -> Iterator[Finding]:
    """Recorded files, and the generations that run; true with the API down too."""
    record = facts.record
    if not record.settled:
        yield Finding(name, "record", "a turn did not come to its end")
        return
    files, parts = moved(facts)
    for path in files:
        seen, left = facts.seen.get(path), record.files[path]
        if seen is None:
            yield Finding(name, path, "is missing")
        else:
            words = [f"{it.what} is {it.was}, was left {it.now}" for it in planned.modes(seen, left)]
            if seen.split(":")[0] != left.split(":")[0]:
                words.insert(0, "content was changed")
            yield Finding(name, path, "; ".join(words))
    for part in parts:
        runs, meant = facts.running.get(part), record.runs.get(part)
        if part == "host":
            yield Finding(name, "kernel", f"settings do not hold: {', '.join(facts.machine.unset)}")
        elif runs is None:
            yield Finding(name, part, "does not run")
        elif meant is None:
            yield Finding(name, part, "runs, and no file of ours asks for it")
        else:
            yield Finding(name, part, f"runs generation {runs}, was left {meant}")


def foreign(name: str, facts: Facts) -> Iterator[Finding]:
    """What the kubelet would run, and nobody asked us for."""
    for path in foreigners(facts):
        yield Finding(
            name,
            path,
            "is not ours, and the kubelet would run it",
            f"on {name}: move it out of {facts.machine.manifests}; or list it under staticPods",
        )


def kubelet(name: str, facts: Facts, lie: Mapping[str, Read]) -> Iterator[Finding]:
    """Flags that the kubelet runs with, against our unit: another drop-in may win over it."""
    unit = lie.get(paths.KUBELET_DROPIN)
    if unit is None or not facts.machine.command:
        return
    said = facets(unit.content.decode(errors="replace"))
    wanted = {flag: values for flag, values in said.items() if flag.startswith("-")}
    runs: dict[str, list[str]] = {}
    for word in facts.machine.command[1:]:
        flag, _, value = word.partition("=")
        runs.setdefault(flag, []).append(value)
    for flag in sorted(wanted.keys() | runs.keys()):
        if wanted.get(flag) != runs.get(flag):
            says = [f"{flag}={value}" for value in wanted.get(flag, ())] or [f"no {flag}"]
            has = [f"{flag}={value}" for value in runs.get(flag, ())] or [f"without {flag}"]
            yield Finding(
                name,
                "kubelet",
                f"runs with {' '.join(has)}, our unit says {' '.join(says)}",
                f"on {name}: systemctl cat kubelet, take out what comes after 50-bootstrap.conf, then: "
                "systemctl daemon-reload && systemctl restart kubelet",
            )


@dataclass(frozen=True, slots=True)
class Serving:
    """Who shows which file to its clients, and where."""

    part: str
    path: str
    address: str
    port: int


def serving(session: Session, node: Node) -> Iterator[Serving]:
    """Every certificate that a node serves from a file."""
    here = flags.loopback(node)
    port = {**session.cluster.kubelet, **node.kubelet}.get("port", 10250)
    yield Serving("kubelet", f"{paths.KUBELET_PKI}/kubelet.crt", here, int(port))
    rows = {row.name: row for row in components(session.cluster, node)}
    if api := rows.get("kube-apiserver"):
        yield Serving("kube-apiserver", api.told("tls-cert-file"), here, int(api.told("secure-port")))
    if etcd := rows.get("etcd"):
        yield Serving("etcd", etcd.told("cert-file"), here, ETCD_PORT)
        yield Serving("etcd", etcd.told("peer-cert-file"), node.address, 2380)


def shown(session: Session, name: str, row: Serving, lies: Read) -> Finding | None:
    """What is wrong with what is shown; clients of etcd have to show themselves too."""
    who = credentials.etcd_identity(session.store)
    tls = tunnel.context(who.ca, who.certificate, who.key)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    where = f"{row.part}, port {row.port}"
    try:
        served = x509.load_der_x509_certificate(tunnel.served(session.hosts[name].dial, row.address, row.port, tls))
        file = x509.load_pem_x509_certificate(lies.content)
    except tunnel.BROKEN as error:
        return Finding(name, where, f"does not answer: {error or type(error).__name__}", "bootstrap status")
    except (ValueError, Problem) as error:
        return Finding(name, where, f"can't be compared with {row.path}: {error}", "bootstrap status")
    if served == file:
        return None
    return Finding(
        name,
        where,
        f"serves {_of(served)}, {row.path} is {_of(file)}",
        f"it may take a minute to read its file again; if it does not: on {name}, "
        + ("systemctl restart kubelet" if row.part == "kubelet" else f"crictl stop its container {row.part}"),
        lies.since,
    )


def _of(certificate: x509.Certificate) -> str:
    return f"serial {certificate.serial_number:x} until {certificate.not_valid_after_utc:%Y-%m-%d}"


def seats(world: World, unnamed: Iterable[str]) -> Iterator[Finding]:
    """etcd's list against the file, and who belongs to the cluster and is not named there."""
    for name, member in sorted((world.members or {}).items()):
        if name not in world.wanted:
            continue
        if name not in world.voters:
            yield Finding("", f"etcd: {name}", "is a member, and a worker in cluster.yaml", f"bootstrap remove {name}")
        elif member.address != world.wanted[name]:
            yield Finding(
                "", f"etcd: {name}", f"is listed at {member.address}, not {world.wanted[name]}", "bootstrap plan"
            )
    for name in unnamed:
        yield Finding("", name, "is of the cluster, and not in cluster.yaml", f"bootstrap remove {name}")


def asked(session: Session, plan: Plan, world: World) -> Iterator[Finding]:
    """What a plan would do that is no drift of a node: cluster.yaml asks for it, or etcd's list, or objects differ."""
    for step in (step for wave in plan.waves for step in wave):
        match step:
            case Turn(node):
                record, seen = world.facts[node].record, world.facts[node].seen
                fresh = [f.path for was, f in step.put if record.files.get(f.path) == was]
                fresh += [path for path in step.drop if path in seen]
                if not record.files:
                    yield Finding(node, "cluster.yaml", "names it, and it has nothing of ours", "bootstrap join")
                elif fresh and record.settled:
                    yield Finding(node, "cluster.yaml", f"asks for another {', '.join(fresh)}")
            case Member(node, votes):
                yield Finding("", f"etcd: {node}", f"would become {SEATS[votes]}")
            case Drain(node):
                yield Finding("", node, "would be drained")
            case Apply(put, drop):
                fields = planned.fields(session, step, world)
                for was, key, _ in put:
                    differs = ", ".join(fields.get(key, ())) or "in form"
                    yield Finding("", key, "is missing" if was is None else f"differs: {differs}")
                yield from (Finding("", key, "is there, and no longer wanted") for key in drop)
    if plan.blocked:
        yield Finding("", "plan", plan.blocked, "bootstrap status")
