"""The only module that says what is in the container images that a node starts with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bootstrap.versions import release
from tests.lab import cache
from tests.lab.archive import Content, Image, write
from tests.lab.build import programs_of
from tests.lab.podman import mounted_image
from tests.lab.programs import run
from tests.lab.progress import step
from tests.lab.rootfs import base_image

REGISTRY = "registry.k8s.io"
TOOLBOX = "registry.lab/toolbox:1"
STATIC = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
APPLETS = (  # of busybox, at /bin
    *(
        "sh",
        "cat",
        "chmod",
        "cp",
        "cut",
        "date",
        "dd",
        "df",
        "dmesg",
        "echo",
        "env",
        "false",
        "find",
        "grep",
        "head",
    ),
    *(
        "hostname",
        "httpd",
        "id",
        "ip",
        "kill",
        "killall",
        "ln",
        "ls",
        "mkdir",
        "mv",
        "nc",
        "netstat",
        "nslookup",
    ),
    *(
        "ping",
        "printf",
        "ps",
        "pwd",
        "rm",
        "sed",
        "seq",
        "sleep",
        "sort",
        "stat",
        "sync",
        "tail",
        "tar",
        "tee",
    ),
    *(
        "test",
        "timeout",
        "top",
        "touch",
        "tr",
        "traceroute",
        "true",
        "uname",
        "vi",
        "wc",
        "wget",
        "xargs",
        "yes",
    ),
)


def archives(version: str) -> Path:
    """The directory with a docker-archive for every image of this Kubernetes version, made now where there is none."""
    base = base_image()
    programs = programs_of(version)

    def make(here: Path) -> None:
        with step(f"images of {version}"), mounted_image(base) as debian:
            for image in (*_kubernetes(version, *programs), *_debian(version, programs[0], debian)):
                write(image, here / f"{re.split('[/:]', image.tag)[-2]}.tar")

    recipe: cache.Recipe = {
        "programs": [directory.name for directory in programs],
        "debian": base,
        "here": Path(__file__).read_text(),
        "writer": Path(__file__).with_name("archive.py").read_text(),
    }
    return cache.entry(f"images-{version}", recipe, make)


def _kubernetes(version: str, kubernetes: Path, etcd: Path, coredns: Path) -> Iterable[Image]:
    """Images of one static program, tagged as kubeadm names them."""
    known = release(version)
    for name in STATIC:
        yield Image(f"{REGISTRY}/{name}:{version}", {f"/usr/local/bin/{name}": kubernetes / name}, (name,))
    tools = {f"/usr/local/bin/{name}": etcd / name for name in ("etcd", "etcdctl", "etcdutl")}
    yield Image(f"{REGISTRY}/etcd:{known.etcd}-0", tools, ("etcd",))
    yield Image(f"{REGISTRY}/coredns/coredns:{known.coredns}", {"/coredns": coredns / "coredns"}, ("/coredns",))


def _debian(version: str, kubernetes: Path, debian: Path) -> Iterable[Image]:
    """Images that need something of Debian's beside."""
    catatonit = {"/pause": debian / "usr/bin/catatonit"}
    yield Image(f"{REGISTRY}/pause:{release(version).pause}", catatonit, ("/pause", "-P"))
    proxy: dict[str, Content] = {"/usr/local/bin/kube-proxy": kubernetes / "kube-proxy", **_firewall(debian)}
    places = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    yield Image(f"{REGISTRY}/kube-proxy:{version}", proxy, ("kube-proxy",), path=places)
    applets: dict[str, Content] = {f"/bin/{applet}": "busybox" for applet in APPLETS}
    busybox = {"/bin/busybox": debian / "usr/bin/busybox"}
    readable: dict[str, Content] = {"/etc/passwd": b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"}
    yield Image(TOOLBOX, {**busybox, **applets, **readable}, command=("/bin/sh",), path="/bin")


def _firewall(debian: Path) -> dict[str, Content]:
    """nft, iptables and all they load, at Debian's own paths."""
    extensions = sorted(f"/{file.relative_to(debian)}" for file in debian.glob(f"{LIBRARIES[1:]}/xtables/*.so"))
    programs = (
        "/usr/sbin/nft",
        "/usr/sbin/xtables-nft-multi",
        "/usr/sbin/xtables-legacy-multi",
        "/usr/sbin/conntrack",
    )
    loaded = set(re.findall(r"/\S+\.so\S*", run(["chroot", debian, "ldd", *programs, *extensions])))
    # /lib is a link to /usr/lib in Debian; and the name loaded is a link to the file with the full version.
    libraries = {path: (debian / path.lstrip("/")).resolve() for path in loaded if path not in extensions}
    kinds = (f"{family}{part}" for family in ("iptables", "ip6tables") for part in ("", "-save", "-restore"))
    return {
        **{path: debian / path[1:] for path in (*programs, *extensions)},
        **{path: file for path, file in libraries.items() if file.is_file()},
        **{f"/usr/sbin/{name}": "xtables-nft-multi" for name in kinds},
        "/run/.keep": b"",
    }
