"""On real machines: what is in the way is found before anything is changed, and once it is mended all goes well."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bootstrap import images, spec
from tests.cluster import DIRECTORY, PARTS, PATIENCE, Desk, Ended, nodes_of_its_own, root, running, until
from tests.test_explained import wrong_date
from tests.test_output import schema
from tests.test_reset import look, looked

SECRET = "hunter2-canary"
LISTENERS = re.compile(r":(2380|6443|10250)\b")
CONFIG = "/etc/containerd/config.toml"


@pytest.fixture(scope="module")
def here(untouched: Desk) -> Desk:
    """Every test mends what it broke, and the last one founds a cluster there."""
    return untouched


def findings(here: Desk, *words: str, status: int) -> dict[str, dict[str, Any]]:
    """name -> finding of `bootstrap preflight -o json`, which has its schema and ends so."""
    ended = here.bootstrap("preflight", "-o", "json", *words)
    assert ended.status == status, ended
    told = json.loads(ended.out)
    schema("Preflight").validate(told)
    return {each["name"]: each for node in told["nodes"] for each in node["findings"]}


def untouched(here: Desk) -> bool:
    """Whether nothing of ours lies on the node, and no part of ours runs there."""
    disk = root(here.node)
    ours = ("var/lib/bootstrap", "etc/kubernetes/pki/apiserver.crt", "etc/systemd/system/kubelet.service.d")
    return not any((disk / path).exists() for path in ours) and not running(here.node)


@contextmanager
def broken(here: Desk, breaks: str, mends: str) -> Iterator[None]:
    """The node is so while the block lasts."""
    here.node.shell(breaks)
    try:
        yield
    finally:
        here.node.shell(mends)


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks the node and what mends it; the finding, words of its sentence and of what to type next."""

    name: str
    breaks: str
    mends: str
    words: str
    next: str


ONE = {
    "kubelet missing": Fault(
        "FileExisting-kubelet",
        "mv /usr/bin/kubelet /usr/bin/away",
        "mv /usr/bin/away /usr/bin/kubelet",
        "there is no kubelet in the PATH",
        "install the kubelet's package",
    ),
    "runtime stopped": Fault(
        "CRI",
        "systemctl stop containerd",
        "systemctl start containerd",
        "no container runtime is there, or it is stopped",
        "systemctl start containerd",
    ),
    "no inodes": Fault(
        "InodesFree--etc-kubernetes",
        "mkdir /etc/kubernetes; mount -t tmpfs -o nr_inodes=10 tmpfs /etc/kubernetes",
        "umount /etc/kubernetes; rmdir /etc/kubernetes",
        "/etc/kubernetes can hold 9 files more, and needs 50",
        "df -i",
    ),
    "disk full": Fault(
        "DiskFree--var-lib-etcd",
        "mkdir /var/lib/etcd; mount -t tmpfs -o size=8m tmpfs /var/lib/etcd",
        "umount /var/lib/etcd; rmdir /var/lib/etcd",
        "/var/lib/etcd has 8.0 MiB left, and needs 256",
        "df -h",
    ),
    "file system read-only": Fault(
        "ReadOnly--etc-sysctl.d",
        "mount -t tmpfs -o ro tmpfs /etc/sysctl.d",
        "umount /etc/sysctl.d",
        "the file system at /etc/sysctl.d is read-only",
        "mount -o remount,rw /etc/sysctl.d",
    ),
    "file immutable": Fault(
        "Immutable--var-lib-kubelet-pki-kubelet.crt",
        "mkdir -p /var/lib/kubelet/pki; cd /var/lib/kubelet/pki; : >kubelet.crt; chattr +i kubelet.crt",
        "cd /var/lib/kubelet; chattr -i pki/kubelet.crt; rm -r pki; rmdir --ignore-fail-on-non-empty /var/lib/kubelet",
        "/var/lib/kubelet/pki/kubelet.crt can't be changed, not even by root",
        "chattr -i /var/lib/kubelet/pki/kubelet.crt",
    ),
    "clock apart": Fault(
        "ClockSkew",
        f"printf %s {shlex.quote(wrong_date(-3600))} >/usr/local/bin/date; chmod 755 /usr/local/bin/date",
        "rm /usr/local/bin/date",
        " s behind this workstation's",
        "timedatectl",
    ),
    "port taken": Fault(
        "Port-6443",
        "systemd-run --quiet --unit=taker systemd-socket-activate -l 6443 /bin/cat; "
        "until ss -Hltn | grep -q :6443; do sleep 0.05; done",
        "systemctl stop taker",
        "systemd-socket-, process ",
        "ss -ltnp",
    ),
}
OTHER = {
    "CRI plugin disabled": Fault(
        "CRI-plugin",
        f"cp {CONFIG} /root/config; sed -i '1a disabled_plugins = [\"io.containerd.grpc.v1.cri\"]' {CONFIG}; "
        "systemctl restart containerd",
        f"mv /root/config {CONFIG}; systemctl restart containerd",
        "containerd's CRI plugin is not loaded",
        "take cri out of disabled_plugins",
    ),
    "another cluster's node": Fault(
        "FileAvailable--etc-kubernetes-pki-ca.crt",
        "kubeadm init phase certs ca >/dev/null 2>&1",
        "rm -r /etc/kubernetes",
        "/etc/kubernetes/pki/ca.crt is of another cluster: its authority is CN=kubernetes, since ",
        "kubeadm reset",
    ),
    "foreign .bak": Fault(
        "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml.bak",
        f"mkdir -p {DIRECTORY}; : >{DIRECTORY}/kube-apiserver.yaml.bak",
        "",
        f"the kubelet would run what is not ours: {DIRECTORY}/kube-apiserver.yaml.bak",
        "move it out of the directory",
    ),
    "foreign data": Fault(
        "DirAvailable--var-lib-etcd",
        "mkdir /var/lib/etcd; : >/var/lib/etcd/x",
        "rm -r /var/lib/etcd",
        "/var/lib/etcd holds data that no turn of ours put there",
        "move the directory away on cp1",
    ),
    "wrong image": Fault(
        "ImagePull",
        "",
        "",
        "and the registry does not answer it: 127.0.0.1:5999: nobody answers",
        "use a mirror (imageRepository in cluster.yaml)",
    ),
}
FAULTS = ONE | OTHER


def refused(here: Desk, faults: Mapping[str, Fault]) -> Ended:
    """How `init` ends with all of these; the node is mended then, and was not touched meanwhile."""
    with ExitStack() as stack:
        for fault in faults.values():
            stack.enter_context(broken(here, fault.breaks, fault.mends))
        ended = here.bootstrap("init")
        assert untouched(here)
    return ended


@pytest.fixture(scope="module")
def ended(here: Desk) -> dict[str, Ended]:
    """fault -> how `init` ended with it: everything is told at once, so two runs do for all of them."""
    one = refused(here, ONE)
    here.describe(imageRepository="127.0.0.1:5999/k8s")
    other = refused(here, OTHER)
    here.describe(imageRepository=None)
    return dict.fromkeys(ONE, one) | dict.fromkeys(OTHER, other)


@pytest.mark.lab
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_in_the_way_is_refused_before_anything_is_changed(ended: dict[str, Ended], fault: str) -> None:
    wanted, said = FAULTS[fault], ended[fault]
    assert said.status == 7, said
    assert re.search(f"^  cp1: {re.escape(wanted.name)}: .*{re.escape(wanted.words)}", said.err, re.MULTILINE), said.err
    assert re.search(f"^next: .*{re.escape(wanted.next)}", said.err, re.MULTILINE), said.err
    assert "Traceback" not in said.err


@pytest.mark.lab
def test_nothing_else_is_in_the_way(ended: dict[str, Ended]) -> None:
    for faults, status in ((ONE, ended["kubelet missing"]), (OTHER, ended["wrong image"])):
        found = {
            name
            for name, mark in re.findall(r"^  cp1: (\S+): .*?( \(warning\))?$", status.err, re.MULTILINE)
            if not mark
        }
        assert found == {fault.name for fault in faults.values()}


def test_a_proxy_is_a_warning_and_its_password_is_not_told(here: Desk) -> None:
    proxy = f"HTTPS_PROXY=http://user:{SECRET}@proxy.example:3128 NO_PROXY=localhost,10.244.0.0/16"
    folder = "/etc/systemd/system/containerd.service.d"
    reloads = "systemctl daemon-reload; systemctl restart containerd"
    sets = f"mkdir {folder}; printf '[Service]\\nEnvironment={proxy}\\n' >{folder}/proxy.conf; {reloads}"
    with broken(here, sets, f"rm -r {folder}; {reloads}"):
        ended = here.bootstrap("preflight")
    assert ended.status == 0, ended
    assert "HTTPProxyCIDR" in ended.out
    assert "containerd has a proxy, and its NO_PROXY lacks 10.96.0.0/12" in ended.out
    assert "next: add them to NO_PROXY in the unit of containerd on cp1" in ended.err
    assert SECRET not in ended.out + ended.err


def test_what_is_ignored_is_told_and_does_not_stop(here: Desk) -> None:
    makes = f"mkdir -p {DIRECTORY} /var/lib/etcd; : >{DIRECTORY}/agent.bak; : >/var/lib/etcd/x"
    with broken(here, makes, "rm -r /etc/kubernetes /var/lib/etcd"):
        found = findings(here, "--ignore-preflight-errors", "diravailable,FileAvailable", status=0)
        assert found["FileAvailable--etc-kubernetes-manifests-agent.bak"]["ignored"]
        assert found["DirAvailable--var-lib-etcd"]["level"] == "error"
        assert found["ContainerRuntimeVersion"]["level"] == "warning"
        ended = here.bootstrap("init", "--ignore-preflight-errors", "FileAvailable")
        assert ended.status == 7, ended
        assert "error: 1 finding before anything was changed" in ended.err
        assert "cp1: DirAvailable--var-lib-etcd: " in ended.err
        assert untouched(here)


# Images

REGISTRY = "127.0.0.1:5000"
SERVES = rf"""
cd /root && mkdir -p registry/export && ctr -n k8s.io images export registry/image.tar PAUSE
tar -xf registry/image.tar -C registry/export
digest=$(sed 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/' registry/export/index.json)
for image in IMAGES; do
    place=registry/www/v2/${{image%%:*}}
    mkdir -p $place/manifests $place/blobs
    for blob in registry/export/blobs/sha256/*; do cp $blob $place/blobs/sha256:${{blob##*/}}; done
    cp $place/blobs/$digest $place/manifests/${{image#*:}}
    cp $place/blobs/$digest $place/manifests/$digest
    echo ".${{image##*.}}:application/vnd.docker.distribution.manifest.v2+json" >>registry/httpd.conf
done
systemd-run --quiet --unit=registry busybox httpd -f -p {REGISTRY} -h /root/registry/www -c /root/registry/httpd.conf
until ss -Hltn | grep -q :5000; do sleep 0.05; done
"""


@pytest.fixture
def registry(here: Desk) -> Iterator[tuple[str, ...]]:
    """A registry on the node that has every image it needs (they are all the same small one); their names."""
    release = spec.load(here.file).release
    here.describe(imageRepository=f"{REGISTRY}/k8s")
    names = images.needed(spec.load(here.file))
    local = " ".join(name.removeprefix(f"{REGISTRY}/") for name in names)
    pause = f"registry.k8s.io/pause:{release.pause}"
    here.node.shell(SERVES.replace("PAUSE", pause).replace("IMAGES", local))
    try:
        yield names
    finally:
        here.describe(imageRepository=None)
        here.node.shell(f"systemctl stop registry; rm -r /root/registry; ctr -n k8s.io images rm {' '.join(names)}")


def test_images_are_pulled_where_they_are_missing_and_nothing_else_is_changed(
    here: Desk, registry: tuple[str, ...]
) -> None:
    assert "ImagePull" not in findings(here, status=0), "the registry answers"
    listed = json.loads(here.done("images", "list", "-o", "json").out)
    schema("Images").validate(listed)
    assert listed["nodes"] == [{"name": "cp1", "images": list(registry)}]

    here.node.exec("mv", "/root/registry/www/v2/k8s/pause/manifests", "/root/registry/away")
    ended = here.bootstrap("images", "pull")
    assert ended.status == 4, ended
    assert f"cp1 lacks 1 of {len(registry)} images" in ended.err
    assert f"{REGISTRY}/k8s/pause" in ended.err
    assert "next: bootstrap preflight" in ended.err

    here.node.exec("mv", "/root/registry/away", "/root/registry/www/v2/k8s/pause/manifests")
    said = here.done("images", "pull").err
    assert said.count("is there already") == len(registry) - 1
    assert said.count(" pulled (") == 1
    assert set(registry) <= set(here.node.exec("ctr", "-n", "k8s.io", "images", "ls", "-q").split())
    assert untouched(here)


# Between nodes


@pytest.fixture(scope="module")
def pair(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two control-plane nodes that nothing was done to."""
    with nodes_of_its_own(next(lab_names), tmp_path_factory.mktemp("pair"), nodes=2, load_balancer=True) as here:
        yield here


@pytest.mark.lab
def test_two_that_look_at_once_are_not_in_each_others_way(pair: Desk, tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "other"]
    begun = [pair.start("preflight", log=log) for log in logs]
    assert [each.wait(PATIENCE) for each in begun] == [0, 0], [log.read_text() for log in logs]


@pytest.mark.lab
def test_clones_and_ports_between_nodes_are_found(pair: Desk) -> None:
    assert {each["level"] for each in findings(pair, status=0).values()} == {"warning"}

    one, two = pair.lab.node("cp1"), pair.lab.node("cp2")
    two.exec("tee", "/etc/machine-id", stdin=one.exec("cat", "/etc/machine-id"))
    two.shell("iptables -A INPUT -p tcp --dport 2380 -j DROP; iptables -A INPUT -p tcp --dport 6443 -j REJECT")
    one.shell(f"ip address add {two.address}/32 dev lo")
    found = findings(pair, status=7)
    assert found["Unique-machine-id"]["finding"].startswith("it has the same /etc/machine-id as cp2")
    assert found["Unique-address"]["finding"].startswith(f"the address of cp2, {two.address}, is on an interface")
    one.shell(f"ip address delete {two.address}/32 dev lo")
    found = findings(pair, status=7)
    assert found["Connection-2380"]["finding"] == "cp1 does not reach port 2380 of cp2: no answer in 5 s"
    assert found["Connection-6443"]["finding"] == "cp1 does not reach port 6443 of cp2: nobody answers"
    assert "Connection-10250" not in found
    assert "Unique-address" not in found
    until(lambda: not any(LISTENERS.search(node.exec("ss", "-Hltn")) for node in (one, two)))  # for us, any more


# Mended


def test_a_node_called_123_whose_kubelet_has_no_unit_comes_up_and_is_left_as_it_was_found(here: Desk) -> None:
    assert {each["level"] for each in findings(here, status=0).values()} == {"warning"}
    units = "/usr/lib/systemd/system/kubelet.service"
    here.node.shell(f"systemctl disable --quiet --now kubelet; rm -r {units} {units}.d; systemctl daemon-reload")
    found = look(here.node)
    (node,) = here.tree()["nodes"]
    here.describe(nodes=[node | {"name": "123"}])
    ended = here.done("init")
    assert "warning: 123: Hostname: its name leads to 0.0.0.123 there, not to its address" in ended.err
    until(here.ready)
    assert running(here.node).keys() == {*PARTS, "kubelet"}
    assert [each["metadata"]["name"] for each in here.get("nodes")["items"]] == ["123"]
    assert here.node.exec("systemctl", "is-enabled", "kubelet") == "enabled\n"
    until(here.nothing_left)
    assert "nothing to do" in here.done("plan").out
    assert {each["level"] for each in findings(here, status=0).values()} == {"warning"}

    here.done("reset", "--yes")
    assert looked(here.node, found) ^ found == set()
