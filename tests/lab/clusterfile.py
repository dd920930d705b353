"""The only module that writes the lab's cluster.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.lab.node import Node

DRIVERS = {1: "cgroupfs", 2: "systemd"}  # containerd's major version -> the cgroup driver it is set up with


def text(name: str, version: str, nodes: Iterable[Node], *, identity: Path, containerd: int, endpoint: str = "") -> str:
    """cluster.yaml for these nodes, with their host keys pinned; `endpoint` ("10.77.0.10:6443") where there is one."""
    tree: dict[str, Any] = {
        "apiVersion": "bootstrap/v1",
        "kind": "Cluster",
        "name": name,
        "kubernetesVersion": version,
        **({"endpoint": endpoint} if endpoint else {}),
        "networking": {
            "podSubnet": "10.244.0.0/16",
            "serviceSubnet": "10.96.0.0/12",
            "dnsDomain": "cluster.local",
            "plugin": "bridge",
        },
        "ssh": {"user": "root", "identityFile": str(identity)},
        "nodes": [
            {"name": node.name, "address": node.address, "role": node.role, "ssh": {"hostKey": node.host_key}}
            for node in nodes
        ],
        "schedulers": [{"name": "batch-scheduler"}],
        # What a kubelet needs in a container: cgroups of version 1 may be all there is, its own score in the
        # out-of-memory ranking can't be lowered, and swap is the machine's.
        "kubelet": {
            "cgroupDriver": DRIVERS[containerd],
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
        },
        # The sysctls of connection tracking belong to the machine, and can't be written from a node.
        "proxy": {
            "config": {
                "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            },
        },
    }
    return yaml.safe_dump(tree, sort_keys=False, width=1000)
