"""The only module that writes into a node before it boots: what makes it this node and no other."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable

from tests.lab.node import Node
from tests.lab.podman import mounted

UNITS = "etc/systemd/system"


def provision(node: Node, nodes: Iterable[Node]) -> None:
    """Give a created node its machine id, its SSH host key, the lab's key for those who may come in, and the names
    of the other nodes."""
    keys = node.directory / "nodes" / node.name
    public = (node.directory / "id_ed25519.pub").read_text()
    with mounted(node.container) as root:
        (root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (root / "etc/hosts").write_text(hosts(nodes))
        for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
            shutil.copy(keys / name, root / "etc/ssh" / name)
        for home in ("root", "home/ops", "home/guarded"):
            owner = (root / home).stat()
            folder, file = root / home / ".ssh", root / home / ".ssh/authorized_keys"
            folder.mkdir(mode=0o700, exist_ok=True)
            file.write_text(public)
            file.chmod(0o600)
            for path in (folder, file):
                shutil.chown(path, owner.st_uid, owner.st_gid)


def hosts(nodes: Iterable[Node]) -> str:
    """/etc/hosts with every node of the lab."""
    return "127.0.0.1 localhost\n::1 localhost\n" + "".join(f"{node.address} {node.name}\n" for node in nodes)


def introduce(node: Node, nodes: Iterable[Node]) -> None:
    """Tell a node that runs the names of nodes that came after it."""
    node.exec("tee", "/etc/hosts", stdin=hosts(nodes))


def provision_balancer(node: Node, configuration: str) -> None:
    """Turn a created node into the load balancer: haproxy instead of containerd and the kubelet."""
    with mounted(node.container) as root:
        (root / "etc/haproxy/haproxy.cfg").write_text(configuration)
        for unit in ("containerd.service", "kubelet.service"):
            (root / UNITS / unit).unlink(missing_ok=True)
            (root / UNITS / unit).symlink_to("/dev/null")
        wanted = root / UNITS / "multi-user.target.wants"
        wanted.mkdir(exist_ok=True)
        (wanted / "haproxy.service").symlink_to("/lib/systemd/system/haproxy.service")
