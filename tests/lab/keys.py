"""The only module that makes SSH keys and says how the lab's nodes are reached with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.lab.node import Node
from tests.lab.programs import run


def key(path: Path, comment: str) -> str:
    """The public half ("ssh-ed25519 AAAA…") of the key at `path`, 0600, made where there is none."""
    public = path.with_suffix(".pub")
    if not public.exists():  # it is written last: without it, whoever made the key was killed
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    kind, material, *_ = public.read_text().split()
    return f"{kind} {material}"


def known_hosts(nodes: Iterable[Node]) -> str:
    """A known_hosts file with each node by name and by address."""
    return "".join(f"{node.name},{node.address} {node.host_key}\n" for node in nodes)


def ssh_config(directory: Path, nodes: Iterable[Node]) -> str:
    """An ssh_config that reaches each node by its name, with the lab's key, and no host key but the pinned one."""
    hosts = "".join(f"Host {node.name} {node.address}\n  HostName {node.address}\n" for node in nodes)
    return f"""{hosts}Host *
  User root
  IdentityFile "{directory}/id_ed25519"
  IdentitiesOnly yes
  UserKnownHostsFile "{directory}/known_hosts"
  StrictHostKeyChecking yes
  LogLevel ERROR
"""
