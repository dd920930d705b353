"""Private keys under a passphrase, as PKCS #8 holds them (RFC 8018's PBES2): what `openssl pkey` reads.

Cryptography writes the format itself, but with 2048 rounds of PBKDF2, where OWASP asks for 600,000, and the number
can't be chosen. So the envelope is written here; what computes, and what reads it again, is Cryptography's.
"""

from __future__ import annotations

from base64 import b64encode
from secrets import token_bytes

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

ROUNDS = (
    600_000  # of PBKDF2-HMAC-SHA256: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
)
LABEL = b"ENCRYPTED PRIVATE KEY"

_INTEGER, _OCTETS, _NULL, _SEQUENCE = 0x02, 0x04, b"\x05\x00", 0x30
_PBES2 = bytes.fromhex("06092a864886f70d01050d")  # 1.2.840.113549.1.5.13
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")  # 1.2.840.113549.1.5.12
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")  # 1.2.840.113549.2.9
_AES_256_CBC = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42


def encrypted(der: bytes, passphrase: bytes) -> bytes:
    """A key (DER, PKCS #8) as PEM under the passphrase."""
    salt, vector = token_bytes(16), token_bytes(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, ROUNDS).derive(passphrase)
    padder, cipher = padding.PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    content = cipher.update(padder.update(der) + padder.finalize()) + cipher.finalize()
    rounds = _der(_INTEGER, ROUNDS.to_bytes(ROUNDS.bit_length() // 8 + 1, "big"))
    derivation = _der(_OCTETS, salt), rounds, _der(_SEQUENCE, _HMAC_SHA256, _NULL)
    scheme = (
        _der(_SEQUENCE, _PBKDF2, _der(_SEQUENCE, *derivation)),
        _der(_SEQUENCE, _AES_256_CBC, _der(_OCTETS, vector)),
    )
    whole = _der(_SEQUENCE, _der(_SEQUENCE, _PBES2, _der(_SEQUENCE, *scheme)), _der(_OCTETS, content))
    text = b64encode(whole)
    body = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (LABEL, body, LABEL)


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
