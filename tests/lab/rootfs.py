"""The only module that makes the node image: Debian's files, Kubernetes' programs and the node's own files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from bootstrap.versions import release
from tests.lab import cache, tree
from tests.lab.build import binaries, build, containerd
from tests.lab.podman import PODMAN, exists, podman
from tests.lab.programs import follow, works
from tests.lab.progress import step
from tests.lab.toolchain import RETRIES

IMAGES = "localhost/bootstrap-lab"
SUITE = "bookworm"
PACKAGES = (
    # an ordinary server
    *("systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "ca-certificates", "less", "curl"),
    *("procps", "util-linux", "e2fsprogs", "mount", "kmod", "iproute2"),
    # what a kubelet and a container runtime ask for
    *(
        "containerd",
        "runc",
        "containernetworking-plugins",
        "iptables",
        "nftables",
        "conntrack",
        "ethtool",
        "socat",
    ),
    # what the lab's images and its load balancer are made of
    *("busybox-static", "catatonit", "haproxy"),
)
# Two people beside root, who both come with the lab's key: one whose sudo asks nothing, one who has to
# type the password "lab".
PEOPLE = (
    "useradd -m -s /bin/bash -G sudo ops && echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops",
    "useradd -m -s /bin/bash -G sudo guarded && echo guarded:lab | chpasswd",
)
HOOKS = (
    *(f'chroot "$1" sh -c "{line}"' for line in PEOPLE),
    'rm -f "$1"/etc/ssh/ssh_host_*',  # each node has its own
    'chroot "$1" systemctl disable haproxy',
    'rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*',
)
BINARIES = ("kubelet", "kubectl", "kubeadm")


def base_image() -> str:
    """The podman image with Debian's files alone, made now where there is none."""
    made: cache.Recipe = [SUITE, *PACKAGES, *HOOKS]

    def make(here: Path) -> None:
        with step(f"Debian {SUITE} for the nodes") as note:
            hooks = [f"--customize-hook={hook}" for hook in HOOKS]
            chosen = f"--include={','.join(PACKAGES)}"
            name, _, times = RETRIES.partition("=")
            retries = f'--aptopt={name} "{times}"'
            follow(["mmdebstrap", "--variant=minbase", retries, chosen, *hooks, SUITE, here / "rootfs.tar"], note)

    archive = cache.entry(f"debian-{SUITE}", made, make)
    image = f"{IMAGES}/{archive.name}"
    with cache.locked(archive.name):
        if not exists("image", image):
            with step("Debian's files as an image"):
                changes = ("--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3")
                podman("import", "--quiet", *changes, archive / "rootfs.tar", image)
    return image


def node_image(version: str, *, containerd_major: int) -> str:
    """The podman image of nodes with this Kubernetes and this containerd (1 or 2), made now where there is none."""
    base, built = base_image(), binaries(version)
    programs = {f"/usr/bin/{name}": built / name for name in BINARIES}
    if containerd_major == 2:
        runtime = build(containerd())
        programs |= {f"/usr/bin/{file.name}": file for file in sorted(runtime.iterdir()) if file.is_file()}
    texts = tree.files(release(version), containerd=containerd_major)
    recipe: cache.Recipe = {
        "base": base,
        "binaries": {path: str(file.relative_to(cache.root())) for path, file in programs.items()},
        "files": {path: f"{type(content).__name__} {content}" for path, content in texts.items()},
    }
    name = cache.key(f"node-{version}-containerd{containerd_major}", recipe)
    image = f"{IMAGES}/{name}"
    with cache.locked(name):
        if not exists("image", image):
            with step(f"node image {version}, containerd {containerd_major}"):
                _assemble(image, base, programs, texts)
    return image


def clear() -> None:
    """Remove the podman images of nodes, but those that a node still runs on."""
    for image in podman("image", "ls", "--quiet", "--filter", f"reference={IMAGES}/*").split():
        works([*PODMAN, "image", "rm", image])


def _assemble(image: str, base: str, programs: dict[str, Path], texts: dict[str, str | PurePosixPath]) -> None:
    """Build the image from a directory laid out as the node is; binaries are linked, not copied, into it."""
    context = cache.root() / f".{image.rpartition('/')[2]}.context"
    shutil.rmtree(context, ignore_errors=True)
    for path, content in texts.items():
        file = _below(context, path)
        match content:
            case str():
                file.write_text(content)
            case PurePosixPath():
                file.symlink_to(content)
    for path, program in programs.items():
        os.link(program, _below(context, path))
    podman("build", "--quiet", "--tag", image, "--file", "-", context, stdin=f"FROM {base}\nCOPY . /\n")
    shutil.rmtree(context)


def _below(context: Path, path: str) -> Path:
    file = context / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
