"""Every authority, certificate and kubeconfig of a cluster: one more is one row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bootstrap import paths
from bootstrap.spec.model import Cluster, Node
from pki import Usage

CLIENT, SERVER, BOTH = (Usage.CLIENT,), (Usage.SERVER,), (Usage.SERVER, Usage.CLIENT)
SERVICE_ACCOUNTS = "pki/sa"  # .key and .pub: sign and verify the tokens of service accounts
ENCRYPTION_KEY = "encryption.key"  # 32 random bytes in base64, for what is encrypted in etcd
_PLACES = {"pki": paths.PKI, "kubelet": paths.KUBELET_PKI}


@dataclass(frozen=True, slots=True)
class AuthoritySpec:
    """An authority: `<name>.crt` and `<name>.key` in the store; nodes get the certificate only."""

    name: str
    common_name: str
    part: str = ""  # what restarts on a node when it differs; "": who uses it reads it again
    workers: bool = False  # workers get it too
    signs_there: bool = False  # only with kubeadmJoin: control-plane nodes get its key, for a signer in the cluster


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """A leaf and its key; `{node}` in the common name stands for the node's name."""

    name: str
    authority: AuthoritySpec
    common_name: str
    usages: tuple[Usage, ...]
    organization: str = ""
    names: Callable[[Cluster, Node], tuple[str, ...]] = lambda _cluster, _node: ()
    part: str = ""
    workers: bool = False

    @property
    def path(self) -> str:
        """Where it lies on its node, less ".crt" and ".key"; "" when nowhere but inside a kubeconfig."""
        place, _, name = self.name.partition("/")
        return f"{_PLACES[place]}/{name}" if place in _PLACES else ""

    def stored(self, node: Node) -> str:
        """Its name in the store, less ".crt" and ".key"; the workstation's own are no node's."""
        return self.name if self.name.startswith("operator/") else f"nodes/{node.name}/{self.name}"

    def user(self, node: Node) -> str:
        """The common name on this node."""
        return self.common_name.format(node=node.name)


@dataclass(frozen=True, slots=True)
class KubeconfigSpec:
    """`/etc/kubernetes/<name>.conf`: which client speaks to which server."""

    name: str
    client: CertificateSpec
    server: Callable[[Cluster, Node], str]
    part: str = ""


# The API server, the controller-manager and the kubelet read their clients' authorities again by themselves; who
# trusts the main one as a server's has it in a kubeconfig and restarts with that, but for the API server, which
# asks kubelets: it reads this file again since 1.36 (https://github.com/kubernetes/kubernetes/pull/132922).
CA = AuthoritySpec("pki/ca", "kubernetes", workers=True)
FRONT_PROXY_CA = AuthoritySpec("pki/front-proxy-ca", "front-proxy-ca")
# etcd reads its authorities at its start only, and so does the API server etcd's. A file restarts one part, and
# members that do not trust each other lose the quorum: so it is etcd's, and rotating it must see to the other.
ETCD_CA = AuthoritySpec("pki/etcd/ca", "etcd-ca", part="etcd")
# Of kubelets that join by `kubeadm join`, and of nobody else: of all authorities the only one that can be stolen from a
# node. The controller-manager and those that trust it read it again by themselves.
KUBELET_CA = AuthoritySpec("pki/kubelet-ca", "kubelet-ca", signs_there=True)
AUTHORITIES = (CA, FRONT_PROXY_CA, ETCD_CA, KUBELET_CA)
BUNDLE = "pki/kubernetes-cas"  # .crt, with kubeadmJoin only: CA and KUBELET_CA, for the API server


def _local_names(_cluster: Cluster, node: Node) -> tuple[str, ...]:
    return (node.name, node.address, "localhost", "127.0.0.1")


def _api_server_names(cluster: Cluster, node: Node) -> tuple[str, ...]:
    service = "kubernetes.default.svc"
    return (
        *_local_names(cluster, node),
        *("kubernetes", "kubernetes.default", service, f"{service}.{cluster.networking.dns_domain}"),
        cluster.service_address(1),
        *((cluster.endpoint.rpartition(":")[0].strip("[]"),) if cluster.endpoint else ()),
        *cluster.api_server.cert_sans,
    )


def _etcd_server_names(cluster: Cluster, node: Node) -> tuple[str, ...]:
    return (*_local_names(cluster, node), "::1", *cluster.etcd.server_cert_sans)


def _etcd_peer_names(cluster: Cluster, node: Node) -> tuple[str, ...]:
    return (*_local_names(cluster, node), "::1", *cluster.etcd.peer_cert_sans)


def _kubelet_names(_cluster: Cluster, node: Node) -> tuple[str, ...]:
    return (node.name, node.address)


def _public(cluster: Cluster, _node: Node) -> str:
    return cluster.public_url


def _nearest(cluster: Cluster, node: Node) -> str:
    """A control-plane node asks its own API server: another's restart is none of its business."""
    return cluster.api_url(node) if node.control_plane else cluster.public_url


def _user(name: str, common_name: str, organization: str = "") -> CertificateSpec:
    return CertificateSpec(name, CA, common_name, CLIENT, organization)


# The Node authorizer knows kubelets by this name: https://kubernetes.io/docs/reference/access-authn-authz/node/
_NODE, _NODES = "system:node:{node}", "system:nodes"
KUBELET_CLIENT = CertificateSpec("kubelet/kubelet-client", CA, _NODE, CLIENT, _NODES, part="kubelet", workers=True)

# Most have no part: etcd reads its pairs at every handshake, the API server and the kubelet watch what they serve.
CERTIFICATES = (
    CertificateSpec("pki/apiserver", CA, "kube-apiserver", SERVER, names=_api_server_names),
    CertificateSpec("pki/apiserver-kubelet-client", CA, "kube-apiserver-kubelet-client", CLIENT),
    CertificateSpec("pki/front-proxy-client", FRONT_PROXY_CA, "front-proxy-client", CLIENT),
    # etcd's server is a client as well: its gateway calls it.
    CertificateSpec("pki/etcd/server", ETCD_CA, "{node}", BOTH, names=_etcd_server_names),
    CertificateSpec("pki/etcd/peer", ETCD_CA, "{node}", BOTH, names=_etcd_peer_names),
    CertificateSpec("pki/etcd/healthcheck-client", ETCD_CA, "kube-etcd-healthcheck-client", CLIENT),
    CertificateSpec("pki/apiserver-etcd-client", ETCD_CA, "kube-apiserver-etcd-client", CLIENT),
    KUBELET_CLIENT,
    CertificateSpec("kubelet/kubelet", CA, _NODE, SERVER, _NODES, names=_kubelet_names, workers=True),
)

ADMIN = _user("admin", "kubernetes-admin", "kubeadm:cluster-admins")
CONTROLLERS = _user("controller-manager", "system:kube-controller-manager")
SCHEDULER = _user("scheduler", "system:kube-scheduler")
KUBECONFIGS = (
    KubeconfigSpec("admin", ADMIN, _public),
    KubeconfigSpec("controller-manager", CONTROLLERS, _nearest, part="kube-controller-manager"),
    KubeconfigSpec("scheduler", SCHEDULER, _nearest, part="kube-scheduler"),
    KubeconfigSpec("kubelet", KUBELET_CLIENT, _nearest, part="kubelet"),
)

# The workstation's own. system:masters is obeyed before there is any RBAC, and can't be revoked: on no node.
OPERATOR_ETCD = CertificateSpec("operator/etcd", ETCD_CA, "bootstrap-operator", CLIENT)
OPERATOR_ADMIN = replace(ADMIN, name="operator/admin")
SUPER_ADMIN = _user("operator/super-admin", "kubernetes-super-admin", "system:masters")
OPERATOR_KUBECONFIGS = (
    KubeconfigSpec("admin", OPERATOR_ADMIN, _public),
    KubeconfigSpec("super-admin", SUPER_ADMIN, _public),
)


def authorities(cluster: Cluster) -> tuple[AuthoritySpec, ...]:
    """Those that the file asks for."""
    return tuple(spec for spec in AUTHORITIES if cluster.kubeadm_join or not spec.signs_there)


def certificates(node: Node) -> Iterator[CertificateSpec]:
    """The certificates that are files on this node."""
    yield from (spec for spec in CERTIFICATES if node.control_plane or spec.workers)


def kubeconfigs(cluster: Cluster, node: Node) -> Iterator[KubeconfigSpec]:
    """The kubeconfigs of this node, one more for each further scheduler that runs there."""
    yield from (spec for spec in KUBECONFIGS if node.control_plane or spec.client.workers)
    for further in cluster.schedulers if node.control_plane else ():
        if not further.nodes or node.name in further.nodes:
            client = _user(further.name, f"scheduler:{further.name}")
            yield KubeconfigSpec(further.name, client, _nearest, part=further.name)


def leaves(cluster: Cluster) -> Iterator[tuple[CertificateSpec, Node]]:
    """Every leaf there is, with its node; the workstation's own come first, with a node that says nothing."""
    for spec in (OPERATOR_ETCD, *(kubeconfig.client for kubeconfig in OPERATOR_KUBECONFIGS)):
        yield spec, cluster.voters[0]
    for node in cluster.nodes:
        yield from ((spec, node) for spec in certificates(node))
        yield from ((conf.client, node) for conf in kubeconfigs(cluster, node) if not conf.client.path)
