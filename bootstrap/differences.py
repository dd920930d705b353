"""What differs between two contents of a file, in its own words: flags, mounts, names of a certificate, keys; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bootstrap import documents

HIDDEN = "(not shown)"

_OURS = re.compile(r"\bBOOTSTRAP_GENERATION\b")  # changes whenever anything of a part does: it says nothing
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_TELLING = re.compile(r"passw|token|secret|credential|api-?_?key|private|key-data|\bauthorization$", re.IGNORECASE)
_HARMLESS = re.compile(
    r"|true|false|/(etc|var|usr|run|opt|srv)/[\w./-]+|([0-9.]+(ms|s|m|h))+"
)  # a switch, a path, a time
_LOGIN = re.compile(r"://[^/@\s]*@")

Facets = dict[str, list[str]]  # what -> its values, in their order


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; None: it is not there. What may be secret is not shown."""

    what: str
    was: str | None
    now: str | None


def differences(was: bytes, now: bytes) -> tuple[Difference, ...]:
    """What of a file differs, in the order of its new content, then what is gone; () when it says the same."""
    before, after = facets(was.decode(errors="replace")), facets(now.decode(errors="replace"))
    return tuple(
        Difference(what, shown(what, before.get(what)), shown(what, after.get(what)))
        for what in (*after, *(before.keys() - after.keys()))
        if before.get(what) != after.get(what)
    )


def shown(what: str, values: Sequence[str] | None) -> str | None:
    """Values as people may read them."""
    return None if values is None else ", ".join(discreet(what, value) for value in values)


def discreet(what: str, value: str) -> str:
    """A value, unless its name says that it is a secret, or it looks like one."""
    if "PRIVATE KEY" in value or (_TELLING.search(what) and not _HARMLESS.fullmatch(value)):
        return HIDDEN
    value = _LOGIN.sub("://***@", value)
    lines = value.strip().splitlines()
    return value if len(lines) < 2 else f"{lines[0]} … ({len(lines)} lines)"


def facets(text: str) -> Facets:
    """What a content says: of certificates, manifests and other YAML, units and settings, else line by line."""
    found: Facets = {}
    for what, value in _facets(text):
        if not _OURS.search(what):
            found.setdefault(what, []).append(value)
    return found


def _facets(text: str) -> Iterator[tuple[str, str]]:
    if _CERTIFICATE in text:
        try:
            yield from _certificates(x509.load_pem_x509_certificates(text.encode()))
        except ValueError:
            yield "no certificate", ""
        return
    if re.search(r"^\[\w+\]$", text, re.MULTILINE):
        yield from _unit(text)
        return
    try:
        values = [value for _, value in documents.load(text)]
    except (yaml.YAMLError, ValueError):
        values = []
    if values and all(isinstance(value, Mapping) for value in values):
        for number, value in enumerate(values, 1):
            prefix = f"{number}: " if len(values) > 1 else ""
            yield from ((prefix + what, found) for what, found in _document(value))
        return
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if line.strip() and not line.startswith(("#", ";")):
            yield (name.strip(), value.strip()) if equals else (line.strip(), "")


def _certificates(chain: Sequence[x509.Certificate]) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(chain, 1):
        prefix = f"{number}: " if len(chain) > 1 else ""
        yield f"{prefix}subject", each.subject.rfc4514_string()
        yield f"{prefix}issuer", each.issuer.rfc4514_string()
        yield f"{prefix}serial", f"{each.serial_number:x}"
        yield f"{prefix}begins", f"{each.not_valid_before_utc:%Y-%m-%d %H:%M}"
        yield f"{prefix}ends", f"{each.not_valid_after_utc:%Y-%m-%d %H:%M}"
        yield f"{prefix}public key", _digest(each)
        for extension in each.extensions:
            match extension.value:
                case x509.SubjectAlternativeName() as names:
                    yield from ((f"{prefix}SAN {name.value}", "") for name in names)
                case x509.ExtendedKeyUsage() as usages:
                    yield f"{prefix}usages", ", ".join(usage._name for usage in usages)
                case x509.AuthorityKeyIdentifier(key_identifier=bytes() as issuer):
                    yield f"{prefix}issuer's key", issuer.hex()[:16]


def _digest(certificate: x509.Certificate) -> str:
    digest = Hash(SHA256())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()[:16]


def _document(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    if value.get("kind") == "Pod":
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # somebody's own idea of a pod
            return list(_pod(value))
    return list(_keys("", value))


def _pod(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    spec = dict(value["spec"])
    volumes = {
        each["name"]: each.get("hostPath", {})
        for each in spec.pop("volumes", ())
        if isinstance(each, Mapping) and isinstance(each.get("name"), str)
    }
    containers = [each for each in spec.pop("containers", ()) if isinstance(each, Mapping)]
    for each in containers:
        prefix = f"{each.get('name')}: " if len(containers) > 1 else ""
        yield from ((prefix + what, found) for what, found in _container(dict(each), volumes))
    yield from _keys("", {**value, "spec": spec})


def _container(container: dict[str, Any], volumes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _words([*container.pop("command", ()), *container.pop("args", ())])
    for variable in container.pop("env", ()):
        source = variable.get("valueFrom")
        yield f"environment {variable.get('name')}", str(source or variable.get("value", ""))
    for mount in container.pop("volumeMounts", ()):
        volume = volumes.get(mount.get("name")) or {}
        way = "read-only" if mount.get("readOnly") else "writable"
        kind = f", {volume['type']}" if volume.get("type") else ""
        yield f"mount {mount.get('name')}", f"{volume.get('path', '')} at {mount.get('mountPath')}, {way}{kind}"
    yield from _keys("", container)


def _words(words: Sequence[object]) -> Iterator[tuple[str, str]]:
    """Flags by name; everything before the first one is the command."""
    plain = [str(word) for word in words]
    for is_flag, group in groupby(plain, key=lambda word: word.startswith("-")):
        if is_flag:
            for word in group:
                name, _, value = word.partition("=")
                yield name, value
        else:
            yield "command", " ".join(group)


def _unit(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, equals, value = line.partition("=")
        if line.startswith("["):
            section = line.strip("[]")
        elif not equals or line.startswith(("#", ";")):
            continue
        elif name == "Environment":
            yield from ((f"environment {word.partition('=')[0]}", word.partition("=")[2]) for word in value.split())
        elif name == "ExecStart" and " --" in value:
            yield from _words(value.split())
        elif value:
            yield f"{section}.{name}", value


def _keys(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Every leaf by its path; a list of things that have a name by that, one of plain values as one."""
    match value:
        case Mapping() if value:
            for key, below in value.items():
                yield from _keys(f"{path}.{key}" if path else str(key), below)
        case [*items] if any(isinstance(item, Mapping | list) for item in items):
            names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
            distinct = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
            for number, item in enumerate(items):
                yield from _keys(f"{path}[{names[number] if distinct else number}]", item)
        case [*items]:
            yield path, ", ".join(map(_plain, items))
        case _:
            yield path, _plain(value)


def _plain(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case _:
            return str(value)


def keys(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the fields that differ between two objects, never their values."""
    before, after = dict(_keys("", was)), dict(_keys("", now))
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))
