"""The only module that talks to podman."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.programs import run, works

# crun refuses the hybrid cgroup layout that some kernels and containers have; nothing here needs podman's systemd.
PODMAN = ("podman", "--log-level", "error", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
LABEL = "bootstrap-lab"  # on every container, volume and network of a lab; its value is the lab's name
FOLDER = "bootstrap-lab.directory"


def podman(*words: str | Path, stdin: str = "") -> str:
    """Standard output of `podman …`; a Problem when it fails."""
    return run([*PODMAN, *words], stdin=stdin)


def exists(kind: str, name: str) -> bool:
    """Whether podman knows an image, container, volume or network of that name."""
    return works([*PODMAN, kind, "exists", name])


def inspect(kind: str, name: str) -> dict[str, Any]:
    """All that podman knows of it."""
    found: list[dict[str, Any]] = json.loads(podman(kind, "inspect", name))
    return found[0]


def remove(lab: str) -> None:
    """Remove everything that carries the lab's label, in the order in which podman lets go of it."""
    chosen = ("--filter", f"label={LABEL}={lab}")
    for kind, words in (
        ("container", ("ps", "--all", "--quiet")),
        ("volume", ("volume", "ls", "--quiet")),
        ("network", ("network", "ls", "--quiet")),
    ):
        names = podman(*words, *chosen).split()
        if names:
            drop(kind, *names)


def drop(kind: str, *names: str) -> None:
    """Remove these containers, volumes or networks, whatever state they are in."""
    now = ("--time", "0") if kind in ("container", "network") else ()
    identities = [inspect(kind, name)["Id"] for name in names] if kind == "container" else []
    argv = [*PODMAN, kind, "rm", "--force", *now, *names]
    if not works(argv):  # podman may have to learn first that the container is dead, and goes on the second time
        run(argv)
    for identity in identities:
        _remove_cgroups(identity)


@contextmanager
def mounted(container: str) -> Iterator[Path]:
    """The root file system of a container that need not run, to read and write."""
    yield from _mounted("mount", "umount", name=container)


@contextmanager
def mounted_image(image: str) -> Iterator[Path]:
    """The files of an image, to read."""
    yield from _mounted("image mount", "image umount", name=image)


def _mounted(mount: str, umount: str, *, name: str) -> Iterator[Path]:
    place = Path(podman(*mount.split(), name).strip())
    try:
        yield place
    finally:
        podman(*umount.split(), name)


def networks() -> list[dict[str, Any]]:
    """podman's networks, with `name`, `labels` and `subnets`; none on a machine that has no podman yet."""
    if not shutil.which(PODMAN[0]):
        return []
    names = podman("network", "ls", "--quiet").split()
    found: list[dict[str, Any]] = json.loads(podman("network", "inspect", *names)) if names else []
    return found


def _remove_cgroups(identity: str) -> None:
    """Remove the control groups that a container leaves when nobody saw it die."""
    for pattern in (f"libpod_parent/libpod-{identity}", f"*/libpod_parent/libpod-{identity}"):
        for top in Path("/sys/fs/cgroup").glob(pattern):
            for folder, _, _ in os.walk(top, topdown=False):
                Path(folder).rmdir()


def answers(container: str) -> bool:
    """Whether a program can be run in the container: what podman notes about it outlives it when the machine stops."""
    return works([*PODMAN, "exec", container, "true"])
