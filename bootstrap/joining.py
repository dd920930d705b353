"""The objects that let a machine join by `kubeadm join`: what it asks before it is known, and what a token may do."""

from __future__ import annotations

from base64 import b64encode

from bootstrap import documents
from bootstrap.documents import Object
from bootstrap.objects import JOINING, SYSTEM, binding, ours, role
from bootstrap.spec.model import Cluster

PUBLIC, INFO = "kube-public", "cluster-info"
KEY = f"|ConfigMap|{PUBLIC}|{INFO}"  # stands for all of them
_RBAC = "rbac.authorization.k8s.io"
_SIGNS = "system:certificates.k8s.io:certificatesigningrequests"


def objects(cluster: Cluster, authority: bytes) -> tuple[Object, ...]:
    """Nothing unless the file says `kubeadmJoin`; `authority` is the certificate of the API servers' own, as PEM.

    The same names and rights as kubeadm's.
    """
    if not cluster.kubeadm_join:
        return ()
    clusterinfo, reader = "kubeadm:bootstrap-signer-clusterinfo", "kubeadm:get-nodes"
    nodes = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
    proxy = () if cluster.proxy.disabled else _proxy()
    return (
        # What anybody may read: the controller-manager signs it with every token, beside the kubeconfig.
        ours("v1", "ConfigMap", INFO, PUBLIC) | {"data": {"kubeconfig": _kubeconfig(cluster, authority)}},
        role(clusterinfo, "", "configmaps", INFO, ["get"], namespace=PUBLIC),
        binding(clusterinfo, "Role", clusterinfo, "User", "system:anonymous", namespace=PUBLIC),
        # A token may look whether its node's name is free, and ask for a kubelet's certificate, which it gets.
        ours(f"{_RBAC}/v1", "ClusterRole", reader, "") | {"rules": [nodes]},
        binding(reader, "ClusterRole", reader, "Group", JOINING),
        binding("kubeadm:kubelet-bootstrap", "ClusterRole", "system:node-bootstrapper", "Group", JOINING),
        binding("kubeadm:node-autoapprove-bootstrap", "ClusterRole", f"{_SIGNS}:nodeclient", "Group", JOINING),
        binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            "ClusterRole",
            f"{_SIGNS}:selfnodeclient",
            "Group",
            "system:nodes",
        ),
        *proxy,
    )


def _proxy() -> tuple[Object, ...]:
    name = "kube-proxy"
    return (
        role(name, "", "configmaps", name, ["get"]),
        binding(name, "Role", name, "Group", JOINING, namespace=SYSTEM),
    )


def _kubeconfig(cluster: Cluster, authority: bytes) -> str:
    """Where the API is, and how to know it: one cluster without a name, and nobody who asks."""
    server = {"server": cluster.public_url, "certificate-authority-data": b64encode(authority).decode()}
    return documents.dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "", "cluster": server}],
            "contexts": [],
            "current-context": "",
            "users": [],
        }
    )
