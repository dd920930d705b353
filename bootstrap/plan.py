"""The only module that decides: from a World to waves of steps. Nothing here reads or writes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import takewhile

from bootstrap.after import after
from bootstrap.hold import hold
from bootstrap.world import (
    Apply,
    Blocked,
    Drain,
    Facts,
    Former,
    Member,
    Origin,
    Record,
    Step,
    Turn,
    Wants,
    Wave,
    World,
    about,
    about_all,
    born,
    founders,
    founding,
    identity,
    keeps_quorum,
    may_touch,
    node_key,
    up,
)

API_SERVER = "kube-apiserver"
Turns = Mapping[str, Turn]  # of every node that is not as it should be


@dataclass(frozen=True, slots=True)
class Plan:
    """The waves, and why they end before everything is as wanted ("": they don't)."""

    waves: tuple[Wave, ...]
    blocked: str = ""


def turn(world: World, node: str, wants: Wants) -> Turn | None:
    """What a node lacks, or None; a node that leaves should have nothing."""
    if world.former is not None:
        return swap(world, node, world.former[node]) if node in world.former else None
    facts, stays = world.facts[node], node not in world.leaving
    files, runs = hold(wants.files(world, node), facts.record, wants.held) if stays else ((), {})
    paths = {file.path for file in files}
    put = tuple((facts.seen.get(f.path), f) for f in files if not f.keeps and facts.seen.get(f.path) != f.fingerprint)
    drop = tuple(sorted((facts.record.files.keys() & facts.seen.keys()) - paths))
    restart = restarts(facts, runs) if stays else ()  # who leaves: all that runs, and that may die by itself meanwhile
    votes = stays and node in world.voters
    listed = (world.members or {}).get(node)
    stale = not votes or (bool(world.members) and (listed is None or listed.id != facts.etcd))
    fresh = bool(facts.etcd) and stale
    if not (put or drop or restart or fresh or (facts.running and not stays)) and facts.record.settled:
        return None
    record = Record()
    if stays:
        record = Record(
            uid=wants.uid,
            constants={**wants.constants, **identity(world, node)},
            files={file.path: file.fingerprint for file in files},
            origins={file.path: Origin(file.phase, file.part, file.secret) for file in files},
            runs=runs,
            pods=world.pods,
            manifests=facts.machine.manifests,
            kubelet_flags=facts.machine.kubelet_flags,
            birth=replace(born(world, node), answered=True) if votes else None,
        )
    return Turn(node, put, drop, restart, fresh, record, purge=world.purge and not stays)


def swap(world: World, node: str, former: Former) -> Turn | None:
    """The turn to a former generation, or None; etcd's data, its birth and the pod CIDRs are not of it."""
    facts, kept = world.facts[node], {file.path: file for file in former.files}
    differ = [path for path, wanted in sorted(former.record.files.items()) if facts.seen.get(path) != wanted]
    put = tuple((facts.seen.get(path), kept[path]) for path in differ)
    drop = tuple(sorted((facts.record.files.keys() & facts.seen.keys()) - former.record.files.keys()))
    restart = restarts(facts, former.record.runs)
    if not (put or drop or restart) and facts.record.settled:
        return None
    now = facts.record
    record = replace(former.record, epoch=0, pods=now.pods, birth=now.birth, former=True, settled=True)
    return Turn(node, put, drop, restart, fresh=False, record=record)


def restarts(facts: Facts, runs: Mapping[str, str]) -> tuple[str, ...]:
    """The parts that stop, start, or both. An API server stops with its etcd: without, it would hang, and a kubelet
    that starts beside an API server that hangs does not start static pods either (seen with 1.37.2).
    """
    parts = {part for part in runs.keys() | facts.running.keys() if runs.get(part) != facts.running.get(part)}
    return tuple(sorted(parts | ({API_SERVER} & facts.running.keys() if "etcd" in parts else set())))


def update(turns: Turns, world: World, wants: Wants, nodes: AbstractSet[str]) -> Turns:
    """The turns, computed again for these nodes only."""
    ours = nodes & world.facts.keys() & (world.wanted.keys() | world.leaving)
    again = {node: turn(world, node, wants) for node in sorted(ours) if may_touch(world, node)}
    return {n: t for n, t in turns.items() if n not in nodes} | {n: t for n, t in again.items() if t}


def pending(world: World, turns: Turns) -> list[str]:
    """Control-plane nodes of the file that are not as they should be."""
    return sorted((world.voters - world.leaving) & turns.keys())


def may_start(world: World, node: str) -> bool:
    """Whether etcd may start there: a listed member with its data, or one that never had any; a founder."""
    facts, members = world.facts[node], world.members
    if not members:
        return node in founders(world) and (founding(world) or bool(facts.etcd))
    return node in members and (not members[node].started or members[node].id == facts.etcd)


def leave(world: World, turns: Turns) -> Wave | Blocked:
    """Nodes that leave, one by one: drained, out of etcd's list, wiped, their Node dropped; if none stays, together."""
    members = world.members or {}
    seats = world.voters | members.keys() | {n for n, facts in world.facts.items() if facts.record.birth}
    if not seats - world.leaving:
        return tuple(turns[node] for node in sorted(world.leaving) if node in turns)
    for node in sorted(world.leaving):
        if world.objects is None or (world.members is None and node in founders(world)):
            return Blocked(f"{node} can't leave: etcd or the API can't be asked")
        if not world.nodes.get(node, True):
            return (Drain(node),)
        if node in members:
            if keeps_quorum(world, node, removed=True):
                return (Member(node, None),)
            could = sorted(n for n, m in members.items() if m.votes and keeps_quorum(world, n, removed=True))
            hint = f"; {', '.join(could)} could" if could else ": first bring back who is down, or let another join"
            return Blocked(f"{node} can't leave: no quorum without it{hint}")
        if node in turns:
            return (turns[node],)
        if node in world.nodes:
            return (Apply((), (node_key(node),)),)
    return ()


def start(world: World, turns: Turns) -> Wave | Blocked:
    """Control-plane nodes whose etcd is down and may run: together where nothing of ours runs, else one."""
    missing = sorted(world.voters - world.leaving - world.facts.keys())
    if missing and not world.members and not any(facts.record.birth for facts in world.facts.values()):
        return Blocked(f"{', '.join(missing)} can't be reached: founding needs every control-plane node")
    if founding(world) and (apart := sorted(n for n in founders(world) if not may_touch(world, n))):
        return Blocked(f"{', '.join(apart)} must not be touched: founding needs every control-plane node")
    down = [node for node in pending(world, turns) if not up(world, node)]
    ready = [node for node in down if may_start(world, node)]
    if idle := tuple(turns[node] for node in ready if not world.facts[node].running):
        return idle
    if ready:
        return (turns[ready[0]],)
    return Blocked(f"{down[0]} waits until etcd can be asked") if down and world.members is None else ()


def seat(world: World, turns: Turns) -> Wave | Blocked:
    """etcd's list: the wiped go, a learner that has turned votes, then one stranger comes as a learner."""
    members = world.members or {}
    ours = sorted((world.voters - world.leaving) & world.facts.keys()) if members else []
    here = [node for node in ours if may_touch(world, node)]
    for node in here:
        if node in members and members[node].started and members[node].id != world.facts[node].etcd:
            if keeps_quorum(world, node, removed=True):
                return (Member(node, None),)
            return Blocked(f"{node} is wiped: no quorum without it")
    for node in sorted(n for n, m in members.items() if not m.votes and may_touch(world, n)):
        if node in world.voters and node not in world.facts:
            return (Member(node, None),)  # it comes back as a stranger
        ready = up(world, node) and node not in turns
        return (Member(node, votes=True),) if ready else Blocked(f"{node} is not ready to vote")
    return next(((Member(node, votes=False),) for node in here if node not in members), ())


def change(world: World, turns: Turns) -> Wave | Blocked:
    """Control-plane nodes that serve, one by one, while the others are a quorum."""
    serving = [node for node in pending(world, turns) if up(world, node)]
    safe = [node for node in serving if "etcd" not in turns[node].restart or keeps_quorum(world, node)]
    if safe:
        return (turns[safe[0]],)
    return Blocked(f"{serving[0]} can't stop: no quorum without it") if serving else ()


def work(world: World, turns: Turns) -> Wave | Blocked:
    """Workers: idle ones together; those that serve in waves, after the control plane (a kubelet is never newer)."""
    workers = world.wanted.keys() - world.voters - world.leaving - (world.members or {}).keys()
    ready = [n for n in sorted(workers & turns.keys()) if world.facts[n].record.files or not founding(world)]
    idle = tuple(turns[node] for node in ready if not world.facts[node].running)
    if idle or pending(world, turns):
        return idle
    return tuple(turns[node] for node in ready[: max(1, min(world.parallel, len(workers) // 10))])


def objects(world: World, turns: Turns, wants: Wants) -> Wave | Blocked:
    """The objects that differ, in one step, last; nothing for a control plane that is not as wanted yet, or leaves."""
    if pending(world, turns) or not world.voters - world.leaving or world.within is not None:
        return ()
    wanted, have = wants.objects(world), world.objects
    if have is None:
        return Blocked("the API can't be asked for its objects") if wanted else ()
    put = tuple((have.get(key), key, new) for key, new in wanted.items() if have.get(key) != new)
    drop = tuple(sorted(have.keys() - wanted.keys()))
    return (Apply(put, drop),) if put or drop else ()


Stage = Callable[[World, Turns], Wave | Blocked]
STAGES: tuple[Stage, ...] = (leave, start, seat, change, work)
ROLLBACK: tuple[Stage, ...] = (start, change, work)


def next_wave(world: World, wants: Wants, turns: Turns) -> Wave | Blocked:
    """The first that may go of the stages, then the objects; () when all is as wanted."""
    reasons = []
    stages: tuple[Stage, ...] = (*STAGES, partial(objects, wants=wants)) if world.former is None else ROLLBACK
    for stage in stages:
        match stage(world, turns):
            case Blocked() as blocked:
                reasons.append(blocked)
            case wave if wave:
                return wave
    return reasons[0] if reasons else ()


def plan(world: World, wants: Wants) -> Plan:
    """Ask for the next wave, imagine it done, and ask again."""
    turns = update({}, world, wants, world.facts.keys())
    waves: list[Wave] = []
    while wave := next_wave(world, wants, turns):
        if isinstance(wave, Blocked):
            return Plan(tuple(waves), wave.reason)
        waves.append(wave)
        world = reduce(after, wave, world)
        turns = update(turns, world, wants, about_all(wave))
    return Plan(tuple(waves))


def disturbs(step: Step, world: World) -> bool:
    """Whether a step stops a part that serves, or takes a file away where one runs."""
    if not isinstance(step, Turn):
        return False
    running = world.facts[step.node].running
    serving = running.keys() - (set() if "etcd" in running else {API_SERVER})
    return bool(serving & set(step.restart) or (step.drop and running))


def allowed(command: str, wave: Wave, world: World) -> bool:
    """Whether a command may: `init` founds and repairs, `join` adds, `apply` changes, `remove` and `reset` let go."""
    for step in wave:
        if world.former is not None:
            commands = {"rollback"}
        elif about(step) & world.leaving:
            commands = {"remove", "reset"}
        elif disturbs(step, world):
            commands = {"apply"}
        elif isinstance(step, Member):
            commands = {"join", "apply"}
        else:
            commands = {"init", "apply"} if founding(world) else {"init", "join", "apply"}
        if command not in commands:
            return False
    return True


def departure(plan: Plan, world: World) -> Plan:
    """What of a plan lets nodes go: it comes first, and the rest is for other commands."""
    return Plan(tuple(takewhile(lambda wave: allowed("remove", wave, world), plan.waves)), plan.blocked)


def lost(world: World, nodes: AbstractSet[str]) -> World:
    """Without these nodes: nothing is known of them any more."""
    facts = {node: facts for node, facts in world.facts.items() if node not in nodes}
    return replace(world, facts=facts, leaving=world.leaving - nodes)
