"""Preflight's rows: what each finds in the facts and the survey of a node, and what it is silent about."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap import checks, images, paths, template_files
from bootstrap.checks import CHECKS, Check, Finding, Level, Seen
from bootstrap.checks.disk import MIB
from bootstrap.checks.runtime import covered
from bootstrap.diagnosis import Listener
from bootstrap.errors import Code, Problem
from bootstrap.preflight import Way, place, ways
from bootstrap.spec import Cluster, parse
from bootstrap.survey import Room, Runtime, Survey, Unreached
from bootstrap.survey import parse as read
from bootstrap.world import Birth, Facts, Machine, Record
from pki import Authority

HERE = Path(__file__).parent.parent
ADDRESSES = {"cp1": "10.77.0.11", "cp2": "10.77.0.12", "w1": "10.77.0.21"}
PAUSE = "registry.k8s.io/pause:3.10.2"
SOCKET = "unix:///run/containerd/containerd.sock"


def cluster(**fields: Any) -> Cluster:
    """Two control-plane nodes and a worker behind a balancer."""
    nodes = [
        {"name": name, "address": address, "role": "worker" if name[0] == "w" else "control-plane"}
        for name, address in ADDRESSES.items()
    ]
    tree = {
        "apiVersion": "bootstrap/v1",
        "kind": "Cluster",
        "name": "demo",
        "endpoint": "api.demo.internal:6443",
        "nodes": nodes,
        **fields,
    }
    return parse(yaml.safe_dump(tree), "cluster.yaml")


def machine(name: str, **fields: Any) -> Machine:
    """One on which nothing is in the way."""
    return replace(
        Machine(systemd=True, kubelet_state="running", runtime=SOCKET, hostname=name, id=f"id-of-{name}"),
        **fields,
    )


def survey(name: str, **fields: Any) -> Survey:
    """Of a machine on which nothing is in the way."""
    address = ADDRESSES[name]
    everywhere = (cluster().etcd.data_dir, *("/etc/kubernetes", "/var/lib/bootstrap", "/var/lib/kubelet"))
    well = Survey(
        kubelet="v1.37.2",
        product=f"product-{name}",
        cpus=2,
        memory=4 << 30,
        addresses=frozenset({"127.0.0.1", address}),
        resolves=frozenset({address}),
        rooms={path: Room(100 << 30, 50 << 30, 10**6, 10**6) for path in everywhere},
        runtime=Runtime(cri="ok", containerd="2.1.5", images=frozenset(), sandbox="registry.k8s.io/pause:3.10.2"),
    )
    return replace(well, **fields)


def runtime(**fields: Any) -> Runtime:
    """One with which nothing is wrong."""
    return replace(survey("cp1").runtime, **fields)


def findings(
    file: Cluster | None = None,
    *,
    node: str = "cp1",
    facts: Mapping[str, Any] | None = None,
    record: Record | None = None,
    kubelet: Mapping[str, Any] | None = None,
    looked: Mapping[str, Any] | None = None,
    authority: str = "",
    ignored: tuple[str, ...] = (),
) -> tuple[Finding, ...]:
    """What is found on three machines, of which this one is so, and the others are well."""
    every = {
        name: Facts(record or Record() if name == node else Record(), {}, {}, machine=machine(name))
        for name in ADDRESSES
    }
    every[node] = replace(every[node], machine=machine(node, **(kubelet or {})), **(facts or {}))
    surveys = {name: survey(name, **(looked or {} if name == node else {})) for name in ADDRESSES}
    return checks.findings(file or cluster(), Seen(every, surveys, "uid", authority), checks.chosen(ignored))


def only(found: tuple[Finding, ...]) -> Finding:
    """The only finding."""
    (finding,) = found
    return finding


def test_nothing_is_found_on_machines_that_are_well() -> None:
    assert findings() == ()


def foreign() -> str:
    """The certificate of another cluster's authority."""
    now = datetime(2026, 11, 27, tzinfo=UTC)
    return Authority.create("kubernetes", "ECDSA-P256", now=now, days=3650).pair.certificate.decode()


KUBELET = {"kubelet": {"failSwapOn": False, "failCgroupV1": False}}
SIX = {"networking": {"podSubnet": "fd00:10:244::/56", "serviceSubnet": "fd00:10:96::/112"}}
LISTENS = Listener("0.0.0.0", 6443, 17, "haproxy")
CA, CONF = f"{paths.PKI}/ca.crt", f"{paths.KUBERNETES}/kubelet.conf"
BAK = f"{paths.MANIFESTS}/kube-apiserver.yaml.bak"

# (name, arguments of findings(), words of the sentence)
FOUND: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("IsPrivilegedUser", {"kubelet": {"user": 1000}}, "user id 1000"),
    ("Systemd", {"kubelet": {"systemd": False}}, "no systemd"),
    ("FileExisting-kubelet", {"kubelet": {"kubelet": ""}}, "no kubelet in the PATH"),
    ("Service-Kubelet", {"kubelet": {"kubelet_state": "masked"}}, "its unit is masked"),
    ("KubeletVersion", {"looked": {"kubelet": "v1.38.0"}}, "v1.38.0, for Kubernetes v1.37.2: newer than it"),
    ("KubeletVersion", {"looked": {"kubelet": "v1.33.9"}}, "more than 3 minor versions older"),
    ("NumCPU", {"looked": {"cpus": 1}}, "has 1 CPU"),
    ("Mem", {"looked": {"memory": 1 << 30}}, "has 1073 MB of memory; a control plane needs 1700"),
    ("Swap", {"looked": {"swaps": ("/dev/vdb",)}}, "it swaps (/dev/vdb)"),
    ("SystemVerification", {"looked": {"cgroup": 1}}, "cgroups of version 1"),
    ("FileExisting-flock", {"looked": {"lacks": ("flock",)}}, "no flock in the PATH"),
    ("FileExisting-ip", {"looked": {"lacks": ("ip",)}}, "no ip in the PATH"),
    ("KernelModule-br_netfilter", {"looked": {"unloadable": ("br_netfilter",)}}, "module br_netfilter"),
    (
        "FileContent--proc-sys-net-ipv4-ip_forward",
        {"looked": {"fixed": {"net/ipv4/ip_forward": "0"}}},
        "/proc/sys/net/ipv4/ip_forward is 0, and can't be changed",
    ),
    ("ClockSkew", {"looked": {"ahead": -61.0}}, "its clock is 61 s behind this workstation's"),
    ("ClockSkew", {"looked": {"ahead": 31.0}}, "31 s ahead of"),
    ("Unique-machine-id", {"kubelet": {"id": "id-of-w1"}}, "the same /etc/machine-id as w1"),
    ("Unique-hostname", {"kubelet": {"hostname": "w1"}}, "its host name, w1, is that of w1 too"),
    ("Unique-product-uuid", {"looked": {"product": "product-cp2"}}, "the UUID of cp2"),
    ("SELinux", {"looked": {"guards": frozenset({"selinux"})}}, "SELinux is enforcing"),
    ("AppArmor", {"looked": {"guards": frozenset({"apparmor"})}}, "apparmor_parser is not there"),
    ("CRI", {"kubelet": {"runtime": ""}}, "no container runtime is there"),
    (
        "CRI-socket",
        {"looked": {"runtime": runtime(listens=False, images=None, cri=None)}},
        "nobody listens at /run/containerd/containerd.sock",
    ),
    ("CRI-plugin", {"looked": {"runtime": runtime(cri="")}}, "CRI plugin is not loaded"),
    ("CRI-plugin", {"looked": {"runtime": runtime(cri="error")}}, "CRI plugin is in the state error"),
    ("ContainerRuntimeVersion", {"looked": {"runtime": runtime(containerd="1.7.20")}}, "containerd 1.7.20"),
    ("SandboxImage", {"looked": {"runtime": runtime(sandbox="k8s.gcr.io/pause:3.2")}}, "not by registry.k8s.io/pause"),
    (
        "ImagePull",
        {"looked": {"unpullable": dict.fromkeys(images.needed(cluster()), "registry.k8s.io:443: nobody answers")}},
        "registry.k8s.io/kube-apiserver:v1.37.2 and 6 more are not on the node, and the registry does not answer it: "
        "registry.k8s.io:443: nobody answers",
    ),
    ("CNIPlugin-bridge", {"looked": {"runtime": runtime(unplugged=("bridge",))}}, "not in /opt/cni/bin"),
    (
        "HTTPProxy",
        {"looked": {"proxied": {"kubelet": ("10.96.0.0/12", "10.244.0.0/16", "10.77.0.12", "10.77.0.21")}}},
        "the API at 10.77.0.11 through a proxy",
    ),
    (
        "HTTPProxyCIDR",
        {"looked": {"proxied": {"containerd": ("localhost", "10.244.0.0/16")}}},
        "containerd has a proxy, and its NO_PROXY lacks 10.96.0.0/12",
    ),
    ("DirAvailable--var-lib-etcd", {"facts": {"etcd": "?"}}, "/var/lib/etcd holds data"),
    (
        "EtcdData",
        {"record": Record(uid="uid", files={"/x": "1"}, birth=Birth((), "new", answered=True))},
        "/var/lib/etcd is empty, and a member of etcd had its data there",
    ),
    ("FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml.bak", {"facts": {"seen": {BAK: "x:600"}}}, BAK),
    ("FileAvailable--etc-kubernetes-manifests-agent", {"kubelet": {"odd": (f"{paths.MANIFESTS}/agent",)}}, "agent"),
    (
        "FileAvailable--etc-kubernetes-pki-ca.crt",
        {"facts": {"seen": {CA: "theirs:644"}}, "looked": {"authority": foreign()}, "authority": "ours"},
        "its authority is CN=kubernetes, since 2026-11-26",
    ),
    ("FileAvailable--etc-kubernetes-pki-ca.crt", {"facts": {"seen": {CA: "theirs:644"}}}, "can't be read"),
    ("FileAvailable--etc-kubernetes-kubelet.conf", {"facts": {"seen": {CONF: "x:600"}}}, "its kubelet is of another"),
    ("OtherCluster", {"record": Record(uid="theirs", files={"/x": "1"})}, "of the cluster theirs; the keys here"),
    (
        "DiskFree--etc-kubernetes",
        {"looked": {"rooms": {"/etc/kubernetes": Room(24 * 1024, 20 * 1024)}}},
        "/etc/kubernetes has 0.0 MiB left, and needs 1",
    ),
    (
        "DiskFree--var-lib-etcd",
        {"looked": {"rooms": {"/var/lib/etcd": Room(10 << 30, 200 * MIB)}}},
        "/var/lib/etcd has 200.0 MiB left, and needs 256",
    ),
    (
        "InodesFree--etc-kubernetes",
        {"looked": {"rooms": {"/etc/kubernetes": Room(1 << 30, 1 << 30, 20, 19)}}},
        "can hold 19 files more, and needs 50",
    ),
    (
        "DiskPressure",
        {"looked": {"rooms": {"/var/lib/kubelet": Room(100 << 30, 8 << 30, 10**6, 10**6)}}},
        "/var/lib/kubelet has 8 % of its bytes left; below 10",
    ),
    (
        "DiskPressure",
        {"looked": {"rooms": {"/var/lib/kubelet": Room(100 << 30, 80 << 30, 10**6, 10**4)}}},
        "/var/lib/kubelet has 1 % of its files left; below 5",
    ),
    ("ReadOnly--etc", {"looked": {"readonly": ("/etc",)}}, "the file system at /etc is read-only"),
    ("Immutable--etc-sysctl.d", {"looked": {"immutable": ("/etc/sysctl.d",)}}, "/etc/sysctl.d can't be changed"),
    ("Port-6443", {"looked": {"listeners": (LISTENS,)}}, "haproxy, process 17, listens on port 6443"),
    ("Port-2379", {"looked": {"listeners": (Listener("::", 2379, 0, ""),)}}, "something listens on port 2379"),
    ("Port-10250", {"looked": {"listeners": (Listener("::", 10250, 9, "nc"),)}}, "nc, process 9,"),
    ("Firewalld", {"looked": {"guards": frozenset({"firewalld"})}}, "6443/tcp, 2380/tcp, 10250/tcp"),
    ("Ufw", {"looked": {"guards": frozenset({"ufw"})}}, "ufw is active"),
    ("NodeAddress", {"looked": {"addresses": frozenset({"10.0.0.9"})}}, "10.77.0.11 is on none of its interfaces"),
    (
        "Unique-address",
        {"looked": {"addresses": frozenset({"10.77.0.11", "10.77.0.21"})}},
        "the address of w1, 10.77.0.21, is on an interface of this node",
    ),
    ("Hostname", {"looked": {"resolves": frozenset()}}, "its name leads nowhere there"),
    ("Hostname", {"looked": {"resolves": frozenset({"0.0.0.123"})}}, "leads to 0.0.0.123 there, not to its address"),
    (
        "Connection-2380",
        {"looked": {"unreached": (Unreached("cp1", "cp2", 2380, "no answer in 3 s"),)}},
        "cp1 does not reach port 2380 of cp2: no answer in 3 s",
    ),
)


@pytest.mark.parametrize(("name", "given", "words"), FOUND, ids=[f"{name} {words[:20]}" for name, _, words in FOUND])
def test_what_is_not_as_it_has_to_be_is_found(name: str, given: dict[str, Any], words: str) -> None:
    finding = only(findings(**given))
    assert (finding.name, finding.node) == (name, "cp1")
    assert words in finding.sentence
    assert "{" not in finding.sentence + finding.next
    assert finding.next


def row(name: str) -> Check:
    """The row of which a finding of this name is: the one that says most of it."""
    fitting = [check for check in CHECKS if check.pattern.fullmatch(name)]
    return max(fitting, key=lambda check: len(re.sub(r"\{\w+\}", "", check.name)))


def test_every_row_finds_something() -> None:
    assert {row(name).name for name, _, _ in FOUND} | {"CgroupDriver"} == {check.name for check in CHECKS}


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


OURS = Record(uid="uid", files={CA: "ours:644", CONF: "x:600", BAK: "x:600"}, birth=Birth((), "new", answered=False))

# What a row has to be silent about.
SILENT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a worker with little", {"node": "w1", "looked": {"cpus": 1, "memory": 1 << 30}}),
    ("what is not known", {"looked": {"cpus": 0, "memory": 0, "kubelet": "", "rooms": {}, "addresses": frozenset()}}),
    ("swap that the file allows", {"file": cluster(**KUBELET), "looked": {"swaps": ("/dev/vdb",), "cgroup": 1}}),
    (
        "swap that the unit allows",
        {"kubelet": {"kubelet_flags": ("--fail-swap-on=false",)}, "looked": {"swaps": ("/dev/vdb",)}},
    ),
    (
        "what only the bridge needs",
        {
            "file": cluster(networking={"plugin": "none"}),
            "looked": {
                "lacks": ("ip", "modprobe"),
                "unloadable": ("br_netfilter",),
                "runtime": runtime(unplugged=("bridge",)),
            },
        },
    ),
    ("a setting that holds", {"looked": {"fixed": {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "0"}}}),
    ("clocks that are near", {"looked": {"ahead": 29.0}}),
    ("an older kubelet", {"looked": {"kubelet": "v1.34.0"}}),
    (
        "images of which nobody can tell",
        {"looked": {"runtime": runtime(images=None), "unpullable": {PAUSE: "nobody answers"}}},
    ),
    (
        "an image that is there",
        {"looked": {"runtime": runtime(images=frozenset({PAUSE})), "unpullable": {PAUSE: "no"}}},
    ),
    ("a proxy that is passed by", {"looked": {"proxied": {"kubelet": ("*",), "containerd": ("10.0.0.0/8",)}}}),
    ("files that are ours", {"record": OURS, "facts": {"seen": dict(OURS.files), "etcd": "1"}}),
    ("our authority", {"facts": {"seen": {CA: "ours:644"}}, "authority": "ours"}),
    ("a hidden file", {"facts": {"seen": {f"{paths.MANIFESTS}/.hidden": "x:600"}}}),
    ("a file below", {"facts": {"seen": {f"{paths.MANIFESTS}/old/etcd.yaml": "x:600"}}}),
    ("the kubelet's own ports", {"looked": {"listeners": (Listener("::", 10250, 9, "kubelet"),)}}),
    ("another port", {"looked": {"listeners": (replace(LISTENS, port=8443),)}}),
    ("a worker's ports", {"node": "w1", "looked": {"listeners": (LISTENS,)}}),
    (
        "a part of ours",
        {"record": OURS, "facts": {"etcd": "1"}, "looked": {"listeners": (replace(LISTENS, part="a"),)}},
    ),
    ("a name that leads to loopback", {"looked": {"resolves": frozenset({"127.0.1.1"})}}),
)


@pytest.mark.parametrize(("what", "given"), SILENT, ids=[what for what, _ in SILENT])
def test_what_is_well_is_not_found(what: str, given: dict[str, Any]) -> None:
    assert findings(**given) == ()


@pytest.mark.parametrize(
    ("systemd", "containerd", "wanted", "found"),
    [
        (False, "1.7.20", "systemd", True),
        (True, "1.7.20", "systemd", False),
        (True, "1.7.20", "cgroupfs", True),
        (False, "2.1.5", "systemd", False),
        (None, "1.7.20", "systemd", False),
    ],
)
def test_the_cgroup_drivers_of_runtime_and_kubelet_are_compared_where_they_have_to_be_said(
    systemd: bool | None, containerd: str, wanted: str, found: bool
) -> None:
    told = findings(
        cluster(kubelet={"cgroupDriver": wanted}),
        looked={"runtime": runtime(systemd=systemd, containerd=containerd)},
    )
    assert ("CgroupDriver" in {each.name for each in told}) == found


def test_the_cgroup_driver_may_be_said_by_the_nodes_own_unit() -> None:
    told = findings(
        kubelet={"kubelet_flags": ("--cgroup-driver=cgroupfs",)},
        looked={"runtime": runtime(systemd=False, containerd="1.7.20")},
    )
    assert {each.name for each in told} == {"ContainerRuntimeVersion"}


def test_a_sandbox_image_of_the_runtimes_own_has_to_be_there_instead_of_ours() -> None:
    old = "k8s.gcr.io/pause:3.2"
    there = frozenset(images.needed(cluster())) - {PAUSE}
    looked = {"runtime": runtime(sandbox=old, images=there), "unpullable": {old: "k8s.gcr.io:443: nobody answers"}}
    told = {each.name: each.sentence for each in findings(looked=looked)}
    assert told.keys() == {"SandboxImage", "ImagePull"}
    assert told["ImagePull"].startswith(f"{old} is not on the node")


def test_ipv6_has_to_be_forwarded_where_pods_have_it() -> None:
    nodes = [{"name": "cp1", "address": "fd00::11", "role": "control-plane"}]
    file = cluster(nodes=nodes, **SIX)
    told = findings(file, looked={"fixed": {"net/ipv6/conf/all/forwarding": "0"}, "addresses": frozenset({"fd00::11"})})
    assert "FileContent--proc-sys-net-ipv6-conf-all-forwarding" in {each.name for each in told}


def test_a_node_that_was_not_looked_at_closely_is_judged_by_its_facts() -> None:
    facts = Facts(Record(), {BAK: "x:600"}, {}, machine=machine("cp1", systemd=False))
    told = checks.findings(cluster(), Seen({"cp1": facts}))
    assert [each.name for each in told] == ["Systemd", f"FileAvailable-{BAK.replace('/', '-')}"]


def test_a_clone_of_a_node_that_is_in_the_cluster_already_is_found() -> None:
    every = {name: Facts(Record(), {}, {}, machine=machine(name, id="same")) for name in ADDRESSES}
    (told,) = checks.findings(cluster(), Seen(every, {"w1": survey("w1")}))
    assert (told.node, told.name) == ("w1", "Unique-machine-id")
    assert "as cp1, cp2" in told.sentence


# Errors, warnings, and what is ignored


def test_everything_is_told_at_once_and_errors_stop() -> None:
    told = findings(kubelet={"systemd": False}, looked={"swaps": ("/dev/vdb",), "resolves": frozenset()})
    with pytest.raises(Problem, match="2 findings before anything was changed") as raised:
        checks.refuse(told)
    assert raised.value.code is Code.REFUSED
    assert [line.partition(": ")[2].partition(":")[0] for line in raised.value.why.splitlines()] == [
        "Systemd",
        "Swap",
        "Hostname",
    ]
    assert raised.value.why.endswith("(warning)")
    assert "swapoff -a on cp1" in raised.value.next


def test_warnings_do_not_stop() -> None:
    told = findings(looked={"resolves": frozenset(), "guards": frozenset({"ufw"})})
    assert {each.level for each in told} == {Level.WARNING}
    checks.refuse(told)


@pytest.mark.parametrize("names", [("all",), ("Swap", "Port-6443"), ("swap", "PORT"), ("Swap", " port-6443 ")])
def test_an_error_that_is_ignored_does_not_stop_and_is_told_still(names: tuple[str, ...]) -> None:
    looked = {"swaps": ("/dev/vdb",), "listeners": (LISTENS,)}
    told = findings(looked=looked, ignored=names)
    assert [(each.name, each.ignored) for each in told] == [("Swap", True), ("Port-6443", True)]
    checks.refuse(told)


def test_another_error_stops_all_the_same() -> None:
    looked = {"swaps": ("/dev/vdb",), "listeners": (LISTENS,)}
    with pytest.raises(Problem, match="1 finding ") as raised:
        checks.refuse(findings(looked=looked, ignored=("Port-2379", "Swap")))
    assert "Swap: it swaps (/dev/vdb), and its kubelet will not start (ignored)" in raised.value.why


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Swpa", "Swap"), ("prot-6443", "Port"), ("FileAvaliable", "FileAvailable"), ("Mme", "Mem"), ("zzz", "")],
)
def test_a_name_that_nothing_has_is_told_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(Problem, match="there is no check") as raised:
        checks.chosen([name])
    assert raised.value.code is Code.USAGE
    assert raised.value.why == (f"did you mean {meant}?" if meant else "")


@pytest.mark.parametrize("finding", sorted({name for name, _, _ in FOUND}))
def test_every_finding_can_be_ignored_by_its_name_and_by_that_of_its_family(finding: str) -> None:
    checks.chosen([finding, finding.upper(), row(finding).family])


# Proxies, registries, ways


@pytest.mark.parametrize(
    ("past", "where", "is_"),
    [
        ("*", "api.demo.internal", True),
        ("demo.internal", "api.demo.internal", True),
        (".demo.internal", "api.demo.internal", True),
        ("mo.internal", "api.demo.internal", False),
        ("10.0.0.0/8", "10.96.0.0/12", True),
        ("10.96.0.0/16", "10.96.0.0/12", False),
        ("10.77.0.11", "10.77.0.11", True),
        ("10.77.0.1", "10.77.0.11", False),
        ("fd00::/8", "10.96.0.0/12", False),
        ("fd00::/8", "fd00:10:96::/112", True),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(past: str, where: str, is_: bool) -> None:
    assert covered((past,), where) is is_


@pytest.mark.parametrize(
    ("image", "where"),
    [
        ("registry.k8s.io/pause:3.10.2", ("registry.k8s.io", 443)),
        ("mirror.internal:5000/k8s/pause:3.10.2", ("mirror.internal", 5000)),
        ("localhost/pause:3.10.2", ("localhost", 443)),
        ("kubeadm/pause:3.10.2", ("registry-1.docker.io", 443)),
        ("pause:3.10.2", ("registry-1.docker.io", 443)),
    ],
)
def test_where_an_images_registry_is(image: str, where: tuple[str, int]) -> None:
    assert place(image) == where


def test_who_has_to_reach_whom_is_asked_where_a_new_node_is_at_one_end() -> None:
    assert set(ways(cluster(), {"w1"})) == {
        Way("w1", "cp1", 6443),
        Way("w1", "cp2", 6443),
        Way("cp1", "w1", 10250),
        Way("cp2", "w1", 10250),
    }
    assert {Way("cp1", "cp2", port) for port in (2380, 6443, 10250)} < set(ways(cluster(), {"cp2"}))
    assert set(ways(cluster(), ())) == set()


# What the script prints

TOLD = """\
clock\t1795000100
machine-id\tb0f1
product\t4c4c
cpus\t4
memory\t2097152
swap\t/dev/vdb
cgroup\tcgroup2fs
guard\tufw
lacks\tflock
unloadable\toverlay
fixed\tnet/ipv4/ip_forward\t0
address\t10.77.0.11
address\tfd00::11
resolves\t10.77.0.11
port\t0B004D0A:192B\t17\thaproxy\t
port\t0100007F:094B\t18\tetcd\tetcd
room\t/etc/kubernetes\t100\t50\t1000\t999
room\t/var/lib/etcd\t100\t50\t-\t-
readonly\t/etc
immutable\t/etc/sysctl.d
authority\t-----BEGIN|MIIB|-----END|
proxy\tcontainerd
unproxied\tcontainerd\tlocalhost, 10.0.0.0/8,
listens\tyes
cri\tok
image\tregistry.k8s.io/pause:3.10.2
images\ttold
config\tversion = 2
config\t[plugins."io.containerd.grpc.v1.cri"]
config\tsandbox_image = "registry.k8s.io/pause:3.10.2"
config\t[plugins."io.containerd.grpc.v1.cri".containerd]
config\tdefault_runtime_name = "runc"
config\t[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
config\tSystemdCgroup = false
config\t[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
config\tSystemdCgroup = true
mirror\tregistry.k8s.io
plugins\t/usr/lib/cni
unplugged\tportmap
kubelet\tKubernetes v1.37.2
containerd\tv2.1.5
end\tok
"""


def test_what_the_script_prints_is_read() -> None:
    assert read("cp1", TOLD, 1795000000.0) == Survey(
        ahead=100.0,
        kubelet="v1.37.2",
        machine_id="b0f1",
        product="4c4c",
        cpus=4,
        memory=2 << 30,
        swaps=("/dev/vdb",),
        guards=frozenset({"ufw"}),
        lacks=("flock",),
        unloadable=("overlay",),
        fixed={"net/ipv4/ip_forward": "0"},
        addresses=frozenset({"10.77.0.11", "fd00::11"}),
        resolves=frozenset({"10.77.0.11"}),
        listeners=(
            Listener("10.77.0.11", 6443, 17, "haproxy"),
            Listener("127.0.0.1", 2379, 18, "etcd", "etcd"),
        ),
        rooms={"/etc/kubernetes": Room(102400, 51200, 1000, 999), "/var/lib/etcd": Room(102400, 51200)},
        readonly=("/etc",),
        immutable=("/etc/sysctl.d",),
        authority="-----BEGIN\nMIIB\n-----END\n",
        proxied={"containerd": ("localhost", "10.0.0.0/8")},
        runtime=Runtime(
            cri="ok",
            containerd="2.1.5",
            images=frozenset({"registry.k8s.io/pause:3.10.2"}),
            sandbox="registry.k8s.io/pause:3.10.2",
            systemd=True,
            mirrors=frozenset({"registry.k8s.io"}),
            plugins="/usr/lib/cni",
            unplugged=("portmap",),
        ),
    )


def test_the_script_itself_ends_on_any_machine_and_writes_nothing(tmp_path: Path) -> None:
    script = template_files.text("scripts/listeners.sh") + template_files.text("scripts/preflight.sh")
    places = (tmp_path / "etcd", tmp_path / "manifests")
    words = ["sh", "-s", "--", *map(str, places), "", "localhost"]
    done = subprocess.run(words, input=script, capture_output=True, text=True, check=True, timeout=60)
    told = read("here", done.stdout, time.time())
    assert abs(told.ahead) < 60
    assert told.cpus > 0
    assert told.memory > 1 << 20
    assert told.rooms[str(places[0])].size > 0
    assert told.resolves
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_of_containerd_2_is_read_too() -> None:
    config = (
        "version = 3",
        "[plugins.'io.containerd.cri.v1.images'.pinned_images]",
        "sandbox = 'registry.k8s.io/pause:3.10.2'",
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]",
        "SystemdCgroup = true",
    )
    told = read("cp1", "".join(f"config\t{line}\n" for line in config) + "end\tok\n", 0).runtime
    assert (told.sandbox, told.systemd, told.images) == ("registry.k8s.io/pause:3.10.2", True, None)


def test_a_script_that_did_not_end_is_no_survey() -> None:
    with pytest.raises(Problem, match="did not end"):
        read("cp1", TOLD.removesuffix("end\tok\n"), 0)


# The page


def told(text: str, bracket: str = r"\<") -> str:
    """A row's text, as docs/faults.md has it; outside of code a bracket alone would begin a tag."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{bracket}{found[1]}>", text)


def test_the_page_of_faults_has_every_row_as_it_is() -> None:
    page = (HERE / "docs/faults.md").read_text().partition("<!-- checks -->\n")[2]
    head = "| name | level | sentence | next |\n|---|---|---|---|\n"
    rows = (
        f"| `{told(check.name, '<')}` | {check.level} | {told(check.sentence)} | {told(check.next)} |\n"
        for check in CHECKS
    )
    assert page.startswith(head + "".join(rows) + "\n")
