"""What is asked of a leaf certificate, the extensions that say so, and whether one that exists still does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import keys
from pki.keys import Algorithm
from pki.names import alternative_names

# What reading a certificate may raise, and checking its signature.
_UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class Usage(Enum):
    """What a leaf may be shown as."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate as it is wanted; `names` are its DNS names and addresses, in any order.

    ValueError when it can't be had: a name that is no name, or a subject over X.509's 64 characters.
    """

    common_name: str
    usages: tuple[Usage, ...]
    organization: str = ""
    names: tuple[str, ...] = ()
    algorithm: Algorithm = "ECDSA-P256"

    def __post_init__(self) -> None:
        """Refuses what could not be issued, so that a request that exists can be."""
        _ = self.subject, alternative_names(self.names)

    @property
    def subject(self) -> x509.Name:
        """Organization (when there is one) and common name, in the order Go writes them."""
        return subject(self.common_name, self.organization)

    def extensions(
        self, public_key: CertificatePublicKeyTypes, issuer: x509.Certificate
    ) -> tuple[tuple[x509.ExtensionType, bool], ...]:
        """Every extension of the leaf over this key, each with whether it is critical, in their order."""
        # Keys are enciphered by RSA key transport only; with EC keys the bit is forbidden: RFC 8813 §3.
        encipherment = isinstance(public_key, RSAPublicKey)
        names = alternative_names(self.names)
        return (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (key_usage(signature=True, encipherment=encipherment), True),
            (x509.ExtendedKeyUsage([usage.value for usage in self.usages]), False),
            (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
            # Without it strict verifiers refuse the chain, Python's since 3.13: RFC 5280 §4.2.1.1.
            (_authority_key(issuer), False),
            *([(x509.SubjectAlternativeName(names), False)] if names else []),
        )


def matches(
    certificate: bytes, key: bytes, request: Request, issuer: x509.Certificate, *, now: datetime, days: int
) -> bool:
    """Whether this pair (PEM) is what `request` asks of `issuer`, and stays valid for `days` more.

    A certificate that never was valid for long must keep a third of its life instead: one of ten days would
    otherwise be issued again on every run. What can't be read does not match.
    """
    try:
        found, private = x509.load_pem_x509_certificate(certificate), keys.read(key)
        present = tuple((extension.value, extension.critical) for extension in found.extensions)
        found.verify_directly_issued_by(issuer)
    except (
        ValueError,
        TypeError,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        InvalidSignature,
    ):
        return False
    public, start, end = found.public_key(), found.not_valid_before_utc, found.not_valid_after_utc
    return (
        private.public_key() == public
        and keys.algorithm_of(public) == request.algorithm
        and found.subject == request.subject
        and present == request.extensions(public, issuer)
        and start <= now
        and end - now >= min(timedelta(days=days), (end - start) / 3)
    )


def subject(common_name: str, organization: str = "") -> x509.Name:
    """A distinguished name of these two; ValueError when either has more than 64 characters."""
    parts = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name))
    for _, value in parts:
        if len(value) > 64:
            raise ValueError(f"longer than the 64 characters a certificate's subject may have: {value!r}")
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def key_usage(*, signature: bool = False, encipherment: bool = False, authority: bool = False) -> x509.KeyUsage:
    """The key usage with these bits; `authority`: signs certificates and revocation lists."""
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's key as the issuer names it itself; the digest of the key where it does not."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
