"""Whom we log in as: private keys of files and of an agent, each read once in a run, whatever its passphrase costs."""

from __future__ import annotations

import binascii
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey

from bootstrap.ssh.faults import problem
from bootstrap.ssh.login import Route
from bootstrap.ssh.secret import Refused, Secrets, Source

MAGIC = b"openssh-key-v1\0"


class Agent(AgentSSH):
    """The agent behind a socket; ssh's IdentityAgent names another one than the environment."""

    def __init__(self, path: str) -> None:
        """Without keys where none answers."""
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(10)  # one that waits for its owner to confirm is waited for below
            self._socket.connect(path)
            self._connect(self._socket)  # type: ignore[attr-defined]  # a hook without a public name
            self._socket.settimeout(60)
        except (OSError, paramiko.SSHException):
            self.close()

    def close(self) -> None:
        """Nothing is signed any more."""
        self._socket.close()


class Keyring:
    """The private keys of one run, by file."""

    def __init__(self, secrets: Secrets) -> None:
        """None is read yet."""
        self._secrets = secrets
        self._reading = threading.Lock()
        self._read: dict[Path, paramiko.PKey] = {}

    def key(self, path: Path, passphrase: Source) -> paramiko.PKey:
        """The key of this file, with its certificate where there is one; Problem."""
        with self._reading:
            if path not in self._read:
                self._read[path] = self._load(path, passphrase)
            return self._read[path]

    def _load(self, path: Path, passphrase: Source) -> paramiko.PKey:
        try:
            return paramiko.PKey.from_path(path)
        except (TypeError, paramiko.PasswordRequiredException):
            pass  # it has a passphrase
        except OSError as error:
            raise problem("MissingKey", {"path": path}, error.strerror or str(error)) from error
        except (ValueError, UnicodeDecodeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
            raise problem("UnusableKey", {"path": path}, _words(error)) from error

        def unlock(words: str) -> paramiko.PKey:
            try:
                return paramiko.PKey.from_path(path, words.encode())  # type: ignore[arg-type]  # it takes bytes only
            except (ValueError, TypeError, paramiko.SSHException) as error:
                raise problem("WrongPassphrase", {"path": path}, kind=Refused) from error

        secret = self._secrets.of(passphrase, f"Passphrase of {path}")
        return secret.use(unlock, problem("LockedKey", {"path": path}))


class Keys(AuthStrategy):
    """The keys for one route, in order: the agent's, those of files, and last those that have a passphrase."""

    def __init__(self, route: Route, keyring: Keyring) -> None:
        """Nothing is read yet."""
        super().__init__(ssh_config=None)  # type: ignore[arg-type]  # it only keeps it
        self._route, self._keyring = route, keyring
        self.tried = 0
        self._agent: Agent | None = None

    def get_sources(self) -> Iterator[AuthSource]:
        """Each is asked for only when the one before was refused: a server hears six."""
        try:
            for key in self._keys():
                self.tried += 1
                yield InMemoryPrivateKey(self._route.user, key)
        finally:
            if self._agent:
                self._agent.close()

    def _keys(self) -> Iterator[paramiko.PKey]:
        route = self._route
        self._agent = Agent(route.agent) if route.agent else None
        held = {key.asbytes(): key for key in (self._agent.get_keys() if self._agent else ())}
        named = len(route.identities) == 1 and route.only
        if not route.only:
            yield from held.values()
        later = []
        for path in route.identities:
            if not named and not path.is_file():
                continue
            blob = public(path)
            if blob in held:
                if route.only:
                    yield held[blob]
            elif named or not locked(path):
                yield self._keyring.key(path, route.passphrase)
            else:
                later.append(path)
        for path in later:
            yield self._keyring.key(path, route.passphrase)


def public(path: Path) -> bytes:
    """The public half, as an agent names a key: OpenSSH's files have it, older ones beside them; b"": there is none."""
    try:
        message = _opened(path)
        if message is None:
            words = Path(f"{path}.pub").read_text().split()
            return paramiko.pkey.PublicBlob.from_string(" ".join(words[:2])).key_blob
        for _ in range(3):  # cipher, KDF, its options
            message.get_binary()
        return message.get_binary() if message.get_int() else b""
    except (OSError, ValueError, IndexError, paramiko.SSHException):
        return b""


def locked(path: Path) -> bool:
    """Whether it has a passphrase."""
    try:
        message = _opened(path)
        return b"ENCRYPTED" in path.read_bytes() if message is None else message.get_binary() != b"none"
    except (OSError, ValueError):
        return False


def _opened(path: Path) -> paramiko.Message | None:
    """What is in OpenSSH's envelope; None: it is another kind of file."""
    lines = path.read_bytes().split(b"\n")
    if lines[0].strip() != b"-----BEGIN OPENSSH PRIVATE KEY-----":
        return None
    try:
        blob = b64decode(b"".join(line for line in lines if not line.startswith(b"-----")))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return paramiko.Message(blob[len(MAGIC) :]) if blob.startswith(MAGIC) else None


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:200]
