"""What of the credentials leaves the store: the files of a node, kubeconfigs, and what this tool's clients show."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography import x509

from bootstrap import paths
from bootstrap.credentials.rows import (
    BUNDLE,
    CA,
    KUBELET_CA,
    OPERATOR_ETCD,
    SERVICE_ACCOUNTS,
    SUPER_ADMIN,
    CertificateSpec,
    KubeconfigSpec,
    authorities,
    certificates,
    kubeconfigs,
)
from bootstrap.errors import Code, Problem
from bootstrap.render import render
from bootstrap.spec.model import Cluster, Node
from bootstrap.world import File
from pki import keys


@dataclass(frozen=True, slots=True)
class Identity:
    """What a TLS client is made of, as PEM."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def files(cluster: Cluster, store: Mapping[str, bytes], node: Node) -> tuple[File, ...]:
    """Every credential file of one node; of authorities' private keys at most KUBELET_CA's. KeyError before `issue`."""
    return tuple(_files(cluster, store, node))


def kubeconfig(spec: KubeconfigSpec, cluster: Cluster, node: Node, store: Mapping[str, bytes]) -> bytes:
    """It names its client's certificate and key where these are files on the node, else it holds them."""
    stored, path, user = spec.client.stored(node), spec.client.path, spec.client.user(node)
    context = {
        "cluster": cluster.name,
        "server": spec.server(cluster, node),
        "authority": b64encode(store[f"{spec.client.authority.name}.crt"]).decode(),
        "user": user,
        "context": f"{user}@{cluster.name}",
        "embedded": not path,
        "certificate": f"{path}.crt" if path else b64encode(store[f"{stored}.crt"]).decode(),
        "key": f"{path}.key" if path else b64encode(store[f"{stored}.key"]).decode(),
    }
    return render("kubeconfig.yaml.j2", context).encode()


def authority(store: Mapping[str, bytes]) -> bytes:
    """The main authority's certificate, as PEM."""
    return store[f"{CA.name}.crt"]


def pin(store: Mapping[str, bytes]) -> str:
    """The main authority as `kubeadm join --discovery-token-ca-cert-hash` wants it named."""
    certificate = x509.load_pem_x509_certificate(authority(store))
    return f"sha256:{keys.fingerprint(certificate.public_key())}"


def api_identity(store: Mapping[str, bytes]) -> Identity:
    """Who this tool is to the API: system:masters, so that it is obeyed before there is any RBAC."""
    return _identity(store, SUPER_ADMIN)


def etcd_identity(store: Mapping[str, bytes]) -> Identity:
    """Who this tool is to etcd."""
    return _identity(store, OPERATOR_ETCD)


def uid(store: Mapping[str, bytes]) -> str:
    """Which cluster this is: the digest, 16 hex digits, of the main authority's public key. KeyError before `issue`."""
    name = f"{CA.name}.crt"
    try:
        authority = x509.load_pem_x509_certificate(store[name])
    except ValueError as wrong:
        raise unusable(name, str(wrong)) from wrong
    return keys.fingerprint(authority.public_key())[:16]


def unusable(name: str, why: str) -> Problem:
    """Something made once is not what it was."""
    return Problem(
        f"{name} in the state directory can't be used",
        why=why,
        next=f"put {name} back, or the whole state from a copy: bootstrap state import FILE --force",
        code=Code.LOCKED,
    )


def _files(cluster: Cluster, store: Mapping[str, bytes], node: Node) -> Iterator[File]:
    for authority in authorities(cluster):
        path = f"{paths.KUBERNETES}/{authority.name}"
        if node.control_plane or authority.workers:
            yield _readable(f"{path}.crt", store[f"{authority.name}.crt"], authority.part)
        if node.control_plane and authority.signs_there:
            yield File(f"{path}.key", store[f"{authority.name}.key"], part=authority.part)
    if node.control_plane and cluster.kubeadm_join:
        both = store[f"{CA.name}.crt"] + store[f"{KUBELET_CA.name}.crt"]
        yield _readable(f"{paths.KUBERNETES}/{BUNDLE}.crt", both, "")
    if node.control_plane:
        # The controller-manager reads the private one too: as with etcd's authority, rotating must see to it.
        path = f"{paths.KUBERNETES}/{SERVICE_ACCOUNTS}"
        yield _readable(f"{path}.pub", store[f"{SERVICE_ACCOUNTS}.pub"], "kube-apiserver")
        yield File(f"{path}.key", store[f"{SERVICE_ACCOUNTS}.key"], part="kube-apiserver")
    for spec in certificates(node):
        yield _readable(f"{spec.path}.crt", store[f"{spec.stored(node)}.crt"], spec.part)
        yield File(f"{spec.path}.key", store[f"{spec.stored(node)}.key"], part=spec.part)
    for conf in kubeconfigs(cluster, node):
        path, content = f"{paths.KUBERNETES}/{conf.name}.conf", kubeconfig(conf, cluster, node, store)
        yield File(path, content, part=conf.part, secret=not conf.client.path)


def _readable(path: str, content: bytes, part: str) -> File:
    """Certificates and public keys may be read by all, as kubeadm has it and CIS 1.1.20 allows."""
    return File(path, content, mode=0o644, part=part, secret=False)


def _identity(store: Mapping[str, bytes], spec: CertificateSpec) -> Identity:
    pair = store[f"{spec.name}.crt"], store[f"{spec.name}.key"]
    return Identity(store[f"{spec.authority.name}.crt"], *pair)
