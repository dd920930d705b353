"""The table of contents of the program: what must be true of a cluster, phase by phase."""

from __future__ import annotations

from bootstrap.phases import (
    addons,
    certificates,
    control_plane,
    etcd,
    kubeconfigs,
    kubelet,
    objects,
    static_pods,
)
from bootstrap.phases.phase import Phase, Setting, no_objects

PHASES = (
    Phase("certificates", "what proves who is who, on every node that needs it", certificates.files),
    Phase("kubeconfigs", "how components and people reach the API", kubeconfigs.files),
    Phase("kubelet", "the kubelet, its unit, the kernel's settings and the pod network", kubelet.files),
    Phase("etcd", "one member on each control-plane node", etcd.files),
    Phase("control-plane", "API server, controller-manager, the schedulers", control_plane.files),
    Phase("static-pods", "the static pods of your own", static_pods.files),
    Phase("objects", "roles, labels, kubeadm's ConfigMaps, what kubeadm join needs", objects=objects.objects),
    Phase("add-ons", "CoreDNS, kube-proxy, the manifests of your own", objects=addons.objects),
)
OPTIONAL = frozenset({"static-pods", "objects", "add-ons"})  # a node comes up without

__all__ = ["OPTIONAL", "PHASES", "Phase", "Setting", "no_objects"]
