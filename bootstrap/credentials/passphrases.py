"""Authorities' keys under a passphrase: who needs one asks for it here, and nobody keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bootstrap.credentials.delivery import unusable
from bootstrap.credentials.rows import AUTHORITIES
from bootstrap.errors import Code, Problem
from pki import keys

Passphrase = Callable[[str], bytes]  # what it is the passphrase of -> itself
PURPOSE = "the authorities' keys"
# One that signs in the cluster lies on its nodes in clear, as do the service accounts' key and the encryption key.
_KEYS = tuple(f"{spec.name}.key" for spec in AUTHORITIES if not spec.signs_there)


def nobody(what: str) -> bytes:
    """There is nobody to ask."""
    raise Problem(
        f"the passphrase of {what} is needed",
        why="a certificate has to be signed" if what == PURPOSE else "",
        next="run it at a terminal, or: --passphrase-file FILE, or the environment variable BOOTSTRAP_PASSPHRASE",
        code=Code.UNREACHABLE,
    )


def wrong_passphrase(what: str, why: str) -> Problem:
    """It was not the right one."""
    return Problem(
        f"the passphrase does not open {what}", why=why, next="run it again, with the right one", code=Code.UNREACHABLE
    )


def encrypt(store: Mapping[str, bytes], passphrase: Passphrase) -> dict[str, bytes]:
    """The authorities' keys that lie in clear, encrypted; Problem when there are none at all."""
    clear = {name: content for name, content in _present(store).items() if not keys.encrypted(content)}
    secret = passphrase(PURPOSE) if clear else b""
    try:
        return {name: keys.private_pem(keys.read(content), secret) for name, content in clear.items()}
    except ValueError as wrong:
        raise unusable("an authority's key", str(wrong)) from wrong


def decrypt(store: Mapping[str, bytes], passphrase: Passphrase) -> dict[str, bytes]:
    """The authorities' keys that are encrypted, in clear; Problem when there are none, or it is the wrong one."""
    locked = {name: content for name, content in _present(store).items() if keys.encrypted(content)}
    secret = passphrase(PURPOSE) if locked else b""
    try:
        return {name: keys.private_pem(keys.read(content, secret)) for name, content in locked.items()}
    except keys.WrongPassphrase as wrong:
        raise wrong_passphrase(PURPOSE, str(wrong)) from wrong


def _present(store: Mapping[str, bytes]) -> dict[str, bytes]:
    if found := {name: store[name] for name in _KEYS if name in store}:
        return found
    raise Problem("there are no authorities' keys here", next="bootstrap init", code=Code.LOCKED)
