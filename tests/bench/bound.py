"""The lower bound: everything lies on a fresh node's disk, its kubelet starts, and how soon all is healthy.

No tool that leaves the work to the kubelet can be faster. The files are those that `bootstrap init` put on the same
node before it was made anew.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import record, root
from tests.lab import Lab, Node
from tests.lab.programs import run

# Each is asked until it answers, then the next: what comes later can't be healthy before what it depends on.
SCRIPT = """
moment() { # WHAT URL [OPTION OF CURL]
    until curl -sk ${3:+"$3"} --max-time 2 -o /dev/null "$2"; do sleep 0.05; done
    printf '"%s": %d,\\n' "$1" $(($(date +%s%N) - began))
}
began=$(date +%s%N)
systemctl start --no-block kubelet
echo '{'
moment kubelet http://127.0.0.1:10248/healthz -f
moment etcd http://127.0.0.1:2381/readyz -f
moment serving https://127.0.0.1:6443/livez
moment ready https://127.0.0.1:6443/readyz -f
moment controller-manager https://127.0.0.1:10257/healthz -f
moment scheduler https://127.0.0.1:10259/livez -f
printf '"healthy": %d}\\n' $(($(date +%s%N) - began))
"""


@dataclass(frozen=True, slots=True)
class Moments:
    """When each answered, in seconds since the kubelet was started; `healthy` is the end."""

    after: dict[str, float]

    @property
    def healthy(self) -> float:
        """When all had answered."""
        return self.after["healthy"]

    def __str__(self) -> str:
        """In the order in which they were asked."""
        return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.after.items())


def take(node: Node, into: Path) -> None:
    """Keep what `bootstrap init` put on this node, as a tar."""
    listed = "".join(f".{path}\n" for path in sorted(record(node)["files"]))
    run(["tar", "-C", root(node), "-cf", into, "-T", "-"], stdin=listed)


def lay(node: Node, kept: Path) -> None:
    """Put it on the fresh node, up to the moment before the kubelet starts."""
    node.exec("systemctl", "stop", "kubelet")
    run(["tar", "-C", root(node), "-xpf", kept])
    node.shell("""
        mkdir -p -m 700 /var/lib/etcd
        modprobe br_netfilter 2>/dev/null || true
        sysctl -q -p /etc/sysctl.d/99-bootstrap.conf || true
        systemctl daemon-reload
        systemctl reset-failed kubelet
    """)


def measure(lab: Lab, names: list[str]) -> Moments:
    """Start the kubelets of these nodes together; the moments of the one that was last."""
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(lambda name: _start(lab.node(name)), names))
    return max(found, key=lambda moments: moments.healthy)


def _start(node: Node) -> Moments:
    told: dict[str, int] = json.loads(node.exec("timeout", "200", "sh", "-s", stdin=SCRIPT))
    return Moments({name: nanoseconds / 1e9 for name, nanoseconds in told.items()})
