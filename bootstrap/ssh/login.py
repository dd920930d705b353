"""How a node is reached: a Login as cluster.yaml has it, and the Route it becomes once all of it is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bootstrap.ssh.secret import ASKED, Source

KNOWN_HOSTS = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))


@dataclass(frozen=True, slots=True)
class Login:
    """How one node is reached, as far as cluster.yaml says so: None is left to ssh's own configuration."""

    host: str
    port: int | None = None
    user: str | None = None
    identity: Path | None = None
    passphrase: Source = ASKED  # of the identity
    host_key: str = ""  # the only one that is accepted ("ssh-ed25519 AAAA…"); "": known_hosts decides
    known_hosts: Path | None = None  # of this cluster, beside the user's own
    accept_new: bool = False  # the key of a host nobody knows is written there
    jump: tuple[Login, ...] | None = None  # the hosts to go through, first to last; (): none
    sudo: bool | None = None  # None: whenever the user is not root
    password: Source = ASKED  # for sudo
    config: Path | None = None  # ssh's configuration, instead of the user's own and the machine's
    plain: bool = False  # ssh's configuration is not looked at
    usual: str = "root"  # the user where nobody says otherwise


@dataclass(frozen=True, slots=True)
class Route:
    """What is connected to, and with what."""

    host: str
    port: int
    user: str
    identities: tuple[Path, ...]  # private keys to try
    only: bool  # those and no others: cluster.yaml, or IdentitiesOnly, says so
    agent: str  # its socket; "": there is none
    passphrase: Source
    alias: str  # the name under which known_hosts has it
    host_key: str
    known_hosts: tuple[Path, ...]
    new_keys: Path | None  # where the key of a host that nobody knows is written to; None: it is refused
    proxy: str  # a command whose stdin and stdout lead to it; "": none
    jump: tuple[Login, ...]
    patience: float  # seconds, for the TCP connection

    @property
    def place(self) -> str:
        """What people call it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.host if self.port == 22 else f"{host}:{self.port}"

    @property
    def words(self) -> dict[str, object]:
        """What faults tell of it."""
        return {"place": self.place, "host": self.host, "port": self.port, "user": self.user}

    @property
    def name(self) -> str:
        """What known_hosts calls it."""
        return self.alias or (self.host if self.port == 22 else f"[{self.host}]:{self.port}")


def hops(jump: str, like: Login) -> Iterator[Login]:
    """The hosts of a ProxyJump (`[user@]host[:port]`, joined by commas), whose keys and policy are like this one's."""
    for hop in jump.split(",") if jump != "none" else ():
        user, _, place = hop.removeprefix("ssh://").rpartition("@")
        url = urlsplit(f"//[{place}]" if place.count(":") > 1 and "[" not in place else f"//{place}")
        yield replace(
            like,
            host=url.hostname or place,
            port=url.port,
            user=user or None,
            host_key="",
            jump=None,
            usual=like.user or like.usual,
        )
