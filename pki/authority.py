"""The only module that signs: authorities, and the leaves they issue."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from pki import keys
from pki.keys import Algorithm, PrivateKey
from pki.leaf import Request, key_usage, subject

# Nodes whose clocks are behind must accept a new certificate at once. kubeadm's five minutes are too few for
# machines that have not met their time server yet: https://github.com/kubernetes-sigs/cluster-api/issues/4304
BACKDATE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that can sign."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @classmethod
    def create(cls, common_name: str, algorithm: Algorithm, *, now: datetime, days: int) -> Authority:
        """A self-signed authority, valid for `days` from `now` (aware); its DNS name is its common name."""
        key = keys.generate(algorithm)
        name = subject(common_name)
        extensions = (
            # No path length: a successor signed by this one, as in a rotation, must stay possible.
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage(authority=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.SubjectAlternativeName([x509.DNSName(common_name)]), False),
        )
        builder = _unsigned(name, key.public_key(), extensions, (now, now + timedelta(days=days)))
        return cls(builder.issuer_name(name).sign(key, keys.signature_hash(key)), key)

    @classmethod
    def read(cls, certificate: bytes, key: bytes, passphrase: bytes = b"") -> Authority:
        """The authority of these PEMs (of a bundle, the first); ValueError when they are not a pair.

        WrongPassphrase when the key is encrypted, and this is not its passphrase.
        """
        found = cls(x509.load_pem_x509_certificate(certificate), keys.read(key, passphrase))
        if found.certificate.public_key() != found.key.public_key():
            raise ValueError("the key does not belong to the certificate")
        return found

    @property
    def pair(self) -> Pair:
        """Itself as PEM."""
        return Pair(self.certificate.public_bytes(Encoding.PEM), keys.private_pem(self.key))

    def issue(self, request: Request, *, now: datetime, days: int) -> Pair:
        """A new key and its certificate, valid for `days` from `now` (aware), but not beyond the authority.

        ValueError when the authority itself has expired.
        """
        end = self.certificate.not_valid_after_utc
        if end <= now:
            raise ValueError(f"expired on {end:%Y-%m-%d}")
        key = keys.generate(request.algorithm)
        extensions = request.extensions(key.public_key(), self.certificate)
        validity = now, min(now + timedelta(days=days), end)
        builder = _unsigned(request.subject, key.public_key(), extensions, validity)
        builder = builder.issuer_name(self.certificate.subject)
        leaf = builder.sign(self.key, keys.signature_hash(self.key))
        return Pair(leaf.public_bytes(Encoding.PEM), keys.private_pem(key))


def _unsigned(
    name: x509.Name,
    public_key: CertificatePublicKeyTypes,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...],
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    start, end = validity
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public_key)
        .serial_number(secrets.randbelow(2**128 - 1) + 1)
        .not_valid_before(start - BACKDATE)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder
