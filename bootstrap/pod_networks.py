"""Which node has which network for its pods: allotted here, kept in the records."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster
from bootstrap.world import Facts


def pod_networks(cluster: Cluster, facts: Mapping[str, Facts], kept: AbstractSet[str] | None = None) -> dict[str, str]:
    """node -> pod CIDR: the union over the records, and the lowest free one for who has none.

    It is free again once its node was removed: it is neither in the file nor among `kept` (None: nobody can tell).
    """
    if cluster.networking.plugin != "bridge":
        return {}
    named = {node.name for node in cluster.nodes}
    known = {
        node: cidr
        for told in facts.values()
        for node, cidr in told.record.pods.items()
        if kept is None or node in named or node in kept
    }
    subnet = ipaddress.ip_network(cluster.networking.pod_subnet)
    taken = set(known.values())
    every = (str(part) for part in subnet.subnets(new_prefix=24 if subnet.version == 4 else 64))
    free = (cidr for cidr in every if cidr not in taken)
    new = [node.name for node in cluster.nodes if node.name not in known]
    allotted = dict(zip(new, free, strict=False))
    if len(allotted) < len(new):
        raise Problem(
            f"{subnet} has no pod network left for {', '.join(new[len(allotted) :])}",
            why=f"the records of the nodes have {len(taken)} allotted, those of nodes that were not removed among them",
            next="bootstrap remove NODE, for each that is gone for good",
            code=Code.REFUSED,
        )
    known |= allotted
    return dict(sorted(known.items()))
