"""Brings the images that nodes need into their runtimes, before a kubelet asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from bootstrap import images
from bootstrap.errors import Code, Problem
from bootstrap.hosts import Event, Hosts


def pull(hosts: Hosts, names: Iterable[str]) -> dict[str, Problem]:
    """On all of these nodes at once; who lacks something afterwards, and why."""
    asked = list(names)
    hosts.observe(asked)
    told = zip(asked, hosts.pool.map(partial(_pull, hosts), asked), strict=True)
    return {name: problem for name, problem in told if problem}


def _pull(hosts: Hosts, name: str) -> Problem | None:
    if name not in hosts.known:
        return hosts.unreachable[name]
    wanted, runtime = images.needed(hosts.cluster, hosts.nodes[name]), hosts.known[name].machine.runtime
    if not runtime:
        return Problem(f"{name} has no container runtime", next="bootstrap preflight", code=Code.REFUSED)
    done, failed = 0, []
    try:
        for image, what, why in hosts[name].pull(runtime, wanted):
            if what == "failed":
                failed.append(f"{image}: {why}")
            else:
                done += 1
                words = "is there already" if what == "there" else "pulled"
                hosts.report(Event(name, f"{image} {words} ({done} of {len(wanted)})"))
    except Problem as problem:
        return problem
    if failed or done < len(wanted):
        return Problem(
            f"{name} lacks {len(wanted) - done} of {len(wanted)} images",
            why="\n".join(failed),
            next="bootstrap preflight says whether the registry answers there; "
            "correct imageRepository in cluster.yaml, or import the images",
            code=Code.SOME_FAILED,
        )
    return None
