"""The yardstick: kubeadm on a lab's nodes, asked for the cluster that cluster.yaml describes."""

from __future__ import annotations

from typing import Any

import yaml

from tests.bench.stopwatch import seconds_of
from tests.lab import Lab, Node
from tests.lab.podman import PODMAN

IGNORED = "--ignore-preflight-errors=SystemVerification,Mem,NumCPU"  # what a container can't show
CONFIG = "/root/kubeadm.yaml"
TOKEN = "abcdef.0123456789abcdef"
CERTIFICATE_KEY = "0123456789abcdef" * 4


def init(lab: Lab, asked: dict[str, Any]) -> float:
    """Seconds that `kubeadm init` takes on the first node; `asked` is cluster.yaml."""
    node = lab.node("cp1")
    together = "lb" in lab.addresses
    prepare(node, _founding(node, asked, together=together), _cluster(asked), _kubelet(asked), _proxy(asked))
    upload = ("--upload-certs",) if together else ()
    return seconds_of([*command(node), "init", "--config", CONFIG, IGNORED, *upload])


def join(lab: Lab, name: str, asked: dict[str, Any]) -> float:
    """Seconds that `kubeadm join --control-plane` takes on a further node."""
    node = lab.node(name)
    prepare(
        node,
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "JoinConfiguration",
            "nodeRegistration": _registration(node),
            "discovery": {
                "bootstrapToken": {
                    "apiServerEndpoint": asked["endpoint"],
                    "token": TOKEN,
                    "unsafeSkipCAVerification": True,
                }
            },
            "controlPlane": {
                "localAPIEndpoint": {"advertiseAddress": node.address},
                "certificateKey": CERTIFICATE_KEY,
            },
        },
    )
    return seconds_of([*command(node), "join", "--config", CONFIG, IGNORED])


def command(node: Node) -> tuple[str, ...]:
    """kubeadm on a node."""
    return (*PODMAN, "exec", node.container, "kubeadm")


def prepare(node: Node, *documents: dict[str, Any]) -> None:
    """What kubeadm expects before it is called: its file, and a kernel that forwards."""
    node.exec("tee", CONFIG, stdin=yaml.safe_dump_all(documents))
    node.exec("sysctl", "-qw", "net.ipv4.ip_forward=1")


def _founding(node: Node, asked: dict[str, Any], *, together: bool) -> dict[str, Any]:
    return {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": node.address},
        "nodeRegistration": _registration(node),
        **({"bootstrapTokens": [{"token": TOKEN}], "certificateKey": CERTIFICATE_KEY} if together else {}),
    }


def _registration(node: Node) -> dict[str, Any]:
    return {
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": [{"name": "node-ip", "value": node.address}],
    }


def _cluster(asked: dict[str, Any]) -> dict[str, Any]:
    networking = asked["networking"]
    return {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": asked["kubernetesVersion"],
        "encryptionAlgorithm": "ECDSA-P256",  # ours; its own default, RSA, is slower
        "networking": {name: networking[name] for name in ("podSubnet", "serviceSubnet", "dnsDomain")},
        **({"controlPlaneEndpoint": asked["endpoint"]} if "endpoint" in asked else {}),
    }


def _kubelet(asked: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **asked["kubelet"]}


def _proxy(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        **asked["proxy"]["config"],
    }
