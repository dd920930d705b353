"""The only module that makes a node's container, and waits until its systemd has booted."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bootstrap.errors import Problem
from tests.lab.podman import podman

BOOT = (
    240.0  # seconds until a boot counts as failed; it takes two to five, and one whose systemd ended is not waited for
)
BOOTED = ("running", "degraded")  # of `systemctl is-system-running`


@dataclass(frozen=True, slots=True)
class Machine:
    """A container that boots systemd. `volume` is its /var, since containerd's overlays can't lie on an overlay;
    `network`: the name and the address in it, None = no network."""

    container: str
    image: str
    hostname: str
    volume: str
    labels: Mapping[str, str]
    network: tuple[str, str] | None = None
    mounts: tuple[tuple[Path, str], ...] = ()


def create(machine: Machine) -> None:
    """Create the container without starting it."""
    place: tuple[str, ...] = ("--network", "none")
    if machine.network:
        nobody = ("--dns", "192.0.2.53", "--dns-option", "timeout:1", "--dns-option", "attempts:1")  # RFC 5737
        network, address = machine.network
        # Its own for good, as a machine's: with another one, nobody who knew the former reaches it for half a minute.
        card = IPv4Address(address).packed.hex(":")
        place = ("--network", f"{network}:ip={address},mac=02:42:{card}", *nobody)
    limits = {"nofile": _most(resource.RLIMIT_NOFILE, 20000), "nproc": _most(resource.RLIMIT_NPROC, 30000)}
    podman(
        *("create", "--name", machine.container, "--hostname", machine.hostname, "--no-hosts"),
        *("--privileged", "--cgroupns=private", "--env", "container=podman", *place),
        # podman's own systemd mode would mount this machine's whole systemd hierarchy into every node: their
        # units would share cgroups, and one node's clean-up would take another's away.
        "--systemd=false",
        *(word for limit, most in limits.items() for word in ("--ulimit", f"{limit}={most}")),
        *(word for name, value in machine.labels.items() for word in ("--label", f"{name}={value}")),
        *(word for source, target in machine.mounts for word in ("--volume", f"{source}:{target}:ro")),
        *("--volume", f"{machine.volume}:/var", machine.image),
    )


def wait(container: str) -> None:
    """Return when the container has booted; a Problem when it has not after `BOOT` seconds."""
    until = time.monotonic() + BOOT
    state = ""
    while time.monotonic() < until:
        with suppress(Problem):  # before systemd answers, and with a state that is not "running", it exits 1
            state = podman("exec", container, "sh", "-c", "systemctl is-system-running || true").strip()
        if state in BOOTED:
            return
        status = podman("container", "inspect", "--format", "{{.State.Status}}", container).strip()
        if status != "running":
            raise Problem(
                f"{container} is {status}, and should have booted",
                why="its systemd ended; most often the machine has run out of something that it gives to every node",
                next=f"podman start --attach {container}, and python -m tests.lab status for labs to take down",
            )
        time.sleep(0.1)
    raise Problem(
        f"{container} has not booted after {BOOT:.0f} s",
        why=f"systemd says {state or 'nothing'}",
        next=f"podman exec {container} systemctl list-jobs",
    )


def _most(limit: int, wanted: int) -> str:
    """`wanted`, or this machine's own hard limit where that is lower: nothing in a container can go above it."""
    _, hard = resource.getrlimit(limit)
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    return f"{most}:{most}"
