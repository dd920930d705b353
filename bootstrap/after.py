"""What a step does, imagined: the world after it."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.world import Apply, Drain, Listed, Member, Step, Turn, World, about, founding


def after(world: World, step: Step) -> World:
    """What a step does, imagined; what can't be asked now (members, objects) stays unknown."""
    members = dict(world.members or {})
    match step:
        case Turn():
            return turned(world, step)
        case Drain(node):
            return replace(world, nodes={**world.nodes, node: True})
        case Member(node, None):
            return replace(world, members={n: m for n, m in members.items() if n != node})
        case Member(node, False):
            learner = Listed(f"{node}+", votes=False, started=False, address=world.wanted.get(node, ""))
            return replace(world, members=members | {node: learner})
        case Member(node, True):
            return replace(world, members=members | {node: replace(members[node], votes=True)})
        case Apply(put, drop):
            kept = {key: was for key, was in (world.objects or {}).items() if key not in drop}
            nodes = {n: drained for n, drained in world.nodes.items() if n not in about(step)}
            return replace(world, objects=kept | {key: print_ for _, key, print_ in put}, nodes=nodes)
    raise TypeError(step)


def turned(world: World, turn: Turn) -> World:
    """A turn, imagined: the first one founds, the last one to be wiped ends the cluster."""
    facts, members, things, nodes = dict(world.facts), world.members, world.objects, world.nodes
    was, node, birth = facts[turn.node], turn.node, turn.record.birth
    if birth and founding(world):
        known = {name: facts[name].etcd if name in facts else "" for name in birth.names}
        where = dict(birth.members)
        members = {n: Listed(known[n] or n, votes=True, started=bool(known[n]), address=where[n]) for n in birth.names}
        things = {}
    etcd = "" if turn.fresh else was.etcd
    if members and birth:
        etcd = members[node].id
        members = {**members, node: replace(members[node], started=True)}
    seen = {path: fp for path, fp in was.seen.items() if path not in turn.drop}
    seen |= {file.path: file.fingerprint for _, file in turn.put}
    facts[node] = replace(was, record=turn.record, seen=seen, running=turn.record.runs, healthy=True, etcd=etcd)
    if things is not None and "kubelet" in turn.record.runs and node not in nodes:
        nodes = {**nodes, node: False}
    if was.record.birth and not any(f.record.birth for f in facts.values()):
        members, things, nodes = {}, None, {}
    return replace(world, facts=facts, members=members, objects=things, nodes=nodes)
