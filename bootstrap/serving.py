"""Which kubelets get a serving certificate signed in the cluster: those that joined by kubeadm, for their own names.

Kubernetes approves none of these requests by itself, and without the certificate the API server does not believe the
kubelet: no logs, no exec. https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from bootstrap.kube import Kube
from bootstrap.objects import key

SIGNER = "kubernetes.io/kubelet-serving"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
PREFIX = "certificates.k8s.io|CertificateSigningRequest||"
PENDING, APPROVED = "pending", "approved"  # stand where an object's fingerprint stands
_NODE = "system:node:"
_USAGES = {"digital signature", "key encipherment", "server auth"}


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody's request that nobody has decided on; `wrong`: why it is not for us to approve, "" where it is."""

    user: str
    wrong: str


def pending(kube: Kube, ours: AbstractSet[str]) -> dict[str, Request]:
    """Key -> every request that waits.

    `ours` are names and addresses that no such kubelet may have: those of cluster.yaml.
    """
    listed = kube.get(f"{REQUESTS}?fieldSelector=spec.signerName={SIGNER}") or {}
    waiting = [each for each in listed.get("items", ()) if not each["status"].get("conditions")]
    nodes = addresses(kube) if waiting else {}
    return {key(whole(each)): Request(each["spec"]["username"], wrong(each["spec"], nodes, ours)) for each in waiting}


def approve(kube: Kube, name: str) -> None:
    """The request of this key is approved, and the cluster's signer signs it."""
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": "Bootstrap",
        "message": "a node that joined by kubeadm, and names of its own",
    }
    kube.merge(f"{REQUESTS}/{name.removeprefix(PREFIX)}/approval", {"status": {"conditions": [condition]}})


def addresses(kube: Kube) -> dict[str, set[str]]:
    """Registered node -> the names and addresses it says it has."""
    return {
        name: {each["address"] for each in node["status"].get("addresses", ())}
        for name, node in kube.registered().items()
    }


def whole(request: Mapping[str, Any]) -> dict[str, Any]:
    """A list's item with what it leaves out."""
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", **request}


def wrong(spec: Mapping[str, Any], nodes: Mapping[str, AbstractSet[str]], ours: AbstractSet[str]) -> str:
    """Why a request must not be approved, "" if it may: a node's own, for itself, and no other's name among it.

    What a node says of its own addresses is not to be trusted alone: so none may be another node's too.
    """
    user, groups, usages = spec["username"], spec.get("groups", ()), set(spec.get("usages", ()))
    name = user.removeprefix(_NODE)
    if not user.startswith(_NODE) or "system:nodes" not in groups or name not in nodes:
        return f"{user} is no registered node"
    if name in ours:
        return f"{name} stands in cluster.yaml, and has its certificate from there"
    if not {"server auth", "digital signature"} <= usages <= _USAGES:
        return f"it is for {', '.join(sorted(usages))}"
    try:
        request = x509.load_pem_x509_csr(b64decode(spec["request"]))
        subject = [(each.oid, each.value) for each in request.subject]
        alternative = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        return f"it can't be read: {error}"
    wanted = {(NameOID.ORGANIZATION_NAME, "system:nodes"), (NameOID.COMMON_NAME, user)}
    if len(subject) != len(wanted) or set(subject) != wanted:
        return f"its subject is {request.subject.rfc4514_string()}"
    asked = {str(each.value) for each in alternative}
    kinds = {type(each) for each in alternative}
    if not asked or not kinds <= {x509.DNSName, x509.IPAddress}:
        return "it is for neither names nor addresses"
    others = {each for node, has in nodes.items() if node != name for each in (node, *has)}
    if strange := sorted(asked - nodes[name] - {name}) or sorted(asked & (others | ours)):
        return f"{', '.join(strange)} is not {name}'s own"
    return ""
