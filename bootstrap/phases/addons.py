"""CoreDNS, kube-proxy, and the manifests of the user's own."""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap import objects as api
from bootstrap.documents import Object
from bootstrap.phases.phase import Setting


def objects(setting: Setting) -> Iterable[Object]:
    """In order of application."""
    cluster = setting.cluster
    yield from api.dns(cluster)
    yield from api.proxy(cluster)
    yield from api.addons(cluster, cluster.base)
