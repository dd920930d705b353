"""The static pods: which ones a node runs, what they are told, what they see of the node, where they are asked."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import images, paths
from bootstrap.components import CA_DIRECTORIES, Component, Place, components, files, manifest
from bootstrap.flags import command_line, seconds
from bootstrap.spec.model import Arg, Cluster
from bootstrap.versions import RELEASES, Release
from bootstrap.world import GENERATION, File

Raw = dict[str, Any]
CP1: Raw = {"name": "cp1", "address": "10.77.0.11", "role": "control-plane"}
SIX: Raw = {"nodes": [CP1 | {"address": "fd00:77::11"}]}
THREE: Raw = {
    "endpoint": "api.internal:6443",
    "nodes": [
        CP1,
        CP1 | {"name": "cp2", "address": "10.77.0.12"},
        CP1 | {"name": "cp3", "address": "10.77.0.13"},
        {"name": "w1", "address": "10.77.0.21", "role": "worker"},
    ],
}
BATCH: Raw = {"schedulers": [{"name": "batch"}]}
PLACE = Place(paths.MANIFESTS, (), (("cp1", "10.77.0.11"),))
KEY = "A" * 43 + "="
SECTIONS = {
    "etcd": "etcd",
    "kube-apiserver": "apiServer",
    "kube-controller-manager": "controllerManager",
    "kube-scheduler": "scheduler",
}


def cluster(*parts: Raw) -> Cluster:
    """The cluster that these fields of a cluster.yaml describe; one control-plane node unless they say otherwise."""
    raw: Raw = {"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "demo", "nodes": [CP1]}
    for part in parts:
        raw |= part
    return Cluster.model_validate_json(json.dumps(raw))


def with_extra(name: str, extra: Raw) -> Cluster:
    """A cluster whose component of this name has these additions; "batch" is a further scheduler."""
    return cluster({SECTIONS[name]: extra} if name in SECTIONS else {"schedulers": [{"name": name} | extra]})


def written(wanted: Cluster, node: str = "cp1", place: Place = PLACE) -> dict[str, File]:
    """Path -> file, of one node."""
    return {file.path: file for file in files(wanted, wanted.node(node), place, KEY)}


def pod(wanted: Cluster, name: str, node: str = "cp1", place: Place = PLACE) -> Raw:
    """The manifest of this name."""
    return read(manifest(component(wanted, name, node), place))


def read(text: str | bytes) -> Raw:
    """A YAML mapping."""
    found: Raw = yaml.load(text, yaml.CSafeLoader)
    return found


def container(it: Raw) -> Raw:
    """Its only container."""
    (only,) = it["spec"]["containers"]
    return dict(only)


def flags(it: Raw) -> list[tuple[str, str]]:
    """Its flags in order, as name and value."""
    _, *words = container(it)["command"]
    return [(name.removeprefix("--"), value) for name, _, value in (word.partition("=") for word in words)]


def mounts(it: Raw) -> dict[str, tuple[str, str, str, bool]]:
    """Volume name -> path on the node, path inside, hostPath type, read-only; every volume is mounted once."""
    volumes = {volume["name"]: volume["hostPath"] for volume in it["spec"]["volumes"]}
    inside = {mount["name"]: mount for mount in container(it)["volumeMounts"]}
    assert list(volumes) == list(inside)
    return {
        name: (path["path"], inside[name]["mountPath"], path.get("type", ""), inside[name].get("readOnly", False))
        for name, path in volumes.items()
    }


def component(wanted: Cluster, name: str, node: str = "cp1") -> Component:
    """The row of this name."""
    return {it.name: it for it in components(wanted, wanted.node(node))}[name]


# Which there are


def test_pods_come_in_the_order_in_which_they_need_each_other() -> None:
    wanted = cluster(BATCH)
    names = [it.name for it in components(wanted, wanted.nodes[0])]
    assert names == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "batch"]


def test_a_worker_runs_none_of_them() -> None:
    wanted = cluster(THREE)
    assert components(wanted, wanted.node("w1")) == ()
    assert written(wanted, "w1") == {}


def test_a_file_restarts_the_part_that_reads_it() -> None:
    assert {path: file.part for path, file in written(cluster(BATCH)).items()} == {
        "/etc/kubernetes/manifests/etcd.yaml": "etcd",
        "/etc/kubernetes/manifests/kube-apiserver.yaml": "kube-apiserver",
        "/etc/kubernetes/policies/admission.yaml": "kube-apiserver",
        "/etc/kubernetes/policies/audit.yaml": "kube-apiserver",
        "/etc/kubernetes/policies/authentication.yaml": "kube-apiserver",
        "/etc/kubernetes/encryption.yaml": "kube-apiserver",
        "/etc/kubernetes/manifests/kube-controller-manager.yaml": "kube-controller-manager",
        "/etc/kubernetes/manifests/kube-scheduler.yaml": "kube-scheduler",
        "/etc/kubernetes/manifests/batch.yaml": "batch",
        "/etc/kubernetes/batch.yaml": "batch",
    }


def test_only_root_reads_them_and_only_the_encryption_key_is_never_shown() -> None:
    found = written(cluster(BATCH))
    assert {file.mode for file in found.values()} == {0o600}
    assert [path for path, file in found.items() if file.secret] == ["/etc/kubernetes/encryption.yaml"]
    assert [path for path, file in found.items() if KEY.encode() in file.content] == ["/etc/kubernetes/encryption.yaml"]


def test_manifests_go_where_the_kubelet_of_the_node_looks() -> None:
    found = written(cluster(), place=Place("/opt/pods.d", (), PLACE.initial_cluster))
    assert sum(path.startswith("/opt/pods.d/") for path in found) == 4
    assert not [path for path in found if path.startswith(paths.MANIFESTS)]


# What they are told


def test_an_extra_flag_replaces_every_default_of_its_name_and_comes_last_as_written() -> None:
    extra = (Arg(name="b", value="9"), Arg(name="z", value="1"), Arg(name="b", value="8"))
    told = command_line({"c": "3", "b": "2", "a": "1"}, extra)
    assert told == (("a", "1"), ("c", "3"), ("b", "9"), ("z", "1"), ("b", "8"))


def test_defaults_are_sorted_by_name() -> None:
    assert command_line({"b-c": "2", "b": "1", "a": "3"}, ()) == (("a", "3"), ("b", "1"), ("b-c", "2"))


@pytest.mark.parametrize(
    ("name", "extra", "gone"),
    [
        ("kube-apiserver", "authorization-config", "authorization-mode"),
        ("kube-apiserver", "anonymous-auth", "authentication-config"),
        ("kube-apiserver", "oidc-issuer-url", "authentication-config"),
        ("etcd", "tls-min-version", "cipher-suites"),
    ],
)
def test_a_default_goes_that_would_stop_the_program_beside_an_extra_flag(name: str, extra: str, gone: str) -> None:
    assert gone in dict(flags(pod(cluster(), name)))
    told = dict(flags(pod(with_extra(name, {"extraArgs": [{"name": extra, "value": "x"}]}), name)))
    assert extra in told
    assert gone not in told


@pytest.mark.parametrize("name", [*SECTIONS, "batch"])
@settings(max_examples=30)
@given(value=st.text(), variable=st.text())
def test_any_text_reaches_the_program_as_it_was_written(name: str, value: str, variable: str) -> None:
    args = [{"name": "v", "value": value}]
    found = pod(with_extra(name, {"extraArgs": args, "extraEnvs": [{"name": "X", "value": variable}]}), name)
    assert container(found)["command"][-1] == f"--v={value}"
    assert container(found)["env"][-1] == {"name": "X", "value": variable}
    assert len(flags(found)) == len(flags(pod(cluster(BATCH), name))) + 1


def test_a_pod_says_which_part_it_is_and_leaves_room_for_its_generation() -> None:
    for name in (*SECTIONS, "batch"):
        first, second, *_ = container(pod(cluster(BATCH), name))["env"]
        assert first == {"name": "BOOTSTRAP_PART", "value": name}
        assert second == {"name": "BOOTSTRAP_GENERATION", "value": GENERATION.decode()}
        assert written(cluster(BATCH))[f"{paths.MANIFESTS}/{name}.yaml"].content.count(GENERATION) == 1


def test_the_callers_proxy_is_not_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(cluster())
    for name in ("HTTP_PROXY", "https_proxy", "NO_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.internal:3128")
    assert written(cluster()) == before


def test_etcd_is_told_what_its_node_recorded_of_its_birth_and_not_who_is_in_the_file_now() -> None:
    place = Place(paths.MANIFESTS, (), (("cp1", "10.77.0.11"), ("gone", "10.77.0.9")), "existing")
    told = dict(flags(pod(cluster(THREE), "etcd", place=place)))
    assert told["initial-cluster"] == "cp1=https://10.77.0.11:2380,gone=https://10.77.0.9:2380"
    assert told["initial-cluster-state"] == "existing"


def test_a_node_more_in_the_file_changes_nothing_on_the_others() -> None:
    more = THREE["nodes"] + [CP1 | {"name": "cp4", "address": "10.77.0.14"}]
    assert written(cluster(THREE)) == written(cluster(THREE, {"nodes": more}))


def test_an_address_of_six_is_bracketed_in_urls_and_bare_elsewhere() -> None:
    wanted = cluster(SIX)
    place = Place(paths.MANIFESTS, (), (("cp1", "fd00:77::11"),))
    etcd = pod(wanted, "etcd", place=place)
    told = dict(flags(etcd))
    assert told["listen-client-urls"] == "https://[::1]:2379,https://[fd00:77::11]:2379"
    assert told["initial-cluster"] == "cp1=https://[fd00:77::11]:2380"
    assert told["listen-metrics-urls"] == "http://[::1]:2381"
    api = pod(wanted, "kube-apiserver")
    assert dict(flags(api))["advertise-address"] == "fd00:77::11"
    assert dict(flags(api))["etcd-servers"] == "https://[::1]:2379"
    assert [*api["metadata"]["annotations"].values()] == ["[fd00:77::11]:6443"]
    assert container(api)["livenessProbe"]["httpGet"]["host"] == "fd00:77::11"


def test_an_api_server_speaks_to_the_etcd_of_its_own_node_only() -> None:
    for node in ("cp1", "cp2", "cp3"):
        assert dict(flags(pod(cluster(THREE), "kube-apiserver", node)))["etcd-servers"] == "https://127.0.0.1:2379"


def test_the_controller_manager_allots_pod_subnets_unless_we_do() -> None:
    allots = dict(flags(pod(cluster({"networking": {"plugin": "none"}}), "kube-controller-manager")))
    assert (allots["allocate-node-cidrs"], allots["cluster-cidr"]) == ("true", "10.244.0.0/16")
    told = dict(flags(pod(cluster({"networking": {"plugin": "bridge"}}), "kube-controller-manager")))
    assert told["allocate-node-cidrs"] == "false"
    assert "cluster-cidr" not in told


def test_no_flag_names_the_key_of_an_authority() -> None:
    for name in (*SECTIONS, "batch"):
        assert not [value for _, value in flags(pod(cluster(BATCH), name)) if value.endswith("ca.key")]


def test_an_api_server_stops_at_once_and_behind_an_endpoint_lets_balancers_see_it_first() -> None:
    alone = component(cluster(), "kube-apiserver")
    assert (alone.told("shutdown-delay-duration"), alone.grace) == ("", 30)
    for behind in (
        component(cluster(THREE), "kube-apiserver"),
        component(cluster({"endpoint": "api.internal:6443"}), "kube-apiserver"),
    ):
        assert seconds(behind.told("shutdown-delay-duration")) >= 4
        assert behind.told("shutdown-send-retry-after") == "true"


@pytest.mark.parametrize(("delay", "timeout"), [("4s", "60s"), ("1m30s", "5m"), ("90s", "1h")])
def test_an_api_server_is_given_longer_than_it_waits_for_balancers_and_then_requests(delay: str, timeout: str) -> None:
    args = [{"name": "shutdown-delay-duration", "value": delay}, {"name": "request-timeout", "value": timeout}]
    wanted = with_extra("kube-apiserver", {"extraArgs": args})
    grace = pod(wanted, "kube-apiserver")["spec"]["terminationGracePeriodSeconds"]
    assert grace == component(wanted, "kube-apiserver").grace
    assert grace > seconds(delay) + seconds(timeout)


@pytest.mark.parametrize(
    ("duration", "wanted"),
    [("4s", 4), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5), ("250ms", 0.25), ("1h2m3s", 3723), ("0", 0), ("", 0)],
)
def test_gos_times_are_seconds(duration: str, wanted: float) -> None:
    assert seconds(duration) == pytest.approx(wanted)


# Further schedulers


def test_further_schedulers_get_the_next_free_ports() -> None:
    wanted = cluster({"schedulers": [{"name": "a"}, {"name": "b", "port": 10260}, {"name": "c"}]})
    ports = {it.name: it.probe.port for it in components(wanted, wanted.nodes[0])}
    assert ports == {
        **{"etcd": 2381, "kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259},
        **{"a": 10261, "b": 10260, "c": 10262},
    }


def test_a_further_scheduler_runs_where_the_file_says_with_the_same_port_everywhere() -> None:
    schedulers = [{"name": "a", "nodes": ["cp2"]}, {"name": "b"}]
    wanted = cluster(THREE, {"schedulers": schedulers})
    further = {
        node.name: {it.name: it.port for it in components(wanted, node) if it.name in "ab"} for node in wanted.nodes
    }
    assert further == {"cp1": {"b": 10261}, "cp2": {"a": 10260, "b": 10261}, "cp3": {"b": 10261}, "w1": {}}


def test_a_further_scheduler_shares_nothing_with_kube_scheduler() -> None:
    wanted = cluster(BATCH)
    one, other = pod(wanted, "kube-scheduler"), pod(wanted, "batch")
    assert container(one)["image"] == container(other)["image"]
    assert not {it[0] for it in mounts(one).values()} & {it[0] for it in mounts(other).values()}
    assert container(one)["ports"] != container(other)["ports"]
    assert (other["metadata"]["name"], container(other)["name"]) == ("batch", "batch")
    assert other["metadata"]["labels"]["component"] == "batch"
    config = read(written(wanted)["/etc/kubernetes/batch.yaml"].content)
    assert config["leaderElection"]["resourceName"] == "batch"
    assert config["clientConnection"]["kubeconfig"] == "/etc/kubernetes/batch.conf"
    assert config["profiles"] == [{"schedulerName": "batch"}]


def test_profiles_are_taken_as_they_are() -> None:
    profiles = [
        {"schedulerName": "tight", "pluginConfig": [{"name": "NodeResourcesFit", "args": {"a": [1, 2.5, "on"]}}]},
        {"schedulerName": "loose", "plugins": {"score": {"disabled": [{"name": "*"}]}}},
    ]
    wanted = cluster({"schedulers": [{"name": "batch", "profiles": profiles}]})
    assert read(written(wanted)["/etc/kubernetes/batch.yaml"].content)["profiles"] == profiles


# What they see of the node


def test_every_path_a_flag_names_is_mounted() -> None:
    for node in ("cp1", "cp2"):
        wanted = cluster(THREE, BATCH)
        for it in components(wanted, wanted.node(node)):
            found = pod(wanted, it.name, node)
            inside = [PurePosixPath(path) for _, path, _, _ in mounts(found).values()]
            for name, value in flags(found):
                if value.startswith("/"):
                    assert any(PurePosixPath(value).is_relative_to(path) for path in inside), (it.name, name)


def test_a_file_or_directory_that_has_to_be_there_is_never_made_by_the_kubelet() -> None:
    credentials = {f"{paths.KUBERNETES}/{name}.conf" for name in ("controller-manager", "scheduler", "batch")}
    ours = written(cluster(BATCH)).keys() | credentials
    directories = {str(PurePosixPath(path).parent) for path in ours} | {paths.PKI, f"{paths.PKI}/etcd", paths.ETCD}
    for name in (*SECTIONS, "batch"):
        for path, _, type, _ in mounts(pod(cluster(BATCH), name)).values():
            match type:
                case "File":
                    assert path in ours
                case "Directory":
                    assert path in directories
                case _:
                    assert (type, path) in {
                        ("DirectoryOrCreate", "/etc/ssl/certs"),
                        ("DirectoryOrCreate", paths.AUDIT_LOGS),
                    }


def test_only_etcds_data_and_the_audit_log_can_be_written() -> None:
    writable = {
        path for it in (*SECTIONS, "batch") for path, _, _, ro in mounts(pod(cluster(BATCH), it)).values() if not ro
    }
    assert writable == {paths.ETCD, paths.AUDIT_LOGS}


def test_a_volume_of_the_users_takes_the_place_of_ours_of_the_same_name() -> None:
    volume = {"name": "audit-logs", "hostPath": "/srv/audit", "mountPath": paths.AUDIT_LOGS, "readOnly": False}
    other = {"name": "aaa", "hostPath": "/x", "mountPath": "/y", "pathType": "Socket"}
    found = mounts(pod(with_extra("kube-apiserver", {"extraVolumes": [volume, other]}), "kube-apiserver"))
    assert found["audit-logs"] == ("/srv/audit", paths.AUDIT_LOGS, "", False)
    assert found["aaa"] == ("/x", "/y", "Socket", True)
    assert list(found) == sorted(found)


def test_who_may_call_the_outside_sees_the_ca_certificates_the_node_has() -> None:
    place = Place(paths.MANIFESTS, ("/etc/pki/tls/certs", "/usr/share/ca-certificates"), PLACE.initial_cluster)
    seen = {
        name: {path for path, *_ in mounts(pod(cluster(), name, place=place)).values()}
        & {"/etc/ssl/certs", *CA_DIRECTORIES}
        for name in SECTIONS
    }
    assert seen == {
        "etcd": set(),
        "kube-apiserver": {"/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/share/ca-certificates"},
        "kube-controller-manager": {"/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/share/ca-certificates"},
        "kube-scheduler": set(),
    }


def test_etcds_data_lies_where_the_file_says() -> None:
    etcd = pod(cluster({"etcd": {"dataDir": "/srv/etcd"}}), "etcd")
    assert mounts(etcd)["etcd-data"] == ("/srv/etcd", "/srv/etcd", "Directory", False)
    assert dict(flags(etcd))["data-dir"] == "/srv/etcd"


# Where they are asked


def test_probes_go_to_the_nodes_own_loopback() -> None:
    wanted = cluster(BATCH)
    assert [it.probe.url for it in components(wanted, wanted.nodes[0])] == [
        "http://127.0.0.1:2381/readyz",
        "https://127.0.0.1:6443/readyz",
        "https://127.0.0.1:10257/healthz",
        "https://127.0.0.1:10259/readyz",
        "https://127.0.0.1:10260/readyz",
    ]
    wanted = cluster(SIX)
    assert [it.probe.host for it in components(wanted, wanted.nodes[0])] == ["::1", "::1", "127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("bound", "kubelet", "workstation"),
    [("0.0.0.0", None, "127.0.0.1"), ("::", None, "127.0.0.1"), ("10.77.0.11", "10.77.0.11", "10.77.0.11")],
)
def test_probes_follow_the_flags_that_move_them(bound: str, kubelet: str | None, workstation: str) -> None:
    args = [{"name": "bind-address", "value": bound}, {"name": "secure-port", "value": "11257"}]
    wanted = with_extra("kube-controller-manager", {"extraArgs": args})
    probe = container(pod(wanted, "kube-controller-manager"))["livenessProbe"]["httpGet"]
    assert probe.get("host") == kubelet
    assert container(pod(wanted, "kube-controller-manager"))["ports"][0]["containerPort"] == 11257
    probed = component(wanted, "kube-controller-manager").probe
    assert (probed.host, probed.port, probed.scheme) == (workstation, 11257, "https")


def test_etcd_is_probed_at_the_first_of_its_metrics_urls() -> None:
    args = [{"name": "listen-metrics-urls", "value": "https://10.77.0.11:2999,http://127.0.0.1:2381"}]
    wanted = with_extra("etcd", {"extraArgs": args})
    assert component(wanted, "etcd").probe.url == "https://10.77.0.11:2999/readyz"
    probe = container(pod(wanted, "etcd"))["readinessProbe"]["httpGet"]
    assert (probe["host"], probe["scheme"]) == ("10.77.0.11", "HTTPS")


# Images


def test_images_are_the_releases_and_what_is_disabled_is_not_needed() -> None:
    assert images.needed(cluster()) == (
        "registry.k8s.io/kube-apiserver:v1.37.2",
        "registry.k8s.io/kube-controller-manager:v1.37.2",
        "registry.k8s.io/kube-scheduler:v1.37.2",
        "registry.k8s.io/kube-proxy:v1.37.2",
        "registry.k8s.io/coredns/coredns:v1.14.6",
        "registry.k8s.io/pause:3.10.2",
        "registry.k8s.io/etcd:3.7.0-0",
    )
    less = images.needed(cluster({"dns": {"disabled": True}, "proxy": {"disabled": True}}))
    assert set(images.needed(cluster())) - set(less) == {
        "registry.k8s.io/kube-proxy:v1.37.2",
        "registry.k8s.io/coredns/coredns:v1.14.6",
    }


def test_a_mirror_has_every_image_and_coredns_lies_flat_in_it() -> None:
    wanted = cluster({"imageRepository": "mirror.internal:5000/k8s", "kubernetesVersion": "v1.35.4"})
    assert "mirror.internal:5000/k8s/coredns:v1.13.1" in images.needed(wanted)
    assert all(image.startswith("mirror.internal:5000/k8s/") for image in images.needed(wanted))


def test_every_pod_runs_an_image_that_is_needed() -> None:
    wanted = cluster(BATCH)
    assert {it.image for it in components(wanted, wanted.nodes[0])} <= set(images.needed(wanted))


# All of it


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.kubernetes)
def test_every_manifest_is_a_pod_to_each_version_of_kubernetes(release: Release) -> None:
    wanted = cluster(THREE, BATCH, {"kubernetesVersion": release.kubernetes})
    for name in (*SECTIONS, "batch"):
        found = pod(wanted, name)
        kubernetes_validate.validate(found, release.kubernetes.removeprefix("v").rpartition(".")[0], strict=True)


def test_a_static_pod_refers_to_no_object_of_the_api() -> None:
    for name in (*SECTIONS, "batch"):
        spec = pod(cluster(BATCH), name)["spec"]
        assert all(volume.keys() == {"name", "hostPath"} for volume in spec["volumes"])
        assert all(variable.keys() == {"name", "value"} for variable in container({"spec": spec})["env"])
        assert not {"envFrom", "resourceClaims", "serviceAccountName"} & (
            spec.keys() | container({"spec": spec}).keys()
        )
