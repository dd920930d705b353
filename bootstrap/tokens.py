"""Bootstrap tokens: Secrets that let whoever shows one ask for the certificate of a kubelet, for a while.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import re
import secrets
import string
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bootstrap import flags
from bootstrap.kube import Kube
from bootstrap.objects import JOINING, SYSTEM, key, ours

TYPE = "bootstrap.kubernetes.io/token"
SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"
ID = re.compile(r"[a-z0-9]{6}")
_USAGES = ("authentication", "signing")
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `secret` is known where it was made, and nowhere else. `expires`: None = never."""

    id: str
    expires: datetime | None
    usages: tuple[str, ...] = _USAGES
    description: str = ""
    secret: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """What is shown to the API."""
        return f"{self.id}.{self.secret}"


def new(now: datetime, ttl: timedelta | None, description: str) -> Token:
    """A random one; `ttl` None: it does not end."""
    number, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (6, 16))
    expires = None if ttl is None else (now + ttl).replace(microsecond=0)
    return Token(number, expires, description=description, secret=secret)


def lifetime(text: str) -> timedelta | None:
    """Go's way to write a time ("1h30m"), one second at least; None: "0", for ever. ValueError for anything else."""
    if text == "0":
        return None
    if not re.fullmatch(r"(\d+(\.\d+)?[hms])+", text) or flags.seconds(text) < 1:
        raise ValueError(text)
    return timedelta(seconds=flags.seconds(text))


def line(server: str, token: Token, pin: str) -> str:
    """What to run on the machine that joins; `server` is the API's URL."""
    where = server.removeprefix("https://")
    return f"kubeadm join {where} --token {token.text} --discovery-token-ca-cert-hash {pin}"


def put(kube: Kube, token: Token) -> None:
    """It counts from now on."""
    content = {
        "token-id": token.id,
        "token-secret": token.secret,
        "auth-extra-groups": JOINING,
        **{f"usage-bootstrap-{usage}": "true" for usage in token.usages},
        **({"description": token.description} if token.description else {}),
        **({"expiration": token.expires.isoformat().replace("+00:00", "Z")} if token.expires else {}),
    }
    data = {name: b64encode(value.encode()).decode() for name, value in content.items()}
    kube.put([ours("v1", "Secret", f"bootstrap-token-{token.id}", SYSTEM) | {"type": TYPE, "data": data}])


def every(kube: Kube) -> list[Token]:
    """All there are, whoever made them; without their secrets."""
    return sorted((_token(each) for each in _listed(kube)), key=lambda token: token.id)


def keys(kube: Kube) -> list[str]:
    """Their keys as objects."""
    return [key({"apiVersion": "v1", "kind": "Secret", **each}) for each in _listed(kube)]


def delete(kube: Kube, token: str) -> None:
    """It does not count any more; `token` is its id."""
    kube.drop([f"|Secret|{SYSTEM}|bootstrap-token-{token}"])


def _listed(kube: Kube) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (kube.get(f"{SECRETS}?fieldSelector=type={TYPE}") or {}).get("items", [])
    return found


def _token(secret: dict[str, Any]) -> Token:
    told = {name: b64decode(value).decode(errors="replace") for name, value in (secret.get("data") or {}).items()}
    return Token(
        id=told.get("token-id", ""),
        expires=_time(told.get("expiration", "")),
        usages=tuple(usage for usage in _USAGES if told.get(f"usage-bootstrap-{usage}") == "true"),
        description=told.get("description", ""),
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
