"""What a check is: a row that judges what is known of a node, and what it found there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bootstrap import kubelet
from bootstrap.spec.model import Cluster, Node
from bootstrap.survey import Survey
from bootstrap.world import Facts

Words = Mapping[str, str]  # what a finding's sentence, next step and name are completed with


class Level(StrEnum):
    """Whether a finding stops what was asked for."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Seen:
    """What preflight judges: facts of every node that answered, surveys of those that were looked at closely."""

    facts: Mapping[str, Facts]
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    uid: str = ""  # of the cluster whose keys are here; "": there is none yet
    authority: str = ""  # SHA-256 of its ca.crt


NOT_LOOKED_AT = Survey()


@dataclass(frozen=True, slots=True)
class Ground:
    """All that a row may depend on: one node of the file, and all that was seen."""

    cluster: Cluster
    node: Node
    seen: Seen

    @property
    def facts(self) -> Facts:
        """What the node told."""
        return self.seen.facts[self.node.name]

    @property
    def survey(self) -> Survey:
        """What its machine is like; only rows that say so look at it."""
        return self.seen.surveys.get(self.node.name, NOT_LOOKED_AT)

    @property
    def new(self) -> bool:
        """Whether nothing of ours is there."""
        return not self.facts.record.files

    def setting(self, name: str, flag: str = "") -> object:
        """A field of the kubelet's configuration, which a flag of the node's own unit may say; None: by its default."""
        decided = {**self.cluster.kubelet, **self.node.kubelet}
        if name not in decided:
            for word in reversed(self.facts.machine.kubelet_flags):
                if word.partition("=")[0] == flag:
                    return {"true": True, "false": False}.get(word.partition("=")[2], word.partition("=")[2])
        return kubelet.config(self.cluster, self.node, self.facts.machine).get(name)


@dataclass(frozen=True, slots=True)
class Check:
    """`ask` yields the words of every finding; `name`, `sentence` and `next` are completed with them and {node}."""

    name: str  # kubeadm's, where it has the check
    level: Level
    sentence: str
    next: str
    ask: Callable[[Ground], Iterable[Words]]
    surveyed: bool = True  # it needs a Survey; else Facts are enough, and it is asked of every node in every run

    @property
    def pattern(self) -> re.Pattern[str]:
        """What its findings are called."""
        fixed = (re.escape(part) for part in re.split(r"\{\w+\}", self.name))
        return re.compile(".+".join(fixed), re.IGNORECASE)

    @property
    def family(self) -> str:
        """The name less what changes from finding to finding."""
        return self.name.partition("-{")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it has to be. `ignored`: it is an error that somebody asked to go on with."""

    node: str
    name: str
    level: Level
    sentence: str
    next: str
    ignored: bool = False

    @property
    def stops(self) -> bool:
        """Whether nothing may be done before it is mended."""
        return self.level is Level.ERROR and not self.ignored


def found(check: Check, ground: Ground, ignored: frozenset[str]) -> Iterator[Finding]:
    """What this row finds there; a name that is ignored stands for every finding whose name begins with it too."""
    for given in check.ask(ground):
        words = {"node": ground.node.name, **given}
        name = check.name.format(**words)
        parts = name.lower().split("-")
        names = {"all", *("-".join(parts[:count]) for count in range(1, len(parts) + 1))}
        yield Finding(
            node=ground.node.name,
            name=name,
            level=check.level,
            sentence=check.sentence.format(**words),
            next=check.next.format(**words),
            ignored=check.level is Level.ERROR and bool(names & ignored),
        )


def dashed(path: str) -> str:
    """A path in the name of a finding, as kubeadm writes it."""
    return path.replace("/", "-")
