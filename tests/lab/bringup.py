"""Bringing a lab up: what runs already stays, what was stopped comes back, what is missing or broken is made anew."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

from bootstrap.errors import Problem
from bootstrap.versions import DEFAULT, RELEASES
from tests.lab import cache, subnets
from tests.lab.lab import AT_ONCE, NAME, Lab, default_directory, find
from tests.lab.node import Node
from tests.lab.podman import FOLDER, LABEL, exists, inspect, podman
from tests.lab.progress import say
from tests.lab.provision import introduce
from tests.lab.toolchain import allow_watches, install_packages, require_root


def up(
    name: str = "demo",
    *,
    nodes: int | None = None,
    workers: int | None = None,
    version: str | None = None,
    containerd: int | None = None,
    load_balancer: bool = False,
    also: tuple[str, ...] = (),
    directory: Path | None = None,
) -> Lab:
    """The lab of this name with every node booted; a Problem when it can't be, or exists but differs.

    None = as the lab has it; a new one gets one control-plane node, no worker, the newest Kubernetes and Debian's
    containerd (1). `also`: further Kubernetes versions whose images the nodes start with. `directory`: where keys
    and cluster.yaml go, `~/.local/state/bootstrap-lab/<name>` by default.
    """
    _refuse_unknown(name, version, containerd, also)
    require_root()
    install_packages()
    allow_watches()
    with cache.locked(f"lab-{name}"):
        lab = find(name)
        if lab:
            _refuse_change(lab, version, containerd, load_balancer=load_balancer, also=also)
        else:
            first = version or DEFAULT
            images = (first, *(other for other in also if other != first))
            place = (directory or default_directory(name)).absolute()
            lab = Lab(
                name,
                place,
                first,
                images,
                containerd or 1,
                subnets.RANGE,
                {"lb": ""} if load_balancer else {},
            )
        had = set(lab.addresses)
        lab = _with_nodes(_with_network(lab), nodes, workers)
        grown = set(lab.addresses) - had
        lab.write(cluster=bool(grown))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            well = {node.name for node, is_well in zip(lab.nodes, pool.map(revive, lab.nodes), strict=True) if is_well}
            if grown:
                well.discard("lb")  # its configuration names the control-plane nodes
                list(pool.map(lambda name: introduce(lab.node(name), lab.nodes), well))
        if well != set(lab.addresses):
            lab.fresh(*(name for name in lab.addresses if name not in well))
    return lab


def revive(node: Node) -> bool:
    """Whether the node is up, or came back as it was; False = it has to be made anew."""
    match node.state():
        case "running":
            return True
        case "paused":
            node.unpause()
            return node.state() == "running"
        case "exited":
            try:
                node.start()
            except Problem as problem:
                say(f"{node.name} does not come back ({problem.why or problem.what}): made anew")
                return False
            return True
        case _:
            return False


def _refuse_unknown(name: str, version: str | None, containerd: int | None, also: tuple[str, ...]) -> None:
    known = [release.kubernetes for release in RELEASES]
    if not NAME.fullmatch(name):
        raise Problem(f"a lab can't be named {name!r}", next="use up to 30 lower-case letters, digits and hyphens")
    for wanted in (version, *also):
        if wanted is not None and wanted not in known:
            raise Problem(f"the lab can't build Kubernetes {wanted}", next=f"use one of {', '.join(known)}")
    if containerd not in (None, 1, 2):
        raise Problem(f"the lab has no containerd {containerd}", next="use --containerd 1 or --containerd 2")


def _refuse_change(
    lab: Lab, version: str | None, containerd: int | None, *, load_balancer: bool, also: tuple[str, ...]
) -> None:
    for what, wanted, had in (
        ("Kubernetes", version, lab.version),
        ("containerd", containerd, lab.containerd),
        ("a load balancer", load_balancer or None, "lb" in lab.addresses),
        ("images of", also or None, tuple(it for it in lab.images if it != lab.version)),
    ):
        if wanted is not None and wanted != had:
            raise Problem(
                f"lab {lab.name} is there with {what} {had}, not {wanted}",
                next=f"python -m tests.lab down --name {lab.name}, or up with another --name",
            )


def _with_nodes(lab: Lab, nodes: int | None, workers: int | None) -> Lab:
    """The lab with at least as many nodes as asked for; a Problem when it has more already."""
    counts = []
    for letters, wanted in (("cp", nodes), ("w", workers)):
        had = sum(name.rstrip("0123456789") == letters for name in lab.addresses)
        if wanted is not None and wanted < had:
            raise Problem(
                f"lab {lab.name} has {had} {letters} nodes already, and {wanted} were asked for",
                next=f"python -m tests.lab down --name {lab.name}, or up with another --name",
            )
        counts.append(had if wanted is None else wanted)
    control_plane = max(counts[0], 1)
    placed = subnets.addresses(
        lab.subnet, control_plane=control_plane, workers=counts[1], load_balancer="lb" in lab.addresses
    )
    return dataclasses.replace(lab, addresses=placed)


def _with_network(lab: Lab) -> Lab:
    """The lab with a network: the one podman has, else its old subnet, else the lowest that is free."""
    with cache.locked("subnets"):
        subnets.fence()
        if exists("network", lab.network):
            (used,) = inspect("network", lab.network)["subnets"]
            return dataclasses.replace(lab, subnet=IPv4Network(used["subnet"]))
        subnet = lab.subnet
        taken = subnets.taken()
        if subnet == subnets.RANGE or any(subnet.overlaps(other) for other in taken):
            subnet = subnets.free(taken)
        labels = ("--label", f"{LABEL}={lab.name}", "--label", f"{FOLDER}={lab.directory}")
        podman("network", "create", "--disable-dns", "--subnet", str(subnet), *labels, lab.network)
    return dataclasses.replace(lab, subnet=subnet)
