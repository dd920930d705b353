"""A lab: nodes on a network of their own, kept in a directory, each of them fresh whenever a test asks."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from bootstrap.errors import Problem
from tests.lab import balancer, cache, clusterfile, keys, subnets, template
from tests.lab.machine import Machine, create
from tests.lab.node import Node
from tests.lab.podman import FOLDER, LABEL, drop, exists, inspect, networks, podman, remove
from tests.lab.progress import step
from tests.lab.provision import provision, provision_balancer
from tests.lab.rootfs import node_image

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
ROLES = {"cp": "control-plane", "w": "worker", "lb": "load-balancer"}  # by the letters of a node's name
OURS = ("nodes", "id_ed25519", "id_ed25519.pub", "known_hosts", "ssh_config", "cluster.yaml", "lab.json")
AT_ONCE = 4  # nodes that boot at the same time


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab as its directory describes it. `images`: every Kubernetes version whose images its nodes start with,
    `version` first; `addresses`: node name -> address."""

    name: str
    directory: Path
    version: str
    images: tuple[str, ...]
    containerd: int
    subnet: IPv4Network
    addresses: dict[str, str]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, the load balancer last where there is one."""
        return tuple(self.node(name) for name in self.addresses)

    @property
    def cluster_file(self) -> Path:
        """cluster.yaml, ready for `bootstrap init`."""
        return self.directory / "cluster.yaml"

    @property
    def identity(self) -> Path:
        """The private key that root, `ops` and `guarded` let in on every node."""
        return self.directory / "id_ed25519"

    @property
    def network(self) -> str:
        """The name of podman's network."""
        return f"{LABEL}-{self.name}"

    def node(self, name: str) -> Node:
        """The node of this name; a Problem when there is none."""
        if name not in self.addresses:
            raise Problem(f"lab {self.name} has no node {name}", next=f"one of {', '.join(self.addresses)}")
        host_key = keys.key(self.directory / "nodes" / name / "ssh_host_ed25519_key", name)
        role = ROLES[name.rstrip("0123456789")]
        return Node(self.name, name, role, self.addresses[name], host_key, self.directory)

    def fresh(self, *names: str) -> None:
        """Make these nodes, or all of them, anew: pristine disks, the same addresses and host keys."""
        chosen = [self.node(name) for name in names or self.addresses]
        image = node_image(self.version, containerd_major=self.containerd)
        var = template.var(image, self.images)
        with (
            step(f"lab {self.name}: {', '.join(node.name for node in chosen)}"),
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            list(pool.map(lambda node: self._anew(node, image, var), chosen))

    def down(self) -> None:
        """Remove the lab: containers, volumes, network, directory."""
        down(self.name)

    def write(self, *, cluster: bool) -> None:
        """Write the directory: keys, known_hosts, ssh_config, lab.json; and cluster.yaml, which people edit, where
        there is none or `cluster` says so."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.key(self.identity, f"lab {self.name}")
        kept = {
            "name": self.name,
            "version": self.version,
            "images": list(self.images),
            "containerd": self.containerd,
            "subnet": str(self.subnet),
            "addresses": self.addresses,
        }
        self._put("known_hosts", keys.known_hosts(self.nodes))
        self._put("ssh_config", keys.ssh_config(self.directory, self.nodes))
        if cluster or not self.cluster_file.exists():
            self._put(self.cluster_file.name, self._cluster())
        self._put("lab.json", json.dumps(kept, indent=2) + "\n")

    def _cluster(self) -> str:
        members = [node for node in self.nodes if node.role != "load-balancer"]
        endpoint = f"{self.addresses['lb']}:{balancer.PORT}" if "lb" in self.addresses else ""
        return clusterfile.text(
            self.name, self.version, members, identity=self.identity, containerd=self.containerd, endpoint=endpoint
        )

    def _put(self, name: str, text: str) -> None:
        making = self.directory / f".{name}.making"
        making.write_text(text)
        making.rename(self.directory / name)

    def _anew(self, node: Node, image: str, var: Path) -> None:
        labels = {LABEL: self.name, FOLDER: str(self.directory)}
        for kind in ("container", "volume"):
            if exists(kind, node.container):
                drop(kind, node.container)
        podman("volume", "create", "--label", f"{LABEL}={self.name}", node.container)
        template.fill(var, Path(inspect("volume", node.container)["Mountpoint"]))
        place = (self.network, node.address)
        create(Machine(node.container, image, node.name, node.container, labels, network=place))
        provision(node, self.nodes)
        if node.role == "load-balancer":
            provision_balancer(node, balancer.configuration(it for it in self.nodes if it.role == "control-plane"))
        node.start()


def default_directory(name: str) -> Path:
    """Where a lab's directory lies unless another is asked for."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "bootstrap-lab" / name


def names() -> list[str]:
    """Every lab on this machine: podman's networks with a lab's label."""
    return sorted(labels[LABEL] for network in networks() if LABEL in (labels := network.get("labels") or {}))


def find(name: str) -> Lab | None:
    """The lab of this name, wherever its directory is; None when there is none."""
    directory = default_directory(name)
    network = f"{LABEL}-{name}"
    if exists("network", network):
        directory = Path((inspect("network", network).get("labels") or {}).get(FOLDER, directory))
    if not (directory / "lab.json").exists():
        return None
    kept: dict[str, Any] = json.loads((directory / "lab.json").read_text())
    return Lab(
        kept["name"],
        directory,
        kept["version"],
        tuple(kept["images"]),
        kept["containerd"],
        IPv4Network(kept["subnet"]),
        kept["addresses"],
    )


def down(name: str) -> None:
    """Leave nothing of the lab, whole or half made."""
    with cache.locked(f"lab-{name}"):
        lab = find(name)
        directory = lab.directory if lab else default_directory(name)
        with cache.locked("subnets"):
            remove(name)
            if not names():
                subnets.unfence()
        if directory == default_directory(name):
            shutil.rmtree(directory, ignore_errors=True)
        for file in (directory / kept for kept in OURS):  # a directory that was chosen may hold other things
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
