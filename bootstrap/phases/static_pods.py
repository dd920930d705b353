"""The user's own static pods: the kubelet runs, replaces and removes them, with their hooks and grace periods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bootstrap.phases.phase import Setting
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Their manifests, byte for byte; no part of ours restarts for them."""
    manifests = setting.world.facts[node.name].machine.manifests
    for pod in setting.cluster.static_pods:
        if not pod.nodes or node.name in pod.nodes:
            path = setting.cluster.base / pod.file
            yield File(f"{manifests}/{Path(pod.file).name}", path.read_bytes(), secret=False)
