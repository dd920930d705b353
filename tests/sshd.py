"""Throw-away sshds on this machine's loopback, with people of their own: what a node's SSH may be like."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap.errors import Code, Problem
from bootstrap.ssh import Client, Login
from bootstrap.ssh.programs import Programs
from tests.cluster import until
from tests.lab.toolchain import missing_packages

PACKAGES: Mapping[str, str] = {  # Debian package -> a file it brings
    "openssh-server": "/usr/sbin/sshd",
    "openssh-client": "/usr/bin/ssh-agent",
    "sudo": "/usr/bin/sudo",
    "csh": "/usr/bin/bsd-csh",
    "tcsh": "/usr/bin/tcsh",
    "fish": "/usr/bin/fish",
    "socat": "/usr/bin/socat",
    "netcat-openbsd": "/usr/bin/nc.openbsd",
}


def ready() -> bool:
    """Whether this machine can run them as it is."""
    return os.geteuid() == 0 and not missing_packages(PACKAGES)


@dataclass(slots=True)
class Sshd:
    """One server: its configuration beyond the usual, its host keys, and who may come in."""

    directory: Path
    lines: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("ed25519",)
    port: int = 0
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """It listens; twice on the same port, with the same keys."""
        self.directory.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        for kind in self.kinds:
            if not self.key(kind).exists():
                keygen(self.key(kind), kind=kind)
        if not self.identity.exists():
            keygen(self.identity)
        self.allow(self.identity)
        self.port = self.port or free_port()
        text = [
            "ListenAddress 127.0.0.1",
            f"Port {self.port}",
            f"PidFile {self.directory}/pid",
            "UsePAM yes",
            "StrictModes no",
            "MaxStartups 1000",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            *(f"HostKey {self.key(kind)}" for kind in self.kinds),
            *self.lines,
        ]
        file = self.directory / "sshd_config"
        file.write_text("\n".join(text) + "\n")
        with (self.directory / "log").open("ab") as log:
            self._running = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", file], stderr=log, stdout=log)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def stop(self) -> None:
        """It and every connection of it end, as with a power cut: nothing is said."""
        if self._running:
            for pid in _below(self._running.pid):
                with_kill(pid)
            self._running.kill()
            self._running.wait()
            self._running = None

    def cut(self) -> None:
        """Every connection ends, and the next can be made."""
        assert self._running
        for pid in _below(self._running.pid):
            with_kill(pid)

    def connections(self) -> int:
        """How many have been let in since it was first started."""
        return (self.directory / "log").read_text(errors="replace").count("Accepted publickey")

    @property
    def identity(self) -> Path:
        """A private key that is let in."""
        return self.directory / "identity"

    def key(self, kind: str = "ed25519") -> Path:
        """The private half of a host key."""
        return self.directory / f"host_{kind}"

    def shown(self, kind: str = "ed25519") -> str:
        """The public half, as cluster.yaml pins it."""
        return " ".join(Path(f"{self.key(kind)}.pub").read_text().split()[:2])

    def allow(self, identity: Path) -> None:
        """This key is let in too."""
        with (self.directory / "authorized_keys").open("a") as file:
            file.write(Path(f"{identity}.pub").read_text())

    def login(self, **fields: object) -> Login:
        """How root comes in, with these fields of a Login instead."""
        usual: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "root",
            "identity": self.identity,
            "host_key": self.shown(self.kinds[0]),
            "plain": True,
        }
        return Login(**(usual | fields))  # type: ignore[arg-type]


def with_kill(pid: int) -> None:
    """Gone, if it was still there."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def _below(pid: int) -> list[int]:
    """The sessions of an sshd: its children's own included, but not what runs in them, which outlives its line."""
    found = []
    for child in _children(pid):
        found += [*_below(child), child]
    return found


def _children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if Path(f"/proc/{child}/comm").read_text().startswith("sshd")]
    except OSError:
        return []


def free_port() -> int:
    """One that nobody listens on, and that the kernel gives to nobody who asks for any: it stays free."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@contextmanager
def blackhole() -> Iterator[int]:
    """A port on which nobody is even refused: whoever waits there is not let in."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = int(full.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            yield port


def keygen(path: Path, *, kind: str = "ed25519", passphrase: str = "", form: str = "") -> Path:
    """A new key pair, of a kind that is made and unlocked quickly."""
    quick = (*(("-m", form) if form else ("-a", "1")), *(("-b", "2048") if kind == "rsa" else ()))
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path, *quick], check=True)
    return path


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account on this machine, for as long as the tests last."""

    name: str
    home: Path
    password: str

    def sudoers(self, *lines: str) -> None:
        """What sudo lets them do, and how it asks."""
        file = Path(f"/etc/sudoers.d/{self.name}")
        file.write_text("".join(line.replace("ME", self.name) + "\n" for line in lines))
        file.chmod(0o440)

    def shell(self, path: str) -> None:
        """Their login shell."""
        subprocess.run(["usermod", "-s", path, self.name], check=True)


@contextmanager
def person(name: str, home: Path) -> Iterator[Person]:
    """An account, and nothing left of it afterwards."""
    password = f"pw-{os.urandom(8).hex()}"
    subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
    subprocess.run(["useradd", "-m", "-d", home, "-s", "/bin/bash", name], check=True, capture_output=True)
    subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
    try:
        yield Person(name, home, password)
    finally:
        Path(f"/etc/sudoers.d/{name}").unlink(missing_ok=True)
        subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def programs(*logins: Login) -> Iterator[list[Programs]]:
    """Programs on these hosts, named cp1 and so on, of one run."""
    client = Client()
    opened = [Programs(f"cp{number}", login, client) for number, login in enumerate(logins, 1)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()
        client.close()


def refused(login: Login, *words: str) -> Problem:
    """No connection comes about, and this is said of it."""
    with programs(login) as (one,), pytest.raises(Problem) as told:
        one.run(["true"], timeout=60)
    problem = told.value
    assert problem.code is Code.UNREACHABLE
    assert problem.what.startswith("cp1: ")
    assert problem.next
    said = f"{problem.what}\n{problem.why}\n{problem.next}"
    assert [word for word in words if word not in said] == [], said
    return problem
