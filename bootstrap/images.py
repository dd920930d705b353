"""Which image is which: kubeadm's names and tags, from the repository the file says."""

from __future__ import annotations

from bootstrap.spec.model import Cluster, Node

UPSTREAM = "registry.k8s.io"


def kubernetes(cluster: Cluster, name: str) -> str:
    """The image of one of Kubernetes' own programs ("kube-apiserver", "kube-proxy")."""
    return f"{cluster.image_repository}/{name}:{cluster.kubernetes_version}"


def etcd(cluster: Cluster) -> str:
    """The image of etcd; its tag carries the revision of the packaging, which has always been 0 so far."""
    return f"{cluster.image_repository}/etcd:{cluster.release.etcd}-0"


def coredns(cluster: Cluster) -> str:
    """The image of CoreDNS. Upstream it lies one level deeper; mirrors are flat, and kubeadm expects that.

    https://github.com/kubernetes/kubernetes/blob/v1.37.2/cmd/kubeadm/app/images/images.go (GetDNSImage)
    """
    repository = cluster.image_repository
    deeper = "/coredns" if repository == UPSTREAM else ""
    return f"{repository}{deeper}/coredns:{cluster.release.coredns}"


def pause(cluster: Cluster) -> str:
    """The image that holds a pod's namespaces; the runtime pulls it, by its own configuration."""
    return f"{cluster.image_repository}/pause:{cluster.release.pause}"


def needed(cluster: Cluster, node: Node | None = None) -> tuple[str, ...]:
    """Every image a control-plane node needs, as `kubeadm config images list` has them; or this node.

    Images of the user's own pods are not among them.
    """
    control_plane = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    leads = node is None or node.control_plane
    return (
        *(kubernetes(cluster, name) for name in control_plane if leads),
        *(() if cluster.proxy.disabled else (kubernetes(cluster, "kube-proxy"),)),
        *(() if cluster.dns.disabled else (coredns(cluster),)),
        pause(cluster),
        *((etcd(cluster),) if leads else ()),
    )
