"""The only module that loads images into containerd: once, into a /var that every fresh node starts from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.lab import cache
from tests.lab.images import archives
from tests.lab.machine import Machine, create, wait
from tests.lab.podman import LABEL, inspect, podman, remove
from tests.lab.programs import run, works
from tests.lab.progress import step

# Layers never change once unpacked: nodes share them as hard links, which costs neither time nor disk nor
# memory for the pages of ten API servers.
SHARED = (
    "lib/containerd/io.containerd.content.v1.content/blobs",
    "lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots",
)


def var(image: str, versions: tuple[str, ...]) -> Path:
    """The template of /var for nodes of this image, whose containerd has the images of these versions."""
    tars = [archives(version) for version in versions]
    recipe: cache.Recipe = {
        "image": image,
        "archives": [directory.name for directory in tars],
        "shared": list(SHARED),
    }
    return cache.entry(f"var-{versions[0]}", recipe, lambda here: _make(here, image, tars))


def fill(template: Path, volume: Path) -> None:
    """Make an empty volume equal to the template."""
    shared, own = template / "shared", template / "own"
    if not works(["cp", "-al", f"{shared}/.", volume]):  # another file system
        run(["cp", "-a", "--reflink=auto", f"{shared}/.", volume])
    run(["cp", "-a", "--reflink=auto", f"{own}/.", volume])


def _make(here: Path, image: str, tars: list[Path]) -> None:
    """Boot a node without network, import every archive, and keep the /var it leaves."""
    name = f"template-{os.getpid()}"
    container = f"bootstrap-lab-{name}"
    labels = {LABEL: name}
    mounts = tuple((directory, f"/images/{number}") for number, directory in enumerate(tars))
    with step("images into containerd") as note:
        try:
            podman("volume", "create", "--label", f"{LABEL}={name}", container)
            create(Machine(container, image, "template", container, labels, mounts=mounts))
            podman("start", container)
            wait(container)
            for tar in podman("exec", container, "find", "/images", "-name", "*.tar").split():
                note(tar)
                podman("exec", container, "ctr", "-n", "k8s.io", "images", "import", tar)
            podman("exec", container, "systemctl", "stop", "kubelet", "containerd")
            podman("stop", "--time", "10", container)
            _keep(Path(inspect("volume", container)["Mountpoint"]), here)
        finally:
            remove(name)


def _keep(volume: Path, here: Path) -> None:
    own, shared = here / "own", here / "shared"
    run(["cp", "-a", volume, own])
    shutil.rmtree(own / "lib/kubelet", ignore_errors=True)
    for layers in SHARED:
        (shared / layers).parent.mkdir(parents=True)
        (own / layers).rename(shared / layers)
