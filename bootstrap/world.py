"""What is wanted, seen, known and done, as plain values; and what may be read off them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

GENERATION = b"@generation@"  # stands in a file where the generation of its part goes


@dataclass(frozen=True, slots=True)
class File:
    """A file a node should have; `part` is what restarts when it differs: "etcd", "kubelet", … ("": nothing does)."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o600
    part: str = ""
    secret: bool = True  # never read back nor shown
    phase: str = ""  # that wants it
    keeps: str = ""  # the fingerprint it has, where its phase is held: it is left as it is

    @property
    def fingerprint(self) -> str:
        """Content and mode in one word, as the node's own script computes it; the owner is always root."""
        return self.keeps or f"{sha256(self.content).hexdigest()}:{self.mode:o}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file of ours comes from, as its node's record keeps it."""

    phase: str
    part: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Birth:
    """How a node's etcd began, recorded with it and never computed again."""

    members: tuple[tuple[str, str], ...]  # (name, address) of its first --initial-cluster
    state: str  # --initial-cluster-state: "new" for a founder, "existing" for one that joined
    answered: bool = False  # etcd has: from then on an empty directory there never founds again

    @property
    def names(self) -> frozenset[str]:
        """Who stood in it."""
        return frozenset(name for name, _ in self.members)


@dataclass(frozen=True, slots=True)
class Record:
    """What a turn leaves on its node: what is ours there, and what was decided at its birth."""

    uid: str = ""  # of the cluster; "": a stranger
    epoch: int = 0  # of the lock under which it was written; 0 in a plan, which anybody may carry out
    constants: Mapping[str, str] = field(default_factory=dict)  # what can't change on a living cluster
    files: Mapping[str, str] = field(default_factory=dict)  # path -> fingerprint
    origins: Mapping[str, Origin] = field(default_factory=dict)  # path -> who wanted it
    runs: Mapping[str, str] = field(default_factory=dict)  # part -> generation
    pods: Mapping[str, str] = field(default_factory=dict)  # node -> pod CIDR, of every node
    manifests: str = ""  # the manifest directory, as its kubelet had it when we came
    kubelet_flags: tuple[str, ...] = ()  # of its unit, which we keep
    birth: Birth | None = None
    former: bool = False  # it was rolled back: what runs is the generation before the newest
    settled: bool = True  # False from a turn's first byte until its probes have passed


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node is, apart from what we made of it."""

    manifests: str = "/etc/kubernetes/manifests"  # where its kubelet looks for static pods
    kubelet: str = "/usr/bin/kubelet"
    kubelet_state: str = ""  # "running", else its unit's LoadState: "loaded", "not-found", …
    unit: bool = True  # the kubelet has a unit that is not ours
    kubelet_flags: tuple[str, ...] = ()  # of its unit, those that we do not set
    command: tuple[str, ...] = ()  # of the kubelet that runs, word by word
    runtime: str = "unix:///var/run/containerd/containerd.sock"
    resolved: bool = False  # systemd-resolved serves its /etc/resolv.conf
    ca_directories: tuple[str, ...] = ()  # those of kubeadm's list that it has
    hostname: str = ""
    id: str = ""  # /etc/machine-id
    clock: float = 0.0  # seconds since 1970, when it was asked
    free: int = 0  # bytes, where etcd's data goes
    ports: frozenset[int] = frozenset()  # that something listens on
    systemd: bool = False  # it has systemctl
    user: int = 0  # the id the script ran with
    odd: tuple[str, ...] = ()  # names in the manifest directory that are no plain files
    unset: tuple[str, ...] = ()  # settings of our sysctl file that do not hold


@dataclass(frozen=True, slots=True)
class Facts:
    """What one node told, in one round trip."""

    record: Record
    seen: Mapping[str, str]  # path -> fingerprint: recorded paths, and every name in the manifest directory
    running: Mapping[str, str]  # part -> generation that RUNS, from /proc: true with the API down too
    healthy: bool = True  # its etcd member answers, without alarm (a worker: nothing to say)
    etcd: str = ""  # the member id in etcd's data directory ("": empty)
    machine: Machine = Machine()
    aside: bool = field(default=False, compare=False)  # data of etcd that a turn has moved aside is there still
    began: Mapping[str, int] = field(default_factory=dict, compare=False)  # part -> when its process did, by its kernel


@dataclass(frozen=True, slots=True)
class Former:
    """The generation a node had before its last turn: its record, and those of its files that the turn touched."""

    record: Record
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of etcd's member list; `started` once it has published its client URLs."""

    id: str
    votes: bool
    started: bool
    address: str = ""  # of its peer URL


@dataclass(frozen=True, slots=True)
class World:
    """All that a plan may depend on; nothing is asked later."""

    wanted: Mapping[str, str]  # every node of the file -> its address
    voters: frozenset[str]  # its control-plane nodes; the others are workers
    facts: Mapping[str, Facts]  # of the nodes that answered
    members: Mapping[str, Listed] | None  # None: etcd can't be asked; {}: nobody ever founded
    objects: Mapping[str, str] | None = None  # ours in the API, key -> fingerprint; None: the API is down
    nodes: Mapping[str, bool] = field(default_factory=dict)  # registered -> drained
    leaving: frozenset[str] = frozenset()  # named by `remove`; everyone: `reset`
    purge: bool = False  # who leaves keeps nothing of etcd's data, not aside either
    former: Mapping[str, Former] | None = None  # what the nodes named by `rollback` go back to; nobody else changes
    parallel: int = 16  # serving workers that change together, at most
    pods: Mapping[str, str] = field(default_factory=dict)  # node -> pod CIDR: as recorded, or allotted now
    within: frozenset[str] | None = None  # nodes that may be touched, and no object is; None: everything may be


@dataclass(frozen=True, slots=True)
class Turn:
    """One node, from what it has to what it should have: ONE remote script, idempotent."""

    node: str
    put: tuple[tuple[str | None, File], ...]  # (fingerprint it replaces, file)
    drop: tuple[str, ...]
    restart: tuple[str, ...]  # parts that stop, start, or both
    fresh: bool  # etcd's data goes aside first: it is of no listed member
    record: Record  # what is ours afterwards: written before the first rename
    purge: bool = False  # of who leaves, etcd's data is deleted, and what went aside before

    @property
    def leaves(self) -> bool:
        """Whether the node keeps nothing of ours."""
        return not self.record.files

    def parts(self, running: Container[str]) -> dict[str, list[str]]:
        """What happens to the parts it touches, where these run: those that it starts, restarts and stops."""
        return {
            "starts": [part for part in self.restart if part not in running],
            "restarts": [part for part in self.restart if part in running and part in self.record.runs],
            "stops": [part for part in self.restart if part in running and part not in self.record.runs],
        }


@dataclass(frozen=True, slots=True)
class Member:
    """etcd's list: None = not listed, False = learner, True = voter."""

    node: str
    votes: bool | None


@dataclass(frozen=True, slots=True)
class Drain:
    """Cordon a node and evict its pods, with a deadline."""

    node: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Objects of the API, put by server-side apply, or dropped."""

    put: tuple[tuple[str | None, str, str], ...]  # (fingerprint it replaces, key, fingerprint)
    drop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something is left to do, and nothing of it is safe now."""

    reason: str


Step = Turn | Member | Drain | Apply
Wave = tuple[Step, ...]  # steps that go together


@dataclass(frozen=True, slots=True)
class Wants:
    """The phases, joined: what must be true, never how."""

    files: Callable[[World, str], Iterable[File]]  # depend on the file and on that node only
    objects: Callable[[World], Mapping[str, str]]  # key -> fingerprint
    uid: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()  # phases that want exactly what the record has


def stamped(files: Iterable[File]) -> tuple[tuple[File, ...], dict[str, str]]:
    """The files with each part's generation written into them, and the generations.

    A generation is the digest of all files of a part that need a restart; the files that carry it
    (a container's environment, the kubelet's unit) are digested with its place left open.
    """
    ordered = sorted(files, key=lambda file: file.path)
    parts: dict[str, list[str]] = {}
    for file in ordered:
        if file.part:
            parts.setdefault(file.part, []).append(f"{file.path}\0{file.fingerprint}\n")
    generations = {part: sha256("".join(lines).encode()).hexdigest()[:16] for part, lines in parts.items()}
    done = (
        replace(file, content=file.content.replace(GENERATION, generations[file.part].encode()))
        if file.part and GENERATION in file.content
        else file
        for file in ordered
    )
    return tuple(done), generations


def node_key(node: str) -> str:
    """The key of a Node object."""
    return f"|Node||{node}"


def may_touch(world: World, node: str) -> bool:
    """Whether the command is about this node at all."""
    return world.within is None or node in world.within


def identity(world: World, node: str) -> dict[str, str]:
    """What can't change while a node is of the cluster; etcd and certificates know it by this."""
    if node in world.voters:
        return {"node": node, "role": "control-plane", "address": world.wanted[node]}
    return {"node": node, "role": "worker"}


def about(step: Step) -> frozenset[str]:
    """The nodes a step is about."""
    if isinstance(step, Apply):
        prefix = node_key("")
        return frozenset(key.removeprefix(prefix) for key in step.drop if key.startswith(prefix))
    return frozenset({step.node})


def about_all(wave: Iterable[Step]) -> frozenset[str]:
    """The nodes a wave is about."""
    return frozenset().union(*map(about, wave))


def founders(world: World) -> frozenset[str]:
    """Who founded, by the births in the records, or who is about to, when nobody ever did."""
    names = frozenset().union(*(birth.names for birth in births(world)))
    return names or (frozenset() if world.members is None else world.voters - world.leaving)


def founding(world: World) -> bool:
    """Whether etcd has never answered yet."""
    return not world.members and not any(birth.answered for birth in births(world))


def born(world: World, node: str) -> Birth:
    """A node's birth: as recorded while that counts, else the one it founds with, or joins with."""
    facts, members = world.facts[node], world.members
    recorded = facts.record.birth
    if not members:
        names = sorted(founders(world))
        return recorded or Birth(tuple((name, address_of(world, name)) for name in names), "new")
    listed = members.get(node)
    if listed and listed.votes and not listed.started:  # a founder that has not come up yet
        recorded = recorded or next((b for b in births(world) if b.state == "new" and node in b.names), None)
    elif not listed or listed.id != facts.etcd:
        recorded = None
    names = sorted({*members, node})
    return recorded or Birth(tuple((name, address_of(world, name)) for name in names), "existing")


def births(world: World) -> list[Birth]:
    """Every recorded birth of the nodes that answered."""
    return [facts.record.birth for facts in world.facts.values() if facts.record.birth]


def address_of(world: World, node: str) -> str:
    """Where a member is reached by its peers: as etcd lists it, else as the file or a birth says."""
    if world.members and node in world.members and world.members[node].address:
        return world.members[node].address
    known = (address for birth in births(world) for name, address in birth.members if name == node)
    return world.wanted.get(node) or next(known, "")


def up(world: World, node: str) -> bool:
    """Whether a node's etcd member serves."""
    facts, listed = world.facts.get(node), (world.members or {}).get(node)
    if facts is None or not facts.healthy or "etcd" not in facts.running:
        return False
    return not world.members or (listed is not None and listed.id == facts.etcd)


def keeps_quorum(world: World, node: str, *, removed: bool = False) -> bool:
    """Whether the other healthy voters are a quorum of the list afterwards; one or two voters can only pause."""
    members = world.members
    voters = {n for n, m in members.items() if m.votes} if members else founders(world)
    others, size = sum(up(world, n) for n in voters if n != node), len(voters) - removed
    return node not in voters or others > size // 2 or (not removed and size < 3 and others == size - 1)
