"""Files under a passphrase, as one file of text that can travel: scrypt makes the key, AES-256-GCM seals (ADR 21)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from secrets import token_bytes
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

COST = (
    2**17
)  # 128 MiB and a third of a second: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
_MOST = 2**20  # a file that asks for more memory than a gibibyte was not made by us
_BLOCK, _PARALLEL = 8, 1


class Damaged(ValueError):
    """It is no such file, or no longer."""


class WrongPassphrase(ValueError):
    """Or somebody has changed the file: that can't be told apart."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is told in clear; it can't be changed without the passphrase, since it is sealed with the rest."""

    cluster: str
    uid: str
    epoch: int


def seal(files: Mapping[str, bytes], head: Head, passphrase: bytes) -> bytes:
    """All of them, by name, under the passphrase."""
    salt, nonce = token_bytes(16), token_bytes(12)
    clear: dict[str, Any] = {
        "apiVersion": "bootstrap/v1",
        "kind": "State",
        "cluster": head.cluster,
        "uid": head.uid,
        "epoch": head.epoch,
        "scrypt": {"n": COST, "r": _BLOCK, "p": _PARALLEL, "salt": b64encode(salt).decode()},
        "nonce": b64encode(nonce).decode(),
    }
    content = json.dumps({name: b64encode(files[name]).decode() for name in sorted(files)}).encode()
    sealed = AESGCM(_key(passphrase, salt, COST)).encrypt(nonce, content, _bound(clear))
    return (json.dumps(clear | {"sealed": b64encode(sealed).decode()}, indent=1) + "\n").encode()


def head(text: bytes) -> Head:
    """What it says of itself, before anybody has shown the passphrase; Damaged when it is no such file."""
    clear, _ = _parsed(text)
    return Head(clear["cluster"], clear["uid"], clear["epoch"])


def unseal(text: bytes, passphrase: bytes) -> dict[str, bytes]:
    """The files, by name. Damaged, or WrongPassphrase."""
    clear, sealed = _parsed(text)
    try:
        key = _key(passphrase, b64decode(clear["scrypt"]["salt"]), clear["scrypt"]["n"])
        content = AESGCM(key).decrypt(b64decode(clear["nonce"]), sealed, _bound(clear))
    except InvalidTag as wrong:
        raise WrongPassphrase("this is not its passphrase, or the file was changed") from wrong
    files = {str(name): b64decode(each) for name, each in json.loads(content).items()}
    for name in files:  # whoever knows the passphrase may have made it
        path = PurePosixPath(name)
        if path.is_absolute() or any(part.startswith(".") for part in path.parts):
            raise Damaged(f"it has a file of a name that no state has: {name!r}")
    return files


def _parsed(text: bytes) -> tuple[dict[str, Any], bytes]:
    """What is in clear, and what is sealed."""
    try:
        tree = json.loads(text)
        sealed = b64decode(tree.pop("sealed"), validate=True)
        cost = tree["scrypt"]
        known = (tree["apiVersion"], tree["kind"]) == ("bootstrap/v1", "State")
        typed = all(isinstance(tree[name], kind) for name, kind in (("cluster", str), ("uid", str), ("epoch", int)))
        sizes = len(b64decode(cost["salt"])), len(b64decode(tree["nonce"])), cost["r"], cost["p"]
        sane = cost["n"] in (2**power for power in range(10, _MOST.bit_length()))
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise Damaged("it is no file of bootstrap state export, or a part of it is missing") from wrong
    if not (known and typed and sane and sizes == (16, 12, _BLOCK, _PARALLEL)):
        raise Damaged("it is no file of bootstrap state export, or of another version")
    return tree, sealed


def _bound(clear: Mapping[str, Any]) -> bytes:
    return json.dumps(clear, sort_keys=True, separators=(",", ":")).encode()


def _key(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=_BLOCK, p=_PARALLEL).derive(passphrase)
