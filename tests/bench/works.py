"""The pieces of work, each on nodes that are prepared for it, in turn with what they are compared with."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import bound, kubeadm
from tests.bench.stopwatch import Stopwatch, seconds_of
from tests.bench.where import timeline
from tests.cluster import Desk, desk, environment
from tests.lab import Lab
from tests.lab.podman import PODMAN
from tests.lab.progress import say

PROGRAM = Path(sys.executable).with_name("bootstrap")


@dataclass(frozen=True, slots=True)
class Works:
    """Measures on the nodes of one lab; `directory` is for what is thrown away afterwards."""

    lab: Lab
    directory: Path
    watch: Stopwatch

    @property
    def names(self) -> list[str]:
        """The control-plane nodes."""
        return [node.name for node in self.lab.nodes if node.role == "control-plane"]

    def workstation(self, title: str, schedulers: Sequence[str] = ()) -> Desk:
        """A workstation that has founded nothing yet; kube-scheduler alone unless further schedulers are named."""
        here = desk(self.lab, self.directory / f"{title}-{time.monotonic_ns()}")
        here.describe(schedulers=[{"name": name} for name in schedulers])
        return here

    def pair(self) -> None:
        """kubeadm, then ours, then the bound, each on fresh nodes; and on the one that serves what is done to it."""
        asked = self.workstation("asked").tree()
        node = self.lab.node("cp1")
        self.lab.fresh()
        self.watch.measure("podman", lambda: seconds_of([*PODMAN, "exec", node.container, "true"]))
        self.watch.measure("kubeadm", lambda: kubeadm.init(self.lab, asked))
        self.lab.fresh()
        here = self.workstation("pair")
        self.watch.measure("init", lambda: bootstrap(here, "init"))
        self.watch.measure("again", lambda: bootstrap(here, "init"))
        self.watch.measure("plan", lambda: bootstrap(here, "plan"))
        self.watch.measure("help", lambda: bootstrap(here, "--help"))
        kept = self.keep()
        change_flags(here)
        self.watch.measure("change", lambda: bootstrap(here, "apply", "--yes"))
        self.bound("bound", kept)

    def schedulers(self) -> None:
        """Ours with a second scheduler."""
        self.lab.fresh()
        here = self.workstation("schedulers", ["batch-scheduler"])
        self.watch.measure("scheduler", lambda: bootstrap(here, "init"))

    def left(self) -> None:
        """The same change of flags on a node that serves, left to its kubelet."""
        self.lab.fresh()
        here = self.workstation("left")
        bootstrap(here, "init")
        node = self.lab.node("cp1")
        self.watch.measure("left", lambda: float(node.exec("timeout", "400", "sh", "-s", stdin=LEFT)) / 1e9)

    def together(self) -> None:
        """Three nodes behind a load balancer: kubeadm one by one, ours and the bound at once."""
        asked = self.workstation("asked").tree()
        first, *further = self.names

        def one_by_one() -> float:
            took = kubeadm.init(self.lab, asked)
            say(f"kubeadm init of {first}: {took:.1f} s")
            for name in further:
                joined = kubeadm.join(self.lab, name, asked)
                say(f"kubeadm join of {name}: {joined:.1f} s")
                took += joined
            return took

        self.lab.fresh()
        self.watch.measure("ha-kubeadm", one_by_one)
        self.lab.fresh()
        here = self.workstation("together")
        self.watch.measure("ha-init", lambda: bootstrap(here, "init"))
        self.watch.measure("ha-again", lambda: bootstrap(here, "apply", "--yes"))
        self.bound("ha-bound", self.keep())

    def where(self, work: str) -> None:
        """Print where the seconds go, of founding a cluster on one node, of nothing to do, or of a change of flags."""
        self.lab.fresh()
        here = self.workstation("where")
        words = {"init": ["init"], "again": ["init"], "change": ["apply", "--yes"]}[work]
        if work != "init":
            bootstrap(here, "init")
        if work == "change":
            change_flags(here)
        self.watch.quiet()
        print(timeline(self.lab, here, *words))

    def keep(self) -> dict[str, Path]:
        """What `bootstrap init` has put on each node."""
        kept = {name: self.directory / f"{name}.tar" for name in self.names}
        for name, file in kept.items():
            bound.take(self.lab.node(name), file)
        return kept

    def bound(self, row: str, kept: dict[str, Path]) -> None:
        """The lower bound of these nodes, started together."""
        self.lab.fresh()
        for name, file in kept.items():
            bound.lay(self.lab.node(name), file)

        def started() -> float:
            moments = bound.measure(self.lab, list(kept))
            say(f"{row}: {moments}")
            return moments.healthy

        self.watch.measure(row, started)


def bootstrap(here: Desk, *words: str) -> float:
    """Seconds that the whole command takes, from a workstation."""
    return seconds_of([PROGRAM, *words], cwd=here.directory, env=environment())


def change_flags(here: Desk) -> None:
    """cluster.yaml asks for one more flag of the API server, and one of etcd."""
    here.describe(
        apiServer={"extraArgs": [{"name": "max-requests-inflight", "value": "401"}]},
        etcd={"extraArgs": [{"name": "max-txn-ops", "value": "129"}]},
    )


# Manifests are changed beside the directory and renamed into it: whatever else lies in there, the kubelet runs.
LEFT = """
change() { # PART FLAG
    sed "s/^    - $1\\$/&\\\\n    - --$2/" /etc/kubernetes/manifests/$1.yaml >/etc/kubernetes/changed.yaml
    mv /etc/kubernetes/changed.yaml /etc/kubernetes/manifests/$1.yaml
}
runs() { # FLAG URL
    until grep -qsz -e "^--$1\\$" /proc/[0-9]*/cmdline; do sleep 0.1; done
    until curl -skf --max-time 2 -o /dev/null "$2"; do sleep 0.1; done
}
began=$(date +%s%N)
change etcd max-txn-ops=129
change kube-apiserver max-requests-inflight=401
runs max-txn-ops=129 http://127.0.0.1:2381/readyz
runs max-requests-inflight=401 https://127.0.0.1:6443/readyz
echo $(($(date +%s%N) - began))
"""
