"""What a static pod may not refer to: the kubelet starts it before it can ask the API for anything.

Since 1.34 the kubelet refuses such a pod, as HasAPIObjectReference decides:
https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/api/pod/util.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bootstrap.spec.faults import dotted
from bootstrap.spec.place import Place

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_OF_SPEC: Mapping[str, str] = MappingProxyType(
    {
        "serviceAccountName": "a ServiceAccount",
        "serviceAccount": "a ServiceAccount",
        "imagePullSecrets": "Secrets",
        "resourceClaims": "ResourceClaims",
        "ephemeralContainers": "ephemeral containers",
    }
)
_OF_VARIABLE: Mapping[str, str] = MappingProxyType(
    {
        "secretKeyRef": "a Secret",
        "configMapKeyRef": "a ConfigMap",
        "secretRef": "a Secret",
        "configMapRef": "a ConfigMap",
    }
)
_OF_VOLUME: Mapping[str, str] = MappingProxyType(
    {
        "secret": "a Secret",
        "configMap": "a ConfigMap",
        "persistentVolumeClaim": "a PersistentVolumeClaim",
        "ephemeral": "a PersistentVolumeClaim",
        "csi": "a CSIDriver",
        "glusterfs": "Endpoints",
        "azureFile": "a Secret",
    }
)
_OF_PROJECTION: Mapping[str, str] = MappingProxyType(
    {
        "secret": "a Secret",
        "configMap": "a ConfigMap",
        "serviceAccountToken": "a ServiceAccount",
        "clusterTrustBundle": "a ClusterTrustBundle",
        "podCertificate": "a signer",
    }
)


def static_pod_problems(pod: Mapping[str, object]) -> list[str]:
    """What keeps this manifest from being a static pod, each as `path: problem`; [] when it can be one."""
    top = Place((), dict(pod))
    kind = (("apiVersion", "v1"), ("kind", "Pod"))
    problems = [f"{name}: must be {right}" for name, right in kind if top[name].value != right]
    if not top["metadata"]["name"].text:
        problems.append("metadata.name: is missing")
    if not list(top["spec"]["containers"]):
        problems.append("spec.containers: is missing")
    found = _references(top["spec"])
    return problems + [f"{dotted(place.where)}: a static pod can't refer to {what}" for place, what in found]


def _references(spec: Place) -> Iterator[tuple[Place, str]]:
    """Everything in a pod's spec that only the API could tell the kubelet."""
    yield from _named(spec, _OF_SPEC)
    for kind in _CONTAINERS:
        for container in spec[kind]:
            for source in container["envFrom"]:
                yield from _named(source, _OF_VARIABLE)
            for variable in container["env"]:
                yield from _named(variable["valueFrom"], _OF_VARIABLE)
    for volume in spec["volumes"]:
        yield from _named(volume, _OF_VOLUME)
        for source in volume["projected"]["sources"]:
            yield from _named(source, _OF_PROJECTION)
        for driver in volume:  # cephfs, rbd, iscsi, flexVolume, …: each may have the name of a Secret
            if driver.name not in _OF_VOLUME:
                yield from _named(driver, {"secretRef": "a Secret"})


def _named(place: Place, kinds: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
    for name, what in kinds.items():
        if place[name].value not in (None, "", []):  # {} counts: the kubelet looks whether it is there
            yield place[name], what
