"""API server, controller-manager and the schedulers, on each control-plane node."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.phases.phase import Setting
from bootstrap.phases.place import static_pods
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Their manifests, and what they read."""
    return static_pods(setting, node, lambda component: component != "etcd")
