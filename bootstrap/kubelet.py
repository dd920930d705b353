"""A node's own files: the kubelet's configuration and drop-in, the bridge network, the kernel's settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from bootstrap import documents, paths
from bootstrap.flags import CIPHERS
from bootstrap.render import render
from bootstrap.spec.model import Cluster, Node, Taint
from bootstrap.world import File, Machine

SYSCTL = "/etc/sysctl.d/99-bootstrap.conf"
MODULES = "/etc/modules-load.d/bootstrap.conf"
ROUTES = "/etc/systemd/system/bootstrap-routes.service"

_KIND = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}

# Defaults that give way to what the node's own unit says by a flag: the machine may need it.
_YIELDING = frozenset({"cgroupDriver", "podPidsLimit", "resolvConf", "seccompDefault", "serializeImagePulls"})

# Flags without a field of the configuration that are ours to say; the last one is gone from newer kubelets.
_OURS = frozenset(
    {
        "bootstrap-kubeconfig",
        "cert-dir",
        "config",
        "hostname-override",
        "kubeconfig",
        "node-ip",
        "pod-infra-container-image",
    }
)

# Flags that are not named like their field; every other one is, but for dashes and case.
_FIELDS = {
    "anonymous-auth": "authentication",
    "authentication-token-webhook": "authentication",
    "authentication-token-webhook-cache-ttl": "authentication",
    "authorization-mode": "authorization",
    "authorization-webhook-cache-authorized-ttl": "authorization",
    "authorization-webhook-cache-unauthorized-ttl": "authorization",
    "client-ca-file": "authentication",
    "event-qps": "eventRecordQPS",
    "image-gc-high-threshold": "imageGCHighThresholdPercent",
    "image-gc-low-threshold": "imageGCLowThresholdPercent",
    "kube-api-content-type": "contentType",
    "manifest-url": "staticPodURL",
    "manifest-url-header": "staticPodURLHeader",
    "minimum-image-ttl-duration": "imageMinimumGCAge",
    "pod-manifest-path": "staticPodPath",
    "pod-max-pids": "podPidsLimit",
    "registry-qps": "registryPullQPS",
    "reserved-cpus": "reservedSystemCPUs",
    "rotate-server-certificates": "serverTLSBootstrap",
    "v": "logging",
    "vmodule": "logging",
}


def files(cluster: Cluster, node: Node, machine: Machine, pods: Mapping[str, str]) -> Iterator[File]:
    """The kubelet's files (part "kubelet"), the kernel's settings (part "host") and the bridge network's.

    `pods` is node -> what its pods get addresses from; a node without an entry is left out of the network.
    """
    settings = config(cluster, node, machine)
    yield File(
        paths.KUBELET_CONFIG,
        ("# Written by bootstrap: changes belong in cluster.yaml.\n" + documents.dump(settings)).encode(),
        part="kubelet",
        secret="staticPodURLHeader" in settings,  # may carry a token
    )
    if not machine.unit:
        yield _file(paths.KUBELET_UNIT, "kubelet.service", {"kubelet": machine.kubelet}, mode=0o644, part="kubelet")
    command = _command(cluster, node, machine)
    yield _file(paths.KUBELET_DROPIN, "50-bootstrap.conf", {"command": command}, mode=0o644, part="kubelet")
    yield _file(SYSCTL, "sysctl.conf", {"settings": _sysctls(cluster)}, mode=0o644, part="host")
    if cluster.networking.plugin == "bridge":
        yield _file(MODULES, "modules.conf", {"modules": ("br_netfilter",)}, mode=0o644, part="host")
        if node.name in pods:
            yield _file(paths.CNI, "bridge.conflist", {"pod_cidr": pods[node.name]}, mode=0o600, part="")
            routes = [(pods[it.name], it.address) for it in cluster.nodes if it.name in pods and it.name != node.name]
            if routes:
                context = {"routes": routes, "subnet": cluster.networking.pod_subnet}
                yield _file(ROUTES, "routes.service", context, mode=0o644, part="")


def shared(cluster: Cluster) -> dict[str, Any]:
    """The KubeletConfiguration all nodes have in common, as kubeadm keeps it in the ConfigMap kubelet-config.

    It holds nothing of one node (no certificate paths): a kubelet that `kubeadm join` starts uses it, and asks for
    its serving certificate, which `serving` approves.
    """
    defaults = {
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{paths.PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": [cluster.service_address(10)],
        "clusterDomain": cluster.networking.dns_domain,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "podPidsLimit": 4096,
        "readOnlyPort": 0,
        "rotateCertificates": True,
        "seccompDefault": True,
        "serializeImagePulls": False,  # a node without images gets its four components at once, not in a row
        "staticPodPath": paths.MANIFESTS,
        "tlsCipherSuites": CIPHERS.split(","),
        "tlsMinVersion": "VersionTLS12",
    }
    asks = {"serverTLSBootstrap": True} if cluster.kubeadm_join else {}
    return documents.merged(defaults, asks, cluster.kubelet, _KIND)


def config(cluster: Cluster, node: Node, machine: Machine) -> dict[str, Any]:
    """A node's KubeletConfiguration: defaults, the cluster's fields, the node's, and last what is ours.

    `machine.manifests` and `machine.runtime` are what was found, which honours the file where it names them.
    """
    of_the_node: dict[str, Any] = {"registerWithTaints": _taints(node)} if _taints(node) else {}
    if machine.resolved:
        # /etc/resolv.conf names the stub 127.0.0.53 then, which in a pod would be the pod itself.
        of_the_node["resolvConf"] = "/run/systemd/resolve/resolv.conf"
    ours: dict[str, Any] = {
        "containerRuntimeEndpoint": machine.runtime,
        "rotateCertificates": False,  # nothing in the cluster signs: certificates come from the workstation
        "serverTLSBootstrap": False,
        "staticPodPath": machine.manifests,
        "tlsCertFile": f"{paths.KUBELET_PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{paths.KUBELET_PKI}/kubelet.key",
    }
    if node.taints is not None:
        ours["registerWithTaints"] = _taints(node)
    return documents.merged(of_the_node, shared(cluster), node.kubelet, ours, _KIND)


def _taints(node: Node) -> list[dict[str, str]]:
    unless_said = (Taint(key="node-role.kubernetes.io/control-plane"),) if node.control_plane else ()
    wanted = unless_said if node.taints is None else node.taints
    return [taint.model_dump(by_alias=True, exclude={"value"} if not taint.value else None) for taint in wanted]


def _command(cluster: Cluster, node: Node, machine: Machine) -> list[str]:
    """ExecStart's words: ours, then what the node's own unit said about things we leave alone."""
    decided = (config(cluster, node, machine).keys() - _YIELDING) | cluster.kubelet.keys() | node.kubelet.keys()
    ours = (
        f"--config={paths.KUBELET_CONFIG}",
        f"--kubeconfig={paths.KUBERNETES}/kubelet.conf",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
    )
    return [_word(word) for word in (machine.kubelet, *ours, *_kept(machine.kubelet_flags, decided))]


def _kept(flags: Iterable[str], decided: Set[str]) -> Iterator[str]:
    """The flags about fields that nobody decided: a flag wins over the configuration, so others must go.

    https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/#kubelet-configuration-merging-order
    `--flag value` is two words of the command line.
    """
    fields = {field.lower() for field in decided}
    keep = False
    for word in flags:
        if re.match(r"--?[A-Za-z]", word):  # not a value such as -999
            name = word.lstrip("-").partition("=")[0].replace("_", "-")
            field = _FIELDS.get(name, name.replace("-", "")).lower()
            keep = name not in _OURS and field not in fields
        if keep:
            yield word


def _word(word: str) -> str:
    """One word of a command line in a unit: nothing in it is a specifier, a variable or a separator.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines
    """
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:=,@%$+-]+", plain):
        return plain
    return '"' + plain.replace('"', '\\"').replace("\n", "\\n") + '"'


def _sysctls(cluster: Cluster) -> dict[str, int]:
    networking = cluster.networking
    six = cluster.six
    settings = {"net.ipv4.ip_forward": 1} | ({"net.ipv6.conf.all.forwarding": 1} if six else {})
    if networking.plugin == "bridge":
        # Packets between two pods of one bridge must pass netfilter too, or a Service's answer comes back from
        # an address its client never asked.
        # https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
        settings |= {"net.bridge.bridge-nf-call-iptables": 1}
        settings |= {"net.bridge.bridge-nf-call-ip6tables": 1} if six else {}
    return settings


def _file(path: str, template: str, context: Mapping[str, object], *, mode: int, part: str) -> File:
    content = render(f"kubelet/{template}.j2", context).encode()
    return File(path, content, mode=mode, part=part, secret=False)
