"""Kubeconfigs: who reaches the API, and through which server."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap import credentials
from bootstrap.phases.phase import Setting
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Every kubeconfig of the node."""
    every = credentials.files(setting.cluster, setting.credentials, node)
    return (file for file in every if file.path.endswith(".conf"))
