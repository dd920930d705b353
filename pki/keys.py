"""Private keys: made, written and read as PEM, and told apart."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pki import pkcs8

Algorithm = Literal["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES = {"secp256r1": "ECDSA-P256", "secp384r1": "ECDSA-P384"}


class WrongPassphrase(ValueError):
    """The key is encrypted, and this is not its passphrase; or it is damaged, which can't be told apart."""


def generate(algorithm: Algorithm) -> PrivateKey:
    """A new random key."""
    match algorithm:
        case "ECDSA-P256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ECDSA-P384":
            return ec.generate_private_key(ec.SECP384R1())
        case "RSA-2048" | "RSA-3072" | "RSA-4096":
            return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm[4:]))


def algorithm_of(key: PrivateKeyTypes | PublicKeyTypes) -> str:
    """Its algorithm in the words of `Algorithm`; another word when it is none of these."""
    match key:
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name, key.curve.name)
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return f"RSA-{key.key_size}"
        case _:
            return type(key).__name__


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash this key signs with: as strong as its curve (RFC 5480 §4), SHA-256 with RSA."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.key_size > 384:
            return hashes.SHA512()
        case ec.EllipticCurvePrivateKey() if key.curve.key_size > 256:
            return hashes.SHA384()
        case _:
            return hashes.SHA256()


def private_pem(key: PrivateKey, passphrase: bytes = b"") -> bytes:
    """The key as kubeadm writes it, in clear: "EC PRIVATE KEY" (RFC 5915) or "RSA PRIVATE KEY" (PKCS #1).

    Under a passphrase: "ENCRYPTED PRIVATE KEY" (PKCS #8).
    """
    if passphrase:
        return pkcs8.encrypted(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def public_pem(key: PrivateKey) -> bytes:
    """Its public half, "PUBLIC KEY" (PKIX)."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encrypted(pem: bytes) -> bool:
    """Whether a private key needs a passphrase, in PKCS #8 or in OpenSSL's older way."""
    return pkcs8.LABEL in pem or b"Proc-Type: 4,ENCRYPTED" in pem


def read(pem: bytes, passphrase: bytes = b"") -> PrivateKey:
    """A private key from PEM of any usual format; a passphrase that is not needed is not looked at.

    ValueError when damaged, encrypted or of another kind; WrongPassphrase when that is to blame.
    """
    locked = encrypted(pem)
    if locked and not passphrase:
        raise ValueError("the private key is encrypted")
    try:
        key = load_pem_private_key(pem, password=passphrase if locked else None)
    except ValueError as wrong:
        if (
            locked
        ):  # of 256 wrong passphrases one decrypts to what only looks like padding: it says nothing of passwords
            raise WrongPassphrase("this is not its passphrase, or the key is damaged") from wrong
        raise
    if not isinstance(key, PrivateKey):
        raise ValueError(f"neither an ECDSA nor an RSA key: {type(key).__name__}")  # noqa: TRY004 (bad PEM, not a bad call)
    return key


def fingerprint(key: PublicKeyTypes) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, in hex: the same for every certificate over the same key."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
