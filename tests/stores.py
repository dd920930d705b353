"""Clusters for the tests of credentials, and what is in a store of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bootstrap import credentials
from bootstrap.spec.model import Cluster

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
AUTHORITIES = {"kubernetes": "pki/ca", "front-proxy-ca": "pki/front-proxy-ca", "etcd-ca": "pki/etcd/ca"}
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
THREE: dict[str, Any] = {
    "apiVersion": "bootstrap/v1",
    "kind": "Cluster",
    "name": "demo",
    "endpoint": "api.demo.internal:6443",
    "nodes": [
        {"name": "cp1", "address": "10.77.0.11", "role": "control-plane"},
        {"name": "cp2", "address": "10.77.0.12", "role": "control-plane"},
        {"name": "cp3", "address": "10.77.0.13", "role": "control-plane"},
        {"name": "w1", "address": "10.77.0.21", "role": "worker"},
    ],
    "schedulers": [{"name": "batch", "nodes": ["cp1"]}, {"name": "gpu"}],
}
ONE: dict[str, Any] = {**THREE, "endpoint": None, "nodes": THREE["nodes"][:1], "schedulers": []}


def cluster(changes: Mapping[str, object], base: Mapping[str, object] = THREE) -> Cluster:
    """A cluster file with some of its fields put differently."""
    return Cluster.model_validate_json(json.dumps({**base, **changes}))


def issued_for(wanted: Cluster) -> dict[str, bytes]:
    """A new store of this cluster, as of NOW."""
    store: dict[str, bytes] = {}
    credentials.issue(wanted, store, NOW)
    return store


def parsed(pem: bytes) -> x509.Certificate:
    """A certificate."""
    return x509.load_pem_x509_certificate(pem)


def word(certificate: x509.Certificate, oid: x509.ObjectIdentifier, *, issuer: bool = False) -> str:
    """One attribute of the subject, or of the issuer; "" when it has none."""
    found = (certificate.issuer if issuer else certificate.subject).get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def names_of(certificate: x509.Certificate) -> set[str]:
    """Its alternative names."""
    try:
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in present}


def usages_of(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    """What it may be shown as."""
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def signed(store: Mapping[str, bytes]) -> Iterator[tuple[str, x509.Certificate, bytes]]:
    """Every leaf: its name in the store, itself, and its authority as PEM."""
    for name, content in store.items():
        if name.endswith(".crt") and name.removesuffix(".crt") not in AUTHORITIES.values():
            found = parsed(content)
            yield name, found, store[f"{AUTHORITIES[word(found, NameOID.COMMON_NAME, issuer=True)]}.crt"]
