"""The node's own files: what the kubelet is told, which flags survive, the pod network, the kernel's settings."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from bootstrap import facts, kubelet, paths
from bootstrap.spec.model import Cluster
from bootstrap.world import GENERATION, File, Machine, Record

Raw = dict[str, Any]
CP1: Raw = {"name": "cp1", "address": "10.77.0.11", "role": "control-plane"}
W1: Raw = {"name": "w1", "address": "10.77.0.21", "role": "worker"}

COMMON = """\
# Written by bootstrap: changes belong in cluster.yaml.
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
cgroupDriver: systemd
clusterDNS:
- "10.96.0.10"
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock
healthzBindAddress: "127.0.0.1"
healthzPort: 10248
kind: KubeletConfiguration
podPidsLimit: 4096
readOnlyPort: 0
{particular}\
rotateCertificates: false
seccompDefault: true
serializeImagePulls: false
serverTLSBootstrap: false
staticPodPath: {manifests}
tlsCertFile: /var/lib/kubelet/pki/kubelet.crt
tlsCipherSuites:
- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
- TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
tlsMinVersion: VersionTLS12
tlsPrivateKeyFile: /var/lib/kubelet/pki/kubelet.key
"""

DROPIN = """\
# Written by bootstrap: changes belong in cluster.yaml. Sorts after 10-kubeadm.conf, whose ExecStart it replaces.
[Service]
Environment=BOOTSTRAP_PART=kubelet BOOTSTRAP_GENERATION=@generation@
ExecStart=
ExecStart=/usr/bin/kubelet \\
  --config=/var/lib/kubelet/config.yaml \\
  --kubeconfig=/etc/kubernetes/kubelet.conf \\
  --hostname-override=cp1 \\
  --node-ip=10.77.0.11
"""


def cluster(**fields: Any) -> Cluster:
    """A cluster of cp1 and w1, unless `nodes` says otherwise."""
    raw: Raw = {"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "demo", "nodes": [CP1, W1]} | fields
    return Cluster.model_validate_json(json.dumps(raw))


def files(
    wanted: Cluster, machine: Machine | None = None, *, pod_cidr: str = "10.244.0.0/24", node: int = 0
) -> dict[str, File]:
    """The files of one node, by path."""
    pods = {wanted.nodes[node].name: pod_cidr} if pod_cidr else {}
    found = list(kubelet.files(wanted, wanted.nodes[node], machine or Machine(), pods))
    assert len({file.path for file in found}) == len(found)
    return {file.path: file for file in found}


def config(wanted: Cluster, machine: Machine | None = None, *, node: int = 0) -> Raw:
    """The kubelet's configuration, read back as any YAML reader does."""
    read: Raw = yaml.safe_load(files(wanted, machine, node=node)[paths.KUBELET_CONFIG].content)
    return read


def command(*flags: str, wanted: Cluster | None = None) -> list[str]:
    """The flags of the kubelet beyond ours, on a node whose unit had these."""
    dropin = files(wanted or cluster(), Machine(kubelet_flags=flags))[paths.KUBELET_DROPIN].content.decode()
    words = shlex.split(dropin.rpartition("ExecStart=/usr/bin/kubelet")[2].replace("\\\n", " "))
    assert words[:2] == ["--config=/var/lib/kubelet/config.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf"]
    assert words[2:4] == ["--hostname-override=cp1", "--node-ip=10.77.0.11"]
    return words[4:]


def test_a_control_plane_nodes_configuration_is_exactly_this() -> None:
    particular = "registerWithTaints:\n- effect: NoSchedule\n  key: node-role.kubernetes.io/control-plane\n"
    expected = COMMON.format(particular=particular, manifests=paths.MANIFESTS)
    assert files(cluster())[paths.KUBELET_CONFIG].content.decode() == expected


def test_a_workers_configuration_with_resolved_and_another_manifest_directory_is_exactly_this() -> None:
    expected = COMMON.format(
        particular="resolvConf: /run/systemd/resolve/resolv.conf\n", manifests="/opt/kubelet/pods.d"
    )
    machine = Machine(manifests="/opt/kubelet/pods.d", resolved=True)
    assert files(cluster(), machine, node=1)[paths.KUBELET_CONFIG].content.decode() == expected


def test_the_drop_in_is_exactly_this() -> None:
    assert files(cluster())[paths.KUBELET_DROPIN].content.decode() == DROPIN


def test_a_kubelet_without_a_unit_gets_one_and_another_keeps_its_own() -> None:
    assert paths.KUBELET_UNIT not in files(cluster())
    unit = files(cluster(), Machine(unit=False, kubelet="/opt/bin/kubelet"))[paths.KUBELET_UNIT]
    assert (unit.mode, unit.part) == (0o644, "kubelet")
    assert "\nExecStart=/opt/bin/kubelet\n" in unit.content.decode()
    assert "\nWantedBy=multi-user.target\n" in unit.content.decode()


@pytest.mark.parametrize(
    ("state", "ours", "has"),
    [
        ("loaded", {}, True),
        ("running", {}, True),
        ("not-found", {}, False),
        ("running", {paths.KUBELET_UNIT: "x"}, False),
    ],
)
def test_a_unit_that_is_ours_is_wanted_for_as_long_as_the_record_has_it(
    state: str, ours: dict[str, str], has: bool
) -> None:
    record = facts.to_json(Record(uid="u", files=ours)).decode().strip()
    told = facts.parse("cp1", f"record\t{record}\nmanifests\t/m\nkubelet.state\t{state}\nend\tok\n")
    assert told.machine.unit is has


def test_only_the_kubelets_files_restart_it_and_the_generation_stands_where_the_process_shows_it() -> None:
    found = files(cluster())
    parts = {path: file.part for path, file in found.items()}
    assert parts == {
        paths.KUBELET_CONFIG: "kubelet",
        paths.KUBELET_DROPIN: "kubelet",
        kubelet.SYSCTL: "host",
        kubelet.MODULES: "host",
        paths.CNI: "",
    }
    assert [path for path, file in found.items() if GENERATION in file.content] == [paths.KUBELET_DROPIN]


def test_a_node_with_others_beside_it_knows_the_way_to_their_pods() -> None:
    wanted = cluster()
    pods = {node.name: f"10.244.{number}.0/24" for number, node in enumerate(wanted.nodes)}
    found = {file.path: file for file in kubelet.files(wanted, wanted.nodes[0], Machine(), pods)}
    unit = found[kubelet.ROUTES].content.decode()
    assert f"10.244.1.0/24,{wanted.nodes[1].address} " in unit
    assert "10.244.0.0/24" not in unit
    assert found[kubelet.ROUTES].part == ""


def test_configuration_and_network_are_for_root_only() -> None:
    modes = {path: file.mode for path, file in files(cluster()).items()}
    assert {path for path, mode in modes.items() if mode == 0o600} == {paths.KUBELET_CONFIG, paths.CNI}
    assert set(modes.values()) == {0o600, 0o644}


def test_the_same_cluster_gives_the_same_bytes() -> None:
    one, two = (files(cluster(kubelet={"b": {"y": 1, "x": 2}, "a": 1})) for _ in range(2))
    assert one == two
    assert one == files(cluster(kubelet={"a": 1, "b": {"x": 2, "y": 1}}))


def test_the_nodes_fields_go_over_the_clusters_and_those_over_the_defaults() -> None:
    wanted = cluster(
        kubelet={"cgroupDriver": "cgroupfs", "maxPods": 50, "authentication": {"webhook": {"cacheTTL": "1m"}}},
        nodes=[CP1 | {"kubelet": {"maxPods": 20, "podPidsLimit": None}}, W1],
    )
    read = config(wanted)
    assert (read["cgroupDriver"], read["maxPods"]) == ("cgroupfs", 20)
    assert "podPidsLimit" not in read
    assert read["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "1m"}
    assert read["authentication"]["anonymous"] == {"enabled": False}
    other = config(wanted, node=1)
    assert (other["maxPods"], other["podPidsLimit"]) == (50, 4096)


def test_what_is_ours_to_say_is_said_last() -> None:
    theirs = {
        "apiVersion": "v0",
        "kind": "Other",
        "containerRuntimeEndpoint": "unix:///else.sock",
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
        "staticPodPath": "/else",
        "tlsCertFile": "/else.crt",
        "tlsPrivateKeyFile": None,
    }
    for wanted in (cluster(kubelet=theirs), cluster(nodes=[CP1 | {"kubelet": theirs}])):
        assert config(wanted) == config(cluster())


def test_an_operators_own_resolv_conf_stays() -> None:
    assert config(cluster(kubelet={"resolvConf": "/etc/mine"}), Machine(resolved=True))["resolvConf"] == "/etc/mine"


@pytest.mark.parametrize(
    ("fields", "registered"),
    [
        ({}, [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]),
        ({"taints": []}, []),
        (
            {"taints": [{"key": "dedicated", "value": "1e3", "effect": "NoExecute"}, {"key": "k"}]},
            [{"key": "dedicated", "value": "1e3", "effect": "NoExecute"}, {"key": "k", "effect": "NoSchedule"}],
        ),
        ({"kubelet": {"registerWithTaints": []}}, []),
    ],
)
def test_a_control_plane_node_registers_with_kubeadms_taint_unless_the_file_says_otherwise(
    fields: Raw, registered: list[Raw]
) -> None:
    assert config(cluster(nodes=[CP1 | fields]))["registerWithTaints"] == registered


def test_a_worker_registers_without_taints_unless_the_file_names_some() -> None:
    assert "registerWithTaints" not in config(cluster(), node=1)
    taint = {"key": "gpu", "effect": "NoSchedule"}
    assert config(cluster(nodes=[CP1, W1 | {"taints": [taint]}]), node=1)["registerWithTaints"] == [taint]


def test_only_headers_that_may_carry_a_token_make_the_configuration_a_secret() -> None:
    assert not files(cluster())[paths.KUBELET_CONFIG].secret
    headers = {"staticPodURL": "https://x", "staticPodURLHeader": {"Authorization": ["Bearer s"]}}
    assert files(cluster(kubelet=headers))[paths.KUBELET_CONFIG].secret


def test_a_flag_nobody_else_decides_is_kept() -> None:
    kept = ("--root-dir=/data/kubelet", "--cgroup-driver=cgroupfs", "--max-pods=5", "-v=2", "--fail-swap-on=false")
    assert command(*kept) == list(kept)


def test_a_flag_in_two_words_is_kept_or_dropped_whole() -> None:
    flags = ("--oom-score-adj", "-999", "--kubeconfig", "/else", "--node_ip", "10.0.0.1", "-v", "4", "--runonce")
    assert command(*flags) == ["--oom-score-adj", "-999", "-v", "4", "--runonce"]


@pytest.mark.parametrize(
    "flag",
    [
        "--anonymous-auth=true",
        "--authorization-mode=AlwaysAllow",
        "--bootstrap-kubeconfig=/x",
        "--client-ca-file=/x",
        "--cluster-dns=10.0.0.1",
        "--config=/x",
        "--container-runtime-endpoint=unix:///x",
        "--hostname-override=other",
        "--node-ip=10.0.0.1",
        "--pod-infra-container-image=pause",
        "--pod-manifest-path=/x",
        "--read-only-port=10255",
        "--register-with-taints=a=b:NoSchedule",
        "--rotate-certificates=true",
        "--rotate-server-certificates=true",
        "--tls-cert-file=/x",
        "--tls_min_version=VersionTLS10",
    ],
)
def test_a_flag_that_would_win_over_what_is_ours_is_dropped(flag: str) -> None:
    assert command("--root-dir=/data", flag) == ["--root-dir=/data"]


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        ({"maxPods": 9}, "--max-pods=5"),
        ({"cgroupDriver": "systemd"}, "--cgroup-driver=cgroupfs"),
        ({"podPidsLimit": 9}, "--pod-max-pids=5"),
        ({"imageGCHighThresholdPercent": 80}, "--image-gc-high-threshold=90"),
        ({"reservedSystemCPUs": "0"}, "--reserved-cpus=1"),
    ],
)
def test_a_flag_yields_to_its_field_in_the_file(field: Raw, flag: str) -> None:
    assert command(flag) == [flag]
    assert command(flag, wanted=cluster(kubelet=field)) == []
    assert command(flag, wanted=cluster(nodes=[CP1 | {"kubelet": field}])) == []


def test_what_was_kept_is_kept_again() -> None:
    flags = ("--node-labels=a=b", "--oom-score-adj", "-999", "--tls-cert-file=/x")
    once = command(*flags)
    assert command("--config=/var/lib/kubelet/config.yaml", "--hostname-override=cp1", *once) == once


def test_systemd_sees_every_word_as_it_was() -> None:
    dropin = files(cluster(), Machine(kubelet_flags=('--x=%h $HOME "q" \\ ; é\n', "--empty=", "", "--y=100%")))
    assert dropin[paths.KUBELET_DROPIN].content.decode().splitlines()[-4:] == [
        '  "--x=%%h $$HOME \\"q\\" \\\\ ; é\\n" \\',
        "  --empty= \\",
        '  "" \\',
        "  --y=100%%",
    ]


@pytest.mark.parametrize("name", ["123", "on", "1e3", "0x10", "null"])
def test_a_node_named_like_a_number_or_a_word_of_yaml_keeps_its_name(name: str) -> None:
    dropin = files(cluster(nodes=[CP1 | {"name": name}]))[paths.KUBELET_DROPIN].content.decode()
    assert f"--hostname-override={name} " in dropin


def test_what_all_kubelets_share_names_nothing_of_one_node() -> None:
    shared = kubelet.shared(cluster(kubelet={"maxPods": 50}))
    own = kubelet.config(cluster(kubelet={"maxPods": 50}), cluster().nodes[0], Machine(manifests="/else"))
    differ = {name for name in shared.keys() | own.keys() if shared.get(name) != own.get(name)}
    assert differ == {
        "containerRuntimeEndpoint",
        "registerWithTaints",
        "rotateCertificates",
        "serverTLSBootstrap",
        "staticPodPath",
        "tlsCertFile",
        "tlsPrivateKeyFile",
    }
    assert shared["rotateCertificates"] is True
    assert not {"tlsCertFile", "registerWithTaints"} & shared.keys()


def test_the_bridge_network_takes_the_nodes_own_addresses() -> None:
    conflist = json.loads(files(cluster(), pod_cidr="10.244.7.0/24")[paths.CNI].content)
    bridge, portmap = conflist["plugins"]
    assert conflist["cniVersion"] == "1.0.0"
    assert (bridge["type"], portmap["type"]) == ("bridge", "portmap")
    assert bridge["ipam"] == {"type": "host-local", "ranges": [[{"subnet": "10.244.7.0/24"}]]}
    assert bridge["hairpinMode"] is bridge["isDefaultGateway"] is True
    assert portmap["capabilities"] == {"portMappings": True}


def test_a_node_without_pod_addresses_yet_has_no_network() -> None:
    assert paths.CNI not in files(cluster(), pod_cidr="")


def test_another_plugin_brings_its_own_network_and_modules() -> None:
    found = files(cluster(networking={"plugin": "none"}))
    assert not {paths.CNI, kubelet.MODULES} & found.keys()
    assert settings(found) == {"net.ipv4.ip_forward": "1"}


def settings(found: dict[str, File]) -> dict[str, str]:
    """The kernel's settings among these files."""
    lines = found[kubelet.SYSCTL].content.decode().splitlines()
    return dict(line.split(" = ") for line in lines if not line.startswith("#"))


def test_the_bridge_needs_netfilter_on_bridges() -> None:
    found = files(cluster())
    assert found[kubelet.MODULES].content.decode().splitlines()[1:] == ["br_netfilter"]
    assert settings(found) == {"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"}


def test_ipv6_is_forwarded_where_it_is_used() -> None:
    six = cluster(
        networking={"podSubnet": "fd00:10:244::/56", "serviceSubnet": "fd00:10:96::/112"},
        nodes=[CP1 | {"address": "fd00:77::11"}],
    )
    found = files(six, pod_cidr="fd00:10:244::/64")
    assert settings(found)["net.ipv6.conf.all.forwarding"] == "1"
    assert settings(found)["net.bridge.bridge-nf-call-ip6tables"] == "1"
    assert "--node-ip=fd00:77::11" in found[paths.KUBELET_DROPIN].content.decode()
    assert config(six)["clusterDNS"] == ["fd00:10:96::a"]
