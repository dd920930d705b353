"""The only module that makes keys and certificates of a cluster, and the guard against making them twice."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from functools import cache
from secrets import token_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

import pki
from bootstrap.credentials.delivery import kubeconfig, unusable
from bootstrap.credentials.passphrases import PURPOSE, Passphrase, nobody, wrong_passphrase
from bootstrap.credentials.rows import (
    ENCRYPTION_KEY,
    OPERATOR_KUBECONFIGS,
    SERVICE_ACCOUNTS,
    AuthoritySpec,
    CertificateSpec,
    authorities,
    leaves,
)
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster, Node
from pki import keys

RENEW = 30  # days before its end that a leaf is made again
_ENCRYPTION_BYTES = 32  # of the key for what is encrypted in etcd


def issue(
    cluster: Cluster, store: MutableMapping[str, bytes], now: datetime, passphrase: Passphrase = nobody
) -> tuple[str, ...]:
    """Makes what the store lacks, and again the leaves that are not what is asked any more; the names written.

    A leaf is made again when its names, issuer or algorithm differ, or it ends within RENEW days of `now` (aware).
    Authorities, the service accounts' keys and the encryption key are made once. A second call writes nothing.
    `passphrase` is asked only where an authority whose key is encrypted has to sign. Problem, with nothing written,
    when one of these got lost or damaged, an authority that can't sign has to, or the file asks for a name no
    certificate can have.
    """
    made: dict[str, bytes] = {}
    seen = ChainMap(made, store)
    _refuse_losses(cluster, store)
    _make_once(cluster, seen, now)
    _refuse_damage(seen)
    issuers = {spec: _issuer(spec, seen, now) for spec in authorities(cluster)}
    signer = cache(lambda spec: _signer(spec, seen, passphrase))
    for spec, node in leaves(cluster):
        name, request, issuer = spec.stored(node), _request(spec, cluster, node), issuers[spec.authority]
        certificate, key = seen.get(f"{name}.crt", b""), seen.get(f"{name}.key", b"")
        if not pki.matches(certificate, key, request, issuer, now=now, days=RENEW):
            pair = signer(spec.authority).issue(request, now=now, days=cluster.certificate_validity_days)
            # The key first: cut short here, the old certificate over the new key is seen not to match.
            seen[f"{name}.key"], seen[f"{name}.crt"] = pair.key, pair.certificate
    for conf in OPERATOR_KUBECONFIGS:
        name, written = f"{conf.name}.conf", kubeconfig(conf, cluster, cluster.voters[0], seen)
        if seen.get(name) != written:
            seen[name] = written
    store.update(made)
    return tuple(made)


def _refuse_losses(cluster: Cluster, store: Mapping[str, bytes]) -> None:
    """Problem when something made once is gone but not what was made after it: a new one would fit nothing."""
    signed: dict[AuthoritySpec, str] = {}
    for spec, node in leaves(cluster):
        if (leaf := f"{spec.stored(node)}.crt") in store:
            signed.setdefault(spec.authority, leaf)
    for authority in authorities(cluster):
        certificate, key = f"{authority.name}.crt", f"{authority.name}.key"
        if certificate not in store and key in store:
            raise _lost(certificate, f"its key {key} is still there")
        if certificate not in store and authority in signed:
            raise _lost(certificate, f"{signed[authority]}, which it signed, is still there")
    private, public = f"{SERVICE_ACCOUNTS}.key", f"{SERVICE_ACCOUNTS}.pub"
    if private not in store and public in store:
        raise _lost(private, f"its public half {public} is still there")
    for name in (private, ENCRYPTION_KEY):
        if name not in store and signed:
            raise _lost(name, f"{next(iter(signed.values()))}, which was made after it, is still there")


def _lost(name: str, why: str) -> Problem:
    return Problem(
        f"{name} is missing from the state directory",
        why=f"{why}; a new {name} would not fit a cluster that runs with the old one",
        next=f"put {name} back, or the whole state from a copy: bootstrap state import FILE --force\n"
        "if this file never founded a cluster, delete its state directory",
        code=Code.LOCKED,
    )


def _make_once(cluster: Cluster, seen: MutableMapping[str, bytes], now: datetime) -> None:
    """The shared keys and the authorities, before anything is signed: so a leaf proves that all of them existed."""
    algorithm, days = cluster.encryption_algorithm, cluster.ca_certificate_validity_days
    private, public = f"{SERVICE_ACCOUNTS}.key", f"{SERVICE_ACCOUNTS}.pub"
    if private not in seen:
        seen[private] = keys.private_pem(keys.generate(algorithm))
    if public not in seen:
        seen[public] = keys.public_pem(_service_accounts(seen))
    if ENCRYPTION_KEY not in seen:
        seen[ENCRYPTION_KEY] = b64encode(token_bytes(_ENCRYPTION_BYTES))
    for spec in authorities(cluster):
        if f"{spec.name}.crt" not in seen:
            pair = pki.Authority.create(spec.common_name, algorithm, now=now, days=days).pair
            seen[f"{spec.name}.key"], seen[f"{spec.name}.crt"] = pair.key, pair.certificate


def _refuse_damage(store: Mapping[str, bytes]) -> None:
    """Problem when what goes to nodes as it is could do nothing there: half a file, or halves that are no pair."""
    public = f"{SERVICE_ACCOUNTS}.pub"
    try:
        pair = load_pem_public_key(store[public]) == _service_accounts(store).public_key()
    except ValueError as wrong:
        raise unusable(public, str(wrong)) from wrong
    if not pair:
        raise unusable(public, f"{SERVICE_ACCOUNTS}.key is the private half of another")
    try:
        size = len(b64decode(store[ENCRYPTION_KEY], validate=True))
    except ValueError:
        size = 0
    if size != _ENCRYPTION_BYTES:
        raise unusable(ENCRYPTION_KEY, f"it is not {_ENCRYPTION_BYTES} bytes in base64")


def _service_accounts(store: Mapping[str, bytes]) -> keys.PrivateKey:
    private = f"{SERVICE_ACCOUNTS}.key"
    try:
        return keys.read(store[private])
    except ValueError as wrong:
        raise unusable(private, str(wrong)) from wrong


def _issuer(spec: AuthoritySpec, store: Mapping[str, bytes], now: datetime) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificate(store[f"{spec.name}.crt"])
    except ValueError as wrong:
        raise unusable(f"{spec.name}.crt", str(wrong)) from wrong
    if found.not_valid_after_utc <= now:
        raise Problem(
            f"the authority {spec.name}.crt expired on {found.not_valid_after_utc:%Y-%m-%d}",
            next="nothing can be signed any more: found a new cluster, or put a renewed authority in its place",
        )
    return found


def _signer(spec: AuthoritySpec, store: Mapping[str, bytes], passphrase: Passphrase) -> pki.Authority:
    certificate, key = store[f"{spec.name}.crt"], store.get(f"{spec.name}.key")
    if key is None:
        raise unusable(f"{spec.name}.key", "it is not in the state directory, and certificates have to be signed")
    try:
        return pki.Authority.read(certificate, key, passphrase(PURPOSE) if keys.encrypted(key) else b"")
    except keys.WrongPassphrase as wrong:
        raise wrong_passphrase(f"{spec.name}.key", str(wrong)) from wrong
    except ValueError as wrong:
        raise unusable(f"{spec.name}.key", str(wrong)) from wrong


def _request(spec: CertificateSpec, cluster: Cluster, node: Node) -> pki.Request:
    try:
        return pki.Request(
            common_name=spec.user(node),
            organization=spec.organization,
            usages=spec.usages,
            names=spec.names(cluster, node),
            algorithm=cluster.encryption_algorithm,
        )
    except ValueError as wrong:
        raise Problem(
            f"{spec.stored(node)}.crt can't be what the file asks for",
            why=str(wrong),
            next="correct the name in cluster.yaml, then: bootstrap config validate",
            code=Code.WRONG_FILE,
        ) from wrong
