"""Whether a host is the one it should be: by known_hosts, by a pinned key, or, where asked for, by its first one."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

import paramiko

from bootstrap import disk
from bootstrap.errors import Problem
from bootstrap.ssh.faults import problem
from bootstrap.ssh.login import Route

Key = tuple[str, str]  # its type and its base64: "ssh-ed25519", "AAAA…"


@dataclass(slots=True)
class Known:
    """What is written of one host: its keys, those never to believe, and authorities of host certificates."""

    keys: set[Key] = field(default_factory=set)
    revoked: set[Key] = field(default_factory=set)
    authorities: set[Key] = field(default_factory=set)


def known(route: Route) -> Known:
    """What is known of it: the pinned key alone, else what the files say."""
    if route.host_key:
        kind, _, key = route.host_key.partition(" ")
        return Known({(kind, key)})
    found = Known()
    for path in route.known_hosts:
        try:
            text = path.read_text(errors="replace")
        except OSError:  # there is none, or none of ours
            continue
        for marker, shown in _lines(text, route.name):
            {"": found.keys, "@revoked": found.revoked, "@cert-authority": found.authorities}[marker].add(shown)
    return found


def _lines(text: str, name: str) -> Iterator[tuple[str, Key]]:
    """(marker, key) of every line about this host; sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0] in ("@revoked", "@cert-authority") else ""
        if len(words) >= 3 and not words[0].startswith(("#", "@")) and _about(words[0], name):
            yield marker, (words[1], words[2])


def _about(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        try:
            salt, hashed = (b64decode(part, validate=True) for part in names[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.lower().encode(), "sha1"), hashed)
    patterns = names.split(",")
    return not any(each[0] == "!" and _matches(each[1:], name) for each in patterns if each) and any(
        _matches(each, name) for each in patterns
    )


def _matches(pattern: str, name: str) -> bool:
    """`*` and `?` are all there is: a bracket is one."""
    return re.fullmatch(translate(pattern.replace("[", "[[]")), name, re.IGNORECASE) is not None


class Trust(paramiko.MissingHostKeyPolicy):
    """Decides on the key that a host shows; paramiko is told of no known one, so it asks for each."""

    def __init__(self, node: str, route: Route) -> None:
        """The files are read."""
        self._node, self._route, self._known = node, route, known(route)

    def preferred(self, offered: Sequence[str]) -> list[str]:
        """The algorithms, those first whose key is known: a host has several keys, and shows one."""
        kinds = {kind for kind, _ in self._known.keys}
        return sorted(offered, key=lambda algorithm: _kind(algorithm) not in kinds)

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Returns where it is the right one; Problem."""
        shown = (key.get_name(), key.get_base64())
        if shown in self._known.revoked:
            raise self._wrong("RevokedHostKey", key, "known_hosts says so")
        if shown in self._known.keys:
            return
        if self._known.keys:
            raise self._wrong("ChangedHostKey", key, f"it shows {shown[0]} {shown[1]}")
        if self._route.new_keys:
            self._accept(self._route.new_keys, key)
            return
        files = " nor ".join(map(str, self._route.known_hosts))
        why = f"neither cluster.yaml nor {files} has a key of {self._route.name}"
        if self._known.authorities:
            why += "; a @cert-authority has, and certificates of hosts are not understood here"
        raise self._wrong("UnknownHostKey", key, why)

    def _accept(self, path: Path, key: paramiko.PKey) -> None:
        """Written down, unless somebody else has just written another one."""
        shown = (key.get_name(), key.get_base64())
        try:
            disk.make(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+", errors="replace") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = file.read()
                meanwhile = {known for marker, known in _lines(text, self._route.name) if not marker}
                if meanwhile and shown not in meanwhile:
                    raise self._wrong("ChangedHostKey", key, f"it shows {shown[0]} {shown[1]}")
                if not meanwhile:
                    start = "" if not text or text.endswith("\n") else "\n"
                    file.write(f"{start}{self._route.name} {shown[0]} {shown[1]}\n")
                    file.flush()
                    os.fsync(descriptor)
        except OSError as error:
            why = f"{path}, where it would be written down, can't be written: {error.strerror or error}"
            raise self._wrong("UnknownHostKey", key, why) from error

    def _wrong(self, fault: str, key: paramiko.PKey, why: str) -> Problem:
        kind = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(key.get_name(), "ecdsa")
        words = {"node": self._node, "name": self._route.name, "fingerprint": fingerprint(key), "kind": kind}
        return problem(fault, self._route.words | words, why)


def fingerprint(key: paramiko.PKey) -> str:
    """As ssh-keygen -l prints it."""
    return "SHA256:" + b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _kind(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm
