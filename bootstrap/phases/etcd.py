"""One etcd member on each control-plane node, born once."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.phases.phase import Setting
from bootstrap.phases.place import static_pods
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Its manifest."""
    return static_pods(setting, node, lambda component: component == "etcd")
