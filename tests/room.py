"""A room of fake hosts: `after()` cut into small moves, with faults; a run may die at any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from hashlib import sha256

from bootstrap.after import after
from bootstrap.plan import Plan, plan
from bootstrap.run import Failure, Outcome, run
from bootstrap.world import Facts, File, Former, Listed, Member, Record, Turn, Wants, Wave, World, born, node_key

SPEC = "spec"  # the toy's cluster.yaml is one word, kept in World.pods, which plans pass through unread


def toy(path: str, content: str, part: str = "") -> File:
    """A file of the toy."""
    return File(path, content.encode(), 0o600, part)


def files(world: World, node: str) -> Iterator[File]:
    """A toy of the phases: what a node should have."""
    spec = world.pods[SPEC]
    if node in world.voters:
        birth = "+".join(sorted(born(world, node).names))
        yield toy("/m/etcd.yaml", f"etcd:{spec[:2]}:{birth} @generation@", "etcd")
        yield toy("/pki/etcd/server.crt", f"crt:{node}", "etcd")
        yield toy("/m/kube-apiserver.yaml", f"api:{spec[:2]} @generation@", "kube-apiserver")
        yield toy("/pki/ca.crt", "ca")
        if "sched" in spec:
            yield toy("/m/batch.yaml", "b", "batch")
    yield toy("/var/lib/kubelet/config.yaml", f"k:{spec[:2]}", "kubelet")
    yield toy("/etc/systemd/system/kubelet.service.d/10.conf", "unit @generation@", "kubelet")


def objects(world: World) -> dict[str, str]:
    """A toy of the objects: one of them all, and a mark of every node that has registered."""
    return {"ConfigMap/coredns": f"dns:{world.pods[SPEC][:2]}"} | {node_key(node): "marked" for node in world.nodes}


WANTS = Wants(files, objects, uid="toy")


class Crash(BaseException):
    """The workstation died."""


class Refused(Exception):
    """Somebody else has taken the lock since."""


class Room:
    """Nodes that live in a World (the truth)."""

    def __init__(self, names: str) -> None:
        """Strangers, all of them."""
        facts = {name: Facts(Record(), {}, {}) for name in names}
        self.world = World({}, frozenset(), facts, {}, pods={SPEC: "v1"})
        self.former: dict[str, Facts] = {}  # as it was before its last turn began
        self.unsettled: dict[str, Record] = {}  # nodes whose last turn has not settled, and what it goes to
        self.kept: dict[tuple[str, str], File] = {}  # what was ever put, by path and fingerprint
        self.rolls = False  # everybody goes back to the former generation
        self.dead: set[str] = set()  # can't be reached, and does not run
        self.fails: dict[str, bool] = {}  # node -> its next turn fails (True: by its content)
        self.dies = ""  # can't be reached from its next turn on
        self.count = self.ids = self.asked = 0
        self.crash: int | None = None
        self.epoch = self.newest = 0  # of whoever acts, and of whoever took the lock last
        self.epochs: dict[str, int] = {}  # node -> the highest it knows
        self.moments = 0
        self.sleeps: int | None = None  # the moment at which whoever acts falls asleep, and another does it all
        self.guard = True
        self.outcome = Outcome((), {})

    def tick(self) -> None:
        """One move is over; perhaps the last."""
        self.count += 1
        if self.crash == self.count:
            raise Crash

    def take(self) -> None:
        """The lock: every control-plane node that answers knows the new epoch."""
        self.newest += 1
        self.epoch = self.newest
        self.epochs |= dict.fromkeys((self.world.voters | self.world.leaving) - self.dead, self.epoch)

    def moment(self) -> None:
        """The workstation is about to act; perhaps it sleeps first."""
        self.moments += 1
        if self.moments == self.sleeps:
            mine = self.epoch
            self.go()
            self.epoch = mine

    def refuse(self, node: str) -> None:
        """A node knows who acts, or learns it."""
        if self.epochs.get(node, 0) > self.epoch:
            raise Refused
        self.epochs[node] = self.epoch

    def put(self, node: str, facts: Facts) -> None:
        """This becomes true of a node."""
        self.world = replace(self.world, facts={**self.world.facts, node: facts})

    def fact(self, node: str) -> Facts:
        """What is true of a node."""
        return self.world.facts[node]

    def settle(self, node: str, *, settled: bool) -> None:
        """Its record says so; a birth that settles has answered."""
        facts = self.fact(node)
        birth = facts.record.birth
        if settled:
            self.unsettled.pop(node, None)
        if birth and settled:
            birth = replace(birth, answered=True)
        self.put(node, replace(facts, record=replace(facts.record, birth=birth, settled=settled)))

    def stop(self, node: str, *parts: str) -> None:
        """These parts stop (none named: all)."""
        running = {p: g for p, g in self.fact(node).running.items() if parts and p not in parts}
        self.put(node, replace(self.fact(node), running=running))

    def wipe(self, node: str) -> None:
        """A node lost its disk."""
        self.put(node, Facts(Record(), {}, {}))

    def erase(self, node: str) -> None:
        """A node lost etcd's data only."""
        self.put(node, replace(self.fact(node), etcd="", running={}))

    def serving(self) -> int:
        """How many voters run, each with its own data."""
        facts = {n: f for n, f in self.world.facts.items() if n not in self.dead}
        members = (self.world.members or {}).items()
        return sum(m.votes and n in facts and "etcd" in facts[n].running and facts[n].etcd == m.id for n, m in members)

    def quorum(self) -> int:
        """How many have to."""
        return sum(m.votes for m in (self.world.members or {}).values()) // 2 + 1

    def members(self) -> Mapping[str, Listed] | None:
        """What etcd says, if it can be asked."""
        if self.world.members and self.serving() >= self.quorum():
            return self.world.members
        alive = [f for n, f in self.world.facts.items() if n not in self.dead]
        unknown = self.dead & self.world.voters or any(f.record.files or f.record.birth or f.etcd for f in alive)
        return None if unknown else {}

    def observe(self, nodes: AbstractSet[str]) -> tuple[Mapping[str, Facts], Mapping[str, Listed] | None]:
        """The facts of those that answer, and etcd's members."""
        self.asked += len(nodes)
        return {n: self.world.facts[n] for n in nodes if n not in self.dead}, self.members()

    def seen(self) -> World:
        """Everything, as a plan sees it."""
        facts, members = self.observe(self.world.facts.keys())
        former = {node: had for node in facts if (had := self.had(node))} if self.rolls else None
        api = members and any("kube-apiserver" in f.running for f in facts.values())
        world = replace(self.world, facts=facts, members=members, former=former)
        return world if api else replace(world, objects=None, nodes={})

    def had(self, node: str) -> Former | None:
        """What a node's disk tells of its former generation: of a rollback on its way, only where it leads."""
        record = self.fact(node).record
        if record.former:
            return Former(self.unsettled[node], ()) if node in self.unsettled else None
        if node not in self.former or not self.former[node].record.files:
            return None
        former = self.former[node].record
        return Former(former, tuple(self.kept[at] for at in former.files.items() if at in self.kept))

    def perform(self, wave: Wave) -> Mapping[str, Failure]:
        """Every step in small moves; turns settle when all of the wave run."""
        failed = {}
        self.moment()
        if self.epoch < self.newest:
            raise Refused
        for step in wave:
            self.tick()
            if isinstance(step, Turn):
                if step.node == self.dies:
                    self.dead.add(step.node)
                if step.node in self.dead:
                    failed[step.node] = Failure("the line is dead", content=False)
                    continue
                self.moment()
                self.refuse(step.node)
                if step.node not in self.unsettled:
                    self.former[step.node] = self.fact(step.node)
                self.turn(step)
                if step.node in self.fails:
                    failed[step.node] = Failure("unhealthy", content=self.fails.pop(step.node))
            else:
                self.world = after(self.world, step)
                if isinstance(step, Member):
                    self.listed(step)
            self.tick()
        for step in wave:
            if isinstance(step, Turn) and step.node not in failed and not step.leaves:
                self.moment()
                self.refuse(step.node)
                self.settle(step.node, settled=True)
                self.tick()
        return failed

    def turn(self, turn: Turn) -> None:
        """One turn, move by move."""
        node, now = turn.node, self.fact(turn.node)
        held = {**now.record.files, **turn.record.files}
        birth = turn.record.birth or now.record.birth
        if birth:
            birth = replace(birth, answered=bool(now.record.birth and now.record.birth.answered))
        record = replace(turn.record, files=held, birth=birth, settled=False)
        self.put(node, replace(now, record=record))
        self.unsettled[node] = turn.record
        self.kept |= {(file.path, file.fingerprint): file for _, file in turn.put}
        self.tick()
        for part in reversed(turn.restart):
            before = self.serving()
            self.stop(node, part)
            if self.guard and self.serving() < before:
                votes = sum(m.votes for m in (self.world.members or {}).values())
                assert self.serving() >= self.quorum() or votes < 3, f"quorum broken by {node}"
            self.tick()
        if turn.fresh:
            self.put(node, replace(self.fact(node), etcd=""))
            self.tick()
        for was, file in turn.put:
            assert self.fact(node).seen.get(file.path) == was
            self.put(node, replace(self.fact(node), seen={**self.fact(node).seen, file.path: file.fingerprint}))
            self.tick()
        for path in turn.drop:
            seen = {p: d for p, d in self.fact(node).seen.items() if p != path}
            self.put(node, replace(self.fact(node), seen=seen))
            self.tick()
        self.world = after(self.world, turn)  # the kubelet starts: every part at once
        if turn.record.birth and birth:
            now = self.fact(node)
            self.put(node, replace(now, record=replace(now.record, birth=birth)))
        self.settle(node, settled=turn.leaves)
        self.tick()

    def listed(self, step: Member) -> None:
        """etcd changes its list; ids are its to give."""
        if step.votes is False:
            self.ids += 1
            members = dict(self.world.members or {})
            members[step.node] = replace(members[step.node], id=f"{step.node}{self.ids}")
            self.world = replace(self.world, members=members)
        if self.guard:
            assert self.serving() >= self.quorum(), f"quorum broken by {step}"

    def back(self, node: str) -> None:
        """The former generation again; etcd's data and birth stay."""
        if node not in self.former or node in self.dead:
            return
        self.moment()
        self.refuse(node)
        self.unsettled.pop(node, None)
        now, former = self.fact(node), self.former[node]
        record = former.record
        if now.record.birth and not record.birth:
            record = replace(record, birth=now.record.birth, settled=False)
        self.put(node, replace(former, record=record, etcd=now.etcd))

    def goal(self, voters: str, workers: str = "", spec: str = "v1", leaving: str = "") -> None:
        """What the file and the command say."""
        wanted = {name: f"10.0.0.{ord(name)}" for name in voters + workers}
        self.world = replace(
            self.world, voters=frozenset(voters), wanted=wanted, leaving=frozenset(leaving), pods={SPEC: spec}
        )

    def go(self) -> Plan:
        """Plan and run until nothing more can be done, as a person would; the last plan."""
        for _ in range(6):
            made = plan(self.seen(), WANTS)
            if not made.waves:
                return made
            self.take()
            self.outcome = run(self, self.seen(), WANTS, made.waves)
        raise AssertionError("no end")

    def end(self) -> World:
        """The truth, with etcd's ids told apart only by whether data and list agree."""
        members = self.world.members or {}
        facts = {
            n: replace(f, etcd="ok" if n in members and members[n].id == f.etcd else "stale" if f.etcd else "")
            for n, f in self.world.facts.items()
        }
        return replace(self.world, facts=facts, members={n: replace(m, id="") for n, m in members.items()})


def digest(content: str) -> str:
    """The fingerprint of a toy file."""
    return f"{sha256(content.encode()).hexdigest()}:600"


Event = tuple[str, ...] | Callable[[Room], None]
