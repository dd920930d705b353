"""What goes before and after a node: its pods are evicted, as budgets allow; nobody is led to its API server then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bootstrap.errors import Problem
from bootstrap.kube import Kube

EXPIRES = 30.0  # seconds; an API server's lease is 15, and the others look every 10

Say = Callable[[str], None]


def drain(kube: Kube, node: str, *, seconds: float, reached: bool, say: Say) -> None:
    """Returns once nothing is left to evict; who neither is `reached` nor ready is only cordoned: no pod ends there.

    Problem when a budget, or a pod that does not end, holds it up for so long.
    """
    found = kube.cordon(node)
    if found is None:
        return  # never registered, or gone already
    say("cordoned")
    alive = reached or ready(found)
    deadline = time.monotonic() + seconds
    told = -1
    while alive and (left := [pod for pod in kube.pods(node) if evictable(pod)]):
        if len(left) != told:
            told = len(left)
            say(f"{told} pods to evict")
        refused = [why for pod in left if not ending(pod) and (why := kube.evict(pod))]
        if time.monotonic() > deadline:
            names = ", ".join(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in left)
            raise Problem(
                f"{node} is cordoned, but not empty after {seconds:.0f} s: {names}",
                why=refused[0] if refused else "they were told to end, and run on",
                next=f"kubectl get pods -A --field-selector spec.nodeName={node}; then run the same command again",
            )
        time.sleep(0.5)


def unlisted(kube: Kube, address: str, *, expire: Callable[[], None], stopped: Callable[[], bool], say: Say) -> None:
    """Returns once the Service `kubernetes` does not lead to the API server that was at this address.

    The others take it off the list when its lease of 15 s has ended; what still stands there after EXPIRES seconds has
    `expire` called on it, and after as many again people are told.
    """
    began, told = time.monotonic(), False
    while address in kube.servers() and not stopped():
        waited = time.monotonic() - began
        if waited > 2 * EXPIRES:
            say(f"the Service kubernetes still leads to {address}: kubectl get endpointslices kubernetes")
            return
        if waited > EXPIRES and not told:
            expire()
            told = True
        time.sleep(0.5)


def ready(node: Mapping[str, Any]) -> bool:
    """Whether the API takes a node for alive and well."""
    conditions = node["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def evictable(pod: Mapping[str, Any]) -> bool:
    """Whether it has to go: not a static pod's mirror, not a DaemonSet's, not one that is through."""
    metadata = pod["metadata"]
    mirror = "kubernetes.io/config.mirror" in metadata.get("annotations", {})
    daemon = any(owner["kind"] == "DaemonSet" for owner in metadata.get("ownerReferences", ()))
    return not mirror and not daemon and pod["status"].get("phase") not in ("Succeeded", "Failed")


def ending(pod: Mapping[str, Any]) -> bool:
    """Whether it has been told to end."""
    return "deletionTimestamp" in pod["metadata"]
