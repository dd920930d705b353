"""The cluster's objects: who may do what, kubeadm's ConfigMaps, CoreDNS, kube-proxy, and the order they go in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap import documents, kubelet, objects
from bootstrap.documents import Object
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster
from bootstrap.versions import RELEASES

Raw = dict[str, Any]
CP1: Raw = {"name": "cp1", "address": "10.77.0.11", "role": "control-plane"}
W1: Raw = {"name": "w1", "address": "10.77.0.21", "role": "worker"}
BATCH: Raw = {"schedulers": [{"name": "batch"}, {"name": "gpu-scheduler"}]}
SIX: Raw = {
    "networking": {"podSubnet": "fd00:10:244::/56", "serviceSubnet": "fd00:10:96::/112"},
    "nodes": [CP1 | {"address": "fd00:77::11"}],
}
OFF: Raw = {"dns": {"disabled": True}, "proxy": {"disabled": True}}


def cluster(**fields: Any) -> Cluster:
    """A cluster of cp1 and w1, unless `nodes` says otherwise."""
    raw: Raw = {"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "demo", "nodes": [CP1, W1]} | fields
    return Cluster.model_validate_json(json.dumps(raw))


def everything(wanted: Cluster, directory: Path = Path()) -> dict[str, Object]:
    """All objects, by key, in their order."""
    return {objects.key(each): each for each in objects.objects(wanted, kubelet.shared(wanted), directory)}


def stored(wanted: Cluster, config_map: str, entry: str) -> Raw:
    """What an entry of a ConfigMap holds, read as any YAML reader does."""
    read: Raw = yaml.safe_load(everything(wanted)[f"|ConfigMap|kube-system|{config_map}"]["data"][entry])
    return read


def granted(wanted: Cluster, user: str) -> set[str]:
    """The roles this user or group is bound to, as kind/name of the role."""
    bindings = (each for each in everything(wanted).values() if each["kind"].endswith("Binding"))
    return {
        f"{each['roleRef']['kind']}/{each['roleRef']['name']}"
        for each in bindings
        if user in (subject["name"] for subject in each["subjects"])
    }


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.kubernetes)
@pytest.mark.parametrize("fields", [{}, BATCH, SIX, OFF], ids=["plain", "schedulers", "ipv6", "add-ons off"])
def test_every_object_is_valid_in_every_supported_version(release: Any, fields: Raw) -> None:
    wanted = cluster(kubernetesVersion=release.kubernetes, **fields)
    minor = release.kubernetes.removeprefix("v").rpartition(".")[0]
    for each in (*everything(wanted).values(), *objects.marks(wanted)):
        kubernetes_validate.validate(each, f"{minor}.0", strict=True)


def test_the_same_file_gives_the_same_objects_in_the_same_order() -> None:
    one, two = (json.dumps(list(everything(cluster(**BATCH)).items())) for _ in range(2))
    assert one == two


def test_all_objects_carry_our_label_so_that_they_can_be_found_and_deleted() -> None:
    for each in everything(cluster(**BATCH)).values():
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "bootstrap"


def test_nodes_are_only_marked_and_never_among_the_objects_to_create_or_delete() -> None:
    wanted = cluster(nodes=[CP1, W1 | {"labels": {"disk": "1e3"}}])
    assert not [name for name in everything(wanted) if "|Node|" in name]
    marks = {mark["metadata"]["name"]: mark for mark in objects.marks(wanted)}
    assert marks["cp1"]["metadata"]["labels"] == {
        "node-role.kubernetes.io/control-plane": "",
        "node.kubernetes.io/exclude-from-external-load-balancers": "",
    }
    assert marks["w1"]["metadata"]["labels"] == {"disk": "1e3"}
    assert all(mark.keys() == {"apiVersion", "kind", "metadata"} for mark in marks.values())
    assert all(mark["metadata"].keys() == {"name", "labels"} for mark in marks.values())


def test_a_node_without_labels_is_marked_too_so_that_labels_it_had_go() -> None:
    assert [mark["metadata"] for mark in objects.marks(cluster())][1] == {"name": "w1", "labels": {}}


def test_administrators_and_the_api_servers_client_of_kubelets_have_their_rights() -> None:
    assert granted(cluster(), "kubeadm:cluster-admins") == {"ClusterRole/cluster-admin"}
    assert granted(cluster(), "kube-apiserver-kubelet-client") == {"ClusterRole/system:kubelet-api-admin"}


def test_nodes_may_read_the_two_configurations_and_nobody_unauthenticated_may() -> None:
    wanted = cluster(**BATCH)
    assert granted(wanted, "system:nodes") == {"Role/kubeadm:nodes-kubeadm-config", "Role/kubeadm:kubelet-config"}
    assert "system:bootstrappers" not in str(everything(wanted))
    assert "system:anonymous" not in str(everything(wanted))
    for role, config_map in (("nodes-kubeadm-config", "kubeadm-config"), ("kubelet-config", "kubelet-config")):
        (rule,) = everything(wanted)[f"rbac.authorization.k8s.io|Role|kube-system|kubeadm:{role}"]["rules"]
        assert rule == {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [config_map],
            "verbs": ["get"],
        }


def test_a_further_scheduler_may_schedule_and_hold_its_own_lease() -> None:
    wanted = cluster(**BATCH)
    assert granted(wanted, "scheduler:batch") == {
        "ClusterRole/system:kube-scheduler",
        "ClusterRole/system:volume-scheduler",
        "Role/extension-apiserver-authentication-reader",
        "Role/bootstrap:scheduler:batch:lease",
    }
    role = everything(wanted)["rbac.authorization.k8s.io|Role|kube-system|bootstrap:scheduler:batch:lease"]
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["batch"],
            "verbs": ["get", "update"],
        }
    ]


def test_without_further_schedulers_there_is_nothing_of_them() -> None:
    assert objects.schedulers(cluster()) == ()


def test_the_stored_cluster_configuration_says_what_the_file_says_in_kubeadms_words() -> None:
    wanted = cluster(
        endpoint="api.demo.internal:6443",
        apiServer={
            "extraArgs": [{"name": "v", "value": "2"}, {"name": "v", "value": "4"}],
            "extraVolumes": [{"name": "a", "hostPath": "/a", "mountPath": "/b"}],
            "certSANs": ["api.example.com"],
        },
        etcd={"extraArgs": [{"name": "quota-backend-bytes", "value": "1"}], "peerCertSANs": ["etcd.example.com"]},
        certificateValidityDays=30,
        proxy={"disabled": True},
    )
    assert stored(wanted, "kubeadm-config", "ClusterConfiguration") == {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": "demo",
        "kubernetesVersion": wanted.kubernetes_version,
        "controlPlaneEndpoint": "api.demo.internal:6443",
        "certificatesDir": "/etc/kubernetes/pki",
        "imageRepository": "registry.k8s.io",
        "encryptionAlgorithm": "ECDSA-P256",
        "certificateValidityPeriod": "720h0m0s",
        "caCertificateValidityPeriod": "87600h0m0s",
        "networking": {
            "dnsDomain": "cluster.local",
            "podSubnet": "10.244.0.0/16",
            "serviceSubnet": "10.96.0.0/12",
        },
        "apiServer": {
            "extraArgs": [{"name": "v", "value": "2"}, {"name": "v", "value": "4"}],
            "extraVolumes": [{"name": "a", "hostPath": "/a", "mountPath": "/b", "readOnly": True, "pathType": ""}],
            "certSANs": ["api.example.com"],
        },
        "controllerManager": {},
        "scheduler": {},
        "etcd": {
            "local": {
                "dataDir": "/var/lib/etcd",
                "extraArgs": [{"name": "quota-backend-bytes", "value": "1"}],
                "peerCertSANs": ["etcd.example.com"],
            }
        },
        "dns": {},
        "proxy": {"disabled": True},
    }


def test_one_control_plane_node_needs_no_endpoint() -> None:
    assert "controlPlaneEndpoint" not in stored(cluster(), "kubeadm-config", "ClusterConfiguration")


def test_the_stored_kubelet_configuration_is_what_the_kubelets_share() -> None:
    wanted = cluster(kubelet={"maxPods": 50})
    assert stored(wanted, "kubelet-config", "kubelet") == kubelet.shared(wanted)


def test_coredns_serves_the_files_domain_at_the_tenth_service_address() -> None:
    wanted = cluster(networking={"serviceSubnet": "10.112.0.0/16", "dnsDomain": "corp.internal"})
    found = everything(wanted)
    assert found["|Service|kube-system|kube-dns"]["spec"]["clusterIP"] == "10.112.0.10"
    corefile = found["|ConfigMap|kube-system|coredns"]["data"]["Corefile"]
    assert "kubernetes corp.internal in-addr.arpa ip6.arpa {" in corefile
    assert "disable denial corp.internal" in corefile
    assert found["apps|Deployment|kube-system|coredns"]["spec"]["replicas"] == 2


def test_images_come_from_the_files_repository() -> None:
    found = everything(cluster(imageRepository="mirror.internal/k8s"))
    images = {
        each["spec"]["template"]["spec"]["containers"][0]["image"]
        for each in found.values()
        if each["kind"] in {"Deployment", "DaemonSet"}
    }
    release = cluster().release
    assert images == {
        f"mirror.internal/k8s/coredns:{release.coredns}",
        f"mirror.internal/k8s/kube-proxy:{release.kubernetes}",
    }


def test_each_add_on_can_be_left_out() -> None:
    assert objects.dns(cluster(dns={"disabled": True})) == ()
    assert objects.proxy(cluster(proxy={"disabled": True})) == ()
    assert not {"coredns", "kube-dns", "kube-proxy"} & {name.rpartition("|")[2] for name in everything(cluster(**OFF))}


def test_kube_proxy_is_told_the_mode_the_pods_network_and_where_the_api_is() -> None:
    wanted = cluster(endpoint="api.demo.internal:6443")
    assert stored(wanted, "kube-proxy", "config.conf") == {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "clusterCIDR": "10.244.0.0/16",
        "mode": "nftables",
    }
    (reached,) = stored(wanted, "kube-proxy", "kubeconfig.conf")["clusters"]
    assert reached["cluster"]["server"] == "https://api.demo.internal:6443"


def test_kube_proxy_takes_the_files_fields_over_ours_but_for_its_kubeconfig() -> None:
    theirs = {
        "kind": "Other",
        "clusterCIDR": None,
        "conntrack": {"maxPerCore": 0},
        "clientConnection": {"qps": 50, "kubeconfig": "/else"},
    }
    read = stored(cluster(proxy={"mode": "iptables", "config": theirs}), "kube-proxy", "config.conf")
    assert read["kind"] == "KubeProxyConfiguration"
    assert read["mode"] == "iptables"
    assert read["conntrack"] == {"maxPerCore": 0}
    assert read["clientConnection"] == {"qps": 50, "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"}
    assert "clusterCIDR" not in read


def test_kube_proxy_listens_on_ipv6_where_the_nodes_do() -> None:
    assert stored(cluster(**SIX), "kube-proxy", "config.conf")["bindAddress"] == "::"
    (reached,) = stored(cluster(**SIX), "kube-proxy", "kubeconfig.conf")["clusters"]
    assert reached["cluster"]["server"] == "https://[fd00:77::11]:6443"


def test_kube_proxy_restarts_when_its_configuration_changes_and_only_then() -> None:
    def template(wanted: Cluster) -> Object:
        found: Object = everything(wanted)["apps|DaemonSet|kube-system|kube-proxy"]["spec"]["template"]
        return found

    plain, other_mode = template(cluster()), template(cluster(proxy={"mode": "iptables"}))
    other_endpoint = template(cluster(endpoint="api.internal:6443"))
    assert plain != other_mode
    assert plain != other_endpoint
    assert plain == template(cluster(**BATCH))


def test_a_key_tells_objects_apart_but_not_versions_of_the_same_one() -> None:
    def named(version: str, kind: str, **metadata: str) -> str:
        return objects.key({"apiVersion": version, "kind": kind, "metadata": metadata})

    assert named("v1", "ConfigMap", name="a", namespace="x") == "|ConfigMap|x|a"
    assert named("policy/v1beta1", "PodDisruptionBudget", name="a") == "policy|PodDisruptionBudget||a"
    assert named("policy/v1", "PodDisruptionBudget", name="a") == named(
        "policy/v1beta1", "PodDisruptionBudget", name="a"
    )
    keys = [named("v1", "Role", name=name, namespace=space) for name in "ab" for space in "xy"]
    assert len(set(keys)) == 4


def bare(kind: str, name: str = "a") -> Object:
    """As much of an object as its order depends on."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def test_what_others_need_goes_first_and_what_calls_into_the_cluster_last() -> None:
    groups = [
        {"Namespace", "CustomResourceDefinition"},
        {"ServiceAccount", "LimitRange"},
        {"ClusterRole", "ConfigMap", "Secret", "Service"},
        {"ClusterRoleBinding", "RoleBinding"},
        {"Deployment", "DaemonSet"},
        {"Certificate"},
        {"ValidatingWebhookConfiguration"},
    ]
    kinds = sorted(set().union(*groups))
    for shuffled in (reversed(kinds), kinds):
        wanted = objects.ordered(map(bare, shuffled))
        assert [{each["kind"] for each in group} for group in objects.together(wanted)] == groups


@given(st.lists(st.sampled_from(["Namespace", "Role", "Pod", "Own", "Other", "APIService"])))
def test_what_may_go_together_stays_in_the_order_given(kinds: list[str]) -> None:
    wanted = [bare(kind, str(number)) for number, kind in enumerate(kinds)]
    classes = (["Namespace"], ["Role"], ["Pod"], ["Own", "Other"], ["APIService"])
    assert list(objects.ordered(wanted)) == [each for some in classes for each in wanted if each["kind"] in some]


def test_an_addon_may_not_describe_what_bootstrap_itself_installs(tmp_path: Path) -> None:
    (tmp_path / "dns.yaml").write_text(
        documents.dump(bare("ServiceAccount", "x") | {"metadata": {"name": "coredns", "namespace": "kube-system"}})
    )
    with pytest.raises(Problem, match=r"ServiceAccount\|kube-system\|coredns") as caught:
        everything(cluster(addons=[{"file": "dns.yaml"}]), tmp_path)
    assert caught.value.code == Code.WRONG_FILE
    assert "dns: {disabled: true}" in caught.value.next
    assert "|ServiceAccount|kube-system|coredns" in everything(
        cluster(addons=[{"file": "dns.yaml"}], dns={"disabled": True}), tmp_path
    )
