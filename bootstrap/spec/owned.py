"""What cluster.yaml may not say in a component's own words, because the tool says it: one row each, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bootstrap.spec.faults import Fault
from bootstrap.spec.place import Place


@dataclass(frozen=True, slots=True)
class Owned:
    """Names that can't be set at `place`; `*` stands for anything, a dot leads into a mapping."""

    place: str  # the field of cluster.yaml: for a component, its extraArgs
    names: tuple[str, ...]
    why: str


_ISSUED = "the tool issues keys, certificates and kubeconfigs itself"
_KUBECONFIGS = ("authentication-kubeconfig", "authorization-kubeconfig", "kubeconfig")
_BY_NODE = "it follows from the node's name and address"

ARGUMENTS = (
    Owned("apiServer", ("secure-port",), "every kubeconfig and probe has 6443; a balancer's port goes into endpoint"),
    Owned("apiServer", ("etcd-*file", "etcd-servers"), "each API server speaks to the etcd of its own node"),
    Owned("apiServer", ("enable-bootstrap-token-auth",), "set kubeadmJoin"),
    Owned("apiServer", ("advertise-address",), _BY_NODE),
    Owned("apiServer", ("service-cluster-ip-range",), "set networking.serviceSubnet"),
    Owned("apiServer", ("client-ca-file", "tls-cert-file", "tls-private-key-file"), _ISSUED),
    Owned("apiServer", ("kubelet-certificate-authority", "kubelet-client-*", "proxy-client-*"), _ISSUED),
    Owned("apiServer", ("requestheader-client-ca-file", "service-account-*key-file"), _ISSUED),
    Owned("controllerManager", (*_KUBECONFIGS, "root-ca-file", "service-account-private-key-file"), _ISSUED),
    Owned("controllerManager", ("cluster-signing-kubelet-*",), "set kubeadmJoin"),
    Owned("controllerManager", ("cluster-cidr",), "set networking.podSubnet"),
    Owned("controllerManager", ("service-cluster-ip-range",), "set networking.serviceSubnet"),
    Owned("controllerManager", ("cluster-name",), "set name"),
    Owned("scheduler", _KUBECONFIGS, _ISSUED),
    Owned("schedulers", _KUBECONFIGS, _ISSUED),
    Owned("schedulers", ("config",), "the tool writes it, from profiles"),
    Owned("schedulers", ("secure-port",), "set port, beside name"),
    Owned("schedulers", ("leader-elect-resource-*",), "its lease has its name"),
    Owned("etcd", ("data-dir",), "set etcd.dataDir"),
    Owned("etcd", ("name", "*advertise-*-urls", "listen-client-urls", "listen-peer-urls"), _BY_NODE),
    Owned("etcd", ("*cert-file", "*key-file", "*ca-file", "*client-cert-auth"), _ISSUED),
    Owned("etcd", ("config-file", "discovery*", "force-new-cluster", "initial-cluster*"), "the tool keeps the members"),
)
FIELDS = (
    Owned("kubelet", ("rotateCertificates", "serverTLSBootstrap"), "nothing in the cluster signs for kubelets"),
    Owned("kubelet", ("tlsCertFile", "tlsPrivateKeyFile", "authentication.x509.clientCAFile"), _ISSUED),
    Owned("kubelet", ("clusterDomain",), "set networking.dnsDomain"),
    Owned("kubelet", ("registerWithTaints",), "set nodes[].taints"),
    Owned("proxy.config", ("clusterCIDR",), "set networking.podSubnet"),
    Owned("proxy.config", ("mode",), "set proxy.mode"),
    Owned("proxy.config", ("clientConnection.kubeconfig",), _ISSUED),
)


def arguments(component: Place, place: str) -> Iterator[Fault]:
    """The `extraArgs` of a component that are not the file's to set."""
    for argument in component["extraArgs"]:
        name = argument["name"]
        for row in ARGUMENTS:
            if row.place == place and any(fnmatchcase(name.text, pattern) for pattern in row.names):
                yield name.wrong(f"--{name.text} can't be set here", row.why)


def fields(configuration: Place, place: str) -> Iterator[Fault]:
    """The fields of a component's configuration that are not the file's to set."""
    for row in FIELDS:
        for dotted in row.names if row.place == place else ():
            *above, name = dotted.split(".")
            holder = configuration
            for step in above:
                holder = holder[step]
            if isinstance(holder.value, dict) and name in holder.value:
                yield holder[name].unwanted("can't be set here", row.why)
