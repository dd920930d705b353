"""Where the seconds of a command go: the spans of `--trace`, and what happens on the node meanwhile, on one clock."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bootstrap.errors import Problem
from tests.cluster import Desk, environment
from tests.lab import Lab, Node

# On the node: the first line of whose log that matches says that it has got so far.
LOGS = (
    ("turn", r"Started bootstrap-turn", "its unit starts"),
    ("turn", r"bootstrap-turn.service: Deactivated", "ends"),
    ("kubelet", r"Stopped kubelet", "is stopped"),
    ("kubelet", r"systemd.*Started kubelet", "its process starts"),
    ("kubelet", r"Starting to sync pod status|Starting kubelet main sync loop", "takes pods"),
    ("kubelet", r"Attempting to register node", "tries to register the node"),
    ("kubelet", r"Successfully registered node", "has registered the node"),
    ("etcd", r".", "its program starts"),
    ("etcd", r"ready to serve client requests", "serves"),
    ("kube-apiserver", r".", "its program starts"),
    ("kube-apiserver", r"Serving securely", "serves"),
    ("kube-apiserver", r"all system priority classes", "has its priority classes, begins with its roles"),
    ("kube-apiserver", r"evaluator for: rolebindings", "is through with its roles"),
    ("kube-controller-manager", r".", "its program starts"),
    ("kube-controller-manager", r"successfully acquired lease", "leads"),
    ("kube-scheduler", r".", "its program starts"),
    ("kube-scheduler", r"successfully acquired lease", "leads"),
)
MAIN = "cluster"  # the row of a trace that is of no node
MANY = {"Attempting to register node"}  # every line, not only the first
EVENT = re.compile(r"^ *[\d.]+ s  (\[.*)")


@dataclass(frozen=True, slots=True)
class Moment:
    """At `at` (Unix time) somebody did something, which took so many seconds (None: it only happened)."""

    at: float
    who: str
    what: str
    took: float | None = None
    thread: str = MAIN

    def within(self, other: Moment) -> bool:
        """Whether it is a part of what another did, who may have let several do it at once."""
        if other is self or other.took is None or other.thread not in (MAIN, self.thread):
            return False
        return other.at <= self.at and self.at + (self.took or 0) <= other.at + other.took


def timeline(lab: Lab, here: Desk, *words: str) -> str:
    """One run of `bootstrap`, as a table: when, how long, who, what."""
    trace = here.directory / "trace.json"
    began = time.time()
    running = subprocess.Popen(
        [sys.executable, "-m", "bootstrap", *words, "-f", str(here.file), "--trace", str(trace)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    said = [(time.time(), line) for line in running.stderr]
    if running.wait():
        raise Problem(f"bootstrap {' '.join(words)} failed", why="".join(line for _, line in said))
    ended = time.time()
    told = [Moment(at, "bootstrap", event[1]) for at, line in said if (event := EVENT.match(line))]
    steps = list(_spans(trace))
    first = min(step.at for step in steps)
    moments = [
        Moment(began, "bootstrap", "Python starts, everything is imported", first - began),
        *told,
        *steps,
        *happened(lab.node("cp1"), began),
        Moment(ended, "bootstrap", "ends", ended - began),
    ]
    return "\n".join(_lines(sorted(moments, key=lambda moment: (moment.at, -(moment.took or 0))), began))


def _spans(trace: Path) -> Iterator[Moment]:
    """What the command did, of each row of its trace."""
    events = json.loads(trace.read_text())["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    for event in events:
        if event["ph"] == "X":
            row = rows[event["tid"]]
            thread = MAIN if row == "cluster" else row
            yield Moment(event["ts"] / 1e6, "bootstrap", event["name"], event["dur"] / 1e6, thread)


def _lines(moments: list[Moment], began: float) -> Iterator[str]:
    yield f"{'AT':>7}  {'TOOK':>7}  {'WHO':23}  WHAT"
    steps = [moment for moment in moments if moment.who == "bootstrap"]
    for moment in moments:
        depth = sum(moment.within(step) for step in steps[:-1]) if moment.who == "bootstrap" else 0
        took = f"{moment.took:7.3f}" if moment.took is not None else " " * 7
        yield f"{moment.at - began:7.3f}  {took}  {moment.who:23}  {'  ' * depth}{moment.what}"


def happened(node: Node, since: float) -> Iterator[Moment]:
    """What the logs of the kubelet and of the static pods' containers tell, whose clock is ours."""
    logs: dict[str, list[tuple[float, str]]] = {}
    units = {"turn": "bootstrap-turn", "kubelet": "kubelet"}
    for who, unit in units.items():
        for line in node.exec("journalctl", "-u", unit, "-o", "short-unix", "--no-pager").splitlines():
            if found := re.match(r"(\d+\.\d+) (.*)", line):
                logs.setdefault(who, []).append((float(found[1]), found[2]))
    for part in {who for who, _, _ in LOGS} - units.keys():
        for line in node.shell(f"cat /var/log/pods/kube-system_{part}-*/{part}/*.log").splitlines():
            stamp, _, words = line.partition(" ")
            logs.setdefault(part, []).append((datetime.fromisoformat(_microseconds(stamp)).timestamp(), words))
    for who, pattern, what in LOGS:
        found_at = sorted(at for at, words in logs.get(who, ()) if at > since and re.search(pattern, words))
        for at in found_at if pattern in MANY else found_at[:1]:
            yield Moment(at, who, what)


def _microseconds(stamp: str) -> str:
    """A time with nanoseconds as Python 3.11 reads it."""
    return re.sub(r"(\.\d{6})\d*", r"\1", stamp)
