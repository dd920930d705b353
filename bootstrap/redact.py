"""The only module that takes secrets out of what people keep or send away: logs, manifests, cluster.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "[redacted]"
_NAME = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|"
    r"encryption[-_]?key|key[-_]?data|cookie|salt"
)
_SECRET = re.compile(_NAME, re.IGNORECASE)
_PATH = re.compile(r"/(?:etc|var|run|usr|opt|srv|root|home|tmp)/")
_OURS = ("BOOTSTRAP_PART", "BOOTSTRAP_GENERATION")  # which of our parts a container is

# (what a secret looks like, what stands there instead)
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,}"), HIDDEN),  # the same, and certificates, in base64
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), HIDDEN),  # a JSON web token
    (re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"), HIDDEN),  # a bootstrap token
    (re.compile(r"(?i)(\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!bearer|basic)[\w+/=.~-]{6,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"), HIDDEN),  # user and password in a URL
)
_ASSIGNED = re.compile(
    rf"""(?ix) ( [\w.-]* (?:{_NAME}) [\w-]* \\?["']? \s* [:=] \s* )   # a name, and what gives it a value
    ( \\?"[^"]*" | '[^']*' | [^\s,;&"'}}]+ )"""
)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text without what looks like a secret, and without these that are known to be, the longest first."""
    for secret in known:
        text = text.replace(secret, HIDDEN)
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return _ASSIGNED.sub(_assigned, text)


def _assigned(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    plain = value.strip("\\\"'")
    keeps = _PATH.match(plain) or not plain or plain in ("true", "false", "null", "{}", "[]") or HIDDEN in value
    return found[0] if keeps else name + HIDDEN


def tree(value: Any, known: Iterable[str] = ()) -> Any:
    """A tree of YAML or JSON without secrets: by the names of fields, every value of an environment, every string."""
    match value:
        case {"name": str(name), "value": str(told), **more} if not more:  # an environment variable, or a flag
            shown = told if name in _OURS or not _variable(name) else HIDDEN
            return {"name": name, "value": _string(name, shown, known)}
        case dict():
            return {key: _field(str(key), each, known) for key, each in value.items()}
        case list() | tuple():
            return [tree(each, known) for each in value]
        case str():
            return redact(value, known)
    return value


def _variable(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Z_][A-Z0-9_]*", name))


def _string(name: str, told: str, known: Iterable[str]) -> str:
    return HIDDEN if _SECRET.search(name) and not _PATH.match(told) else redact(told, known)


def _field(name: str, value: Any, known: Iterable[str]) -> Any:
    match value:
        case str() if name not in _NAMES:
            return _string(name, value, known)
        case dict() if name in ("stringData", "data") or (_SECRET.search(name) and name not in _NAMES):
            return {k: HIDDEN if isinstance(v, str) and k not in _NAMES else tree(v, known) for k, v in value.items()}
    return tree(value, known)


_NAMES = ("secretName", "tokenExpirationSeconds")  # fields of Kubernetes that only name, or count


def secrets(store: Mapping[str, bytes]) -> list[str]:
    """Every secret of a state directory, as it might stand in a text: lines of keys, and values of kubeconfigs.

    The longest first. A word without a digit is a name of a field.
    """
    found: set[str] = set()
    for name, content in store.items():
        if name.endswith((".crt", ".pub", "known_hosts", "lock")) or name.startswith("bootstrap.log"):
            continue
        words = re.split(r"[\s\"',:]+", content.decode(errors="replace"))
        found |= {word for word in words if len(word) >= 24 and re.fullmatch(r"(?=.*\d)[A-Za-z0-9+/=_-]+", word)}
    return sorted(found, key=lambda secret: (-len(secret), secret))
