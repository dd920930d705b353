"""What the API should hold: roles, labels of registered nodes, kubeadm's ConfigMaps, what `kubeadm join` needs."""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap import credentials, joining, kubelet
from bootstrap import objects as api
from bootstrap.documents import Object
from bootstrap.phases.phase import Setting


def objects(setting: Setting) -> Iterable[Object]:
    """In order of application; a node that is not registered yet is marked by the next run."""
    cluster = setting.cluster
    yield from api.rbac(cluster)
    yield from api.schedulers(cluster)
    yield from api.configs(cluster, kubelet.shared(cluster))
    yield from joining.objects(cluster, credentials.authority(setting.credentials))
    yield from (mark for mark in api.marks(cluster) if mark["metadata"]["name"] in setting.world.nodes)
