"""The kubelet: it alone runs, restarts and removes static pods."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap import kubelet
from bootstrap.phases.phase import Setting
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Its configuration and unit, the kernel's settings, the bridge network."""
    machine = setting.world.facts[node.name].machine
    return kubelet.files(setting.cluster, node, machine, setting.world.pods)
