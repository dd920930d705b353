"""How long what lies on a node lasts: its certificates are those of the store where the files are, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509

from bootstrap import paths
from bootstrap.credentials.delivery import files
from bootstrap.credentials.rows import certificates, kubeconfigs
from bootstrap.spec.model import Cluster, Node


def ends(
    cluster: Cluster, store: Mapping[str, bytes], node: Node, seen: Mapping[str, str]
) -> dict[str, datetime | None]:
    """Path -> when the certificate in it ends; None: what lies there, by `seen`, is not of the store as it is now.

    {} before `issue`.
    """
    try:
        ours = {file.path: file.fingerprint for file in files(cluster, store, node)}
    except KeyError:
        return {}
    stored = {f"{spec.path}.crt": spec.stored(node) for spec in certificates(node)}
    stored |= {
        f"{paths.KUBERNETES}/{conf.name}.conf": conf.client.stored(node)
        for conf in kubeconfigs(cluster, node)
        if not conf.client.path
    }
    return {
        path: x509.load_pem_x509_certificate(store[f"{name}.crt"]).not_valid_after_utc
        if seen.get(path) == ours[path]
        else None
        for path, name in stored.items()
    }
