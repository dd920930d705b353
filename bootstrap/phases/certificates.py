"""Certificates and keys: kubeadm's, and the kubelet's own; no authority's key among them."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap import credentials
from bootstrap.phases.phase import Setting
from bootstrap.spec.model import Node
from bootstrap.world import File


def files(setting: Setting, node: Node) -> Iterator[File]:
    """Every credential of the node that is no kubeconfig."""
    every = credentials.files(setting.cluster, setting.credentials, node)
    return (file for file in every if not file.path.endswith(".conf"))
