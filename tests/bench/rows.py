"""What is measured, against what, and how it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """The most a row's median may be: times the median of the row `of`, or seconds where that is ""."""

    most: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work; `beside` are the rows it is compared with where there is no goal."""

    name: str
    title: str
    goals: tuple[Goal, ...] = ()
    beside: tuple[str, ...] = ()


ROWS = (
    Row("podman", "podman exec of nothing, part of kubeadm's figures"),
    Row("kubeadm", "kubeadm init"),
    Row("bound", "lower bound: all on disk, kubelet start to healthy"),
    Row("init", "bootstrap init", (Goal(1.0, "kubeadm"), Goal(1.2, "bound"))),
    Row("scheduler", "bootstrap init, two schedulers", beside=("kubeadm", "bound")),
    Row("again", "bootstrap init again, nothing to do", (Goal(1.0),)),
    Row("plan", "bootstrap plan, nothing to do", (Goal(1.0),)),
    Row("help", "bootstrap --help", (Goal(0.1),)),
    Row("left", "flags of API server and etcd, left to the kubelet"),
    Row("change", "bootstrap apply: flags of API server and etcd", (Goal(8.0),), ("left",)),
    Row("ha-kubeadm", "three nodes: kubeadm init, two joins"),
    Row("ha-bound", "three nodes: lower bound"),
    Row("push-install", "20 files to 128 sshds: Fabric's put and run, file by file"),
    Row("push-put", "20 files to 128 sshds: Fabric's put, file by file"),
    Row("push", "20 files to 128 sshds: ours", beside=("push-install", "push-put")),
    Row("pushed-install", "the same, connections open: Fabric's put and run"),
    Row("pushed-put", "the same, connections open: Fabric's put"),
    Row("pushed", "the same, connections open: ours", (Goal(0.1, "pushed-install"),), ("pushed-put",)),
    Row("thousand", "1,000 nodes rendered and planned", (Goal(5.0),)),
    Row("ha-again", "three nodes: bootstrap apply, nothing to do", (Goal(1.0),)),
    Row("ha-init", "three nodes: bootstrap init", (Goal(0.3, "ha-kubeadm"), Goal(1.25, "ha-bound"))),
)
HEAD = ("WORK", "N", "MIN", "MEDIAN", "MAX", "RATIO", "GOAL", "")


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds that a piece of work took, and the machine's load average when it began."""

    seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Every sample of a run, by the name of its row."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, name: str, sample: Sample) -> None:
        """One more."""
        self.samples.setdefault(name, []).append(sample)

    def seconds(self, name: str) -> list[float]:
        """Those of a row, in the order in which they were measured."""
        return [sample.seconds for sample in self.samples.get(name, ())]

    def rows(self) -> list[Row]:
        """Those that were measured."""
        return [row for row in ROWS if row.name in self.samples]

    def verdicts(self, row: Row) -> Iterator[tuple[float, str, Goal | None]]:
        """A median's ratios, to what, and the goal that is set for each; the goal in seconds has no "to what"."""
        median = statistics.median(self.seconds(row.name))
        for goal in row.goals:
            if not goal.of:
                yield median, "", goal
            elif goal.of in self.samples:
                yield median / statistics.median(self.seconds(goal.of)), goal.of, goal
        for other in row.beside:
            if other in self.samples:
                yield median / statistics.median(self.seconds(other)), other, None


def tree(figures: Figures) -> list[dict[str, Any]]:
    """The figures for programs: seconds, rounded to milliseconds."""
    return [
        {
            "name": row.name,
            "title": row.title,
            "samples": [
                {"seconds": round(sample.seconds, 3), "load": round(sample.load, 2)}
                for sample in figures.samples[row.name]
            ],
            "min": round(min(figures.seconds(row.name)), 3),
            "median": round(statistics.median(figures.seconds(row.name)), 3),
            "max": round(max(figures.seconds(row.name)), 3),
            "compared": [
                {"with": to or "seconds", "value": round(value, 3)}
                | ({"goal": goal.most, "met": value <= goal.most} if goal else {})
                for value, to, goal in figures.verdicts(row)
            ],
        }
        for row in figures.rows()
    ]


def table(figures: Figures) -> str:
    """The figures for people: seconds; a further line for every further comparison."""
    lines: list[tuple[str, ...]] = [HEAD]
    for row in figures.rows():
        seconds = figures.seconds(row.name)
        shown = [f"{value:.2f}" for value in (min(seconds), statistics.median(seconds), max(seconds))]
        first = (row.title, str(len(seconds)), *shown)
        for value, to, goal in list(figures.verdicts(row)) or [(0.0, "", None)]:
            ratio = f"{value:.2f} x {to}" if to else ""
            unit = f"x {goal.of}" if goal and goal.of else "s"
            words = (f"<= {goal.most:g} {unit}", "met" if value <= goal.most else "missed") if goal else ("", "")
            lines.append((*first, ratio, *words))
            first = ("",) * 5
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 1 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
