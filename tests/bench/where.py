"""Where the seconds of a command go: its own steps and what happens on the node meanwhile, on one clock.

`python -m tests.bench.where SPANS COMMAND…` is the command line with a stopwatch around its steps.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

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
MAIN = threading.main_thread().name
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
    spans = here.directory / "spans.jsonl"
    began = time.time()
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.where", str(spans), *words, "-f", str(here.file)],
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
    steps = [Moment(**json.loads(line)) for line in spans.read_text().splitlines()]
    first = min(step.at for step in steps)
    moments = [
        Moment(began, "bootstrap", "Python starts, everything is imported", first - began),
        *told,
        *steps,
        *happened(lab.node("cp1"), began),
        Moment(ended, "bootstrap", "ends", ended - began),
    ]
    return "\n".join(_lines(sorted(moments, key=lambda moment: (moment.at, -(moment.took or 0))), began))


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


def traced(spans: Path, arguments: list[str]) -> None:
    """Runs the command line; every call of a step is a line of `spans`."""
    import bootstrap.cli.changing
    from bootstrap import credentials, health, hosts, kube, ssh, steps, workflow
    from bootstrap.cli import main

    with spans.open("w", buffering=1) as out:
        lock = threading.Lock()

        def around(whole: Callable[..., Any], title: str) -> Callable[..., Any]:
            @wraps(whole)
            def step(*words: Any, **options: Any) -> Any:
                at, began = time.time(), time.monotonic()
                try:
                    return whole(*words, **options)
                finally:
                    took = time.monotonic() - began
                    with lock:
                        thread = threading.current_thread().name
                        line = {"at": at, "who": "bootstrap", "what": title, "took": took, "thread": thread}
                        out.write(json.dumps(line) + "\n")

            return step

        for owner, name, title in (
            (bootstrap.cli.changing, "change", "the whole command"),
            (workflow.Session, "world", "looks at everything"),
            (ssh, "connect", "connects"),
            (ssh.Host, "observe", "asks a node for its facts"),
            (hosts.Hosts, "_members", "asks etcd for its members"),
            (credentials, "issue", "issues credentials"),
            (workflow.Session, "plan", "plans"),
            (ssh.Host, "turn", "takes the turn: pushes, swaps, starts the kubelet"),
            (health, "wait", "waits until all is healthy"),
            (health, "answers", "probes"),
            (ssh.Host, "settle", "settles"),
            (steps, "registered", "waits until the node is registered"),
            (kube.Kube, "put", "puts objects"),
            (kube.Kube, "note", "notes which objects are ours"),
            (kube.Kube, "seen", "compares objects"),
            (hosts.Hosts, "close", "closes connections"),
        ):
            setattr(owner, name, around(getattr(owner, name), title))
        sys.argv = ["bootstrap", *arguments]
        main()


if __name__ == "__main__":
    traced(Path(sys.argv[1]), sys.argv[2:])
