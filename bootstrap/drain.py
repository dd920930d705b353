"""Empties a node of the pods that others could run: cordoned, then evicted, so that budgets are respected."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bootstrap.errors import Problem
from bootstrap.kube import Kube

Say = Callable[[str], None]


def drain(kube: Kube, node: str, *, seconds: float, alive: bool, say: Say) -> None:
    """Returns once nothing is left to evict; a node that is not `alive` is only cordoned: nobody there can stop a pod.

    Problem when a budget, or a pod that does not end, holds it up for so long.
    """
    if not kube.cordon(node):
        return  # never registered, or gone already
    say("cordoned")
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


def evictable(pod: Mapping[str, Any]) -> bool:
    """Whether it has to go: not a static pod's mirror, not a DaemonSet's, not one that is through."""
    metadata = pod["metadata"]
    mirror = "kubernetes.io/config.mirror" in metadata.get("annotations", {})
    daemon = any(owner["kind"] == "DaemonSet" for owner in metadata.get("ownerReferences", ()))
    return not mirror and not daemon and pod["status"].get("phase") not in ("Succeeded", "Failed")


def ending(pod: Mapping[str, Any]) -> bool:
    """Whether it has been told to end."""
    return "deletionTimestamp" in pod["metadata"]
