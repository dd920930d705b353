"""Every object of the API that a cluster should have, as plain mappings, in the order they are applied in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from bootstrap import addons as manifests
from bootstrap import documents, images, paths
from bootstrap.documents import Object
from bootstrap.errors import Code, Problem
from bootstrap.render import render
from bootstrap.spec.model import Cluster, Component, Scheduler

OURS = {"app.kubernetes.io/managed-by": "bootstrap"}  # what carries it is put by force; a manifest of the user's is not

JOINING = "system:bootstrappers:kubeadm:default-node-token"  # the group of who shows a bootstrap token
SYSTEM = "kube-system"
_RBAC = "rbac.authorization.k8s.io"

# What others need goes first, what calls into the cluster goes last; what stands nowhere goes before that. What is in
# one row may be put at the same time.
_ORDER = (
    ("Namespace", "CustomResourceDefinition"),
    ("PriorityClass", "StorageClass", "RuntimeClass", "ServiceAccount", "ResourceQuota", "LimitRange"),
    (
        *("ClusterRole", "Role", "NetworkPolicy", "ConfigMap", "Secret", "Service"),
        *("PersistentVolume", "PersistentVolumeClaim"),
    ),
    ("ClusterRoleBinding", "RoleBinding"),
    ("Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"),
    (),
    ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
)
_RANKS = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_OTHERS = _ORDER.index(())


def objects(cluster: Cluster, kubelet_config: Mapping[str, Any], directory: Path) -> tuple[Object, ...]:
    """Everything but the marks of nodes, in order of application; the same file gives the same bytes.

    `kubelet_config` is what the kubelets share, `directory` where cluster.yaml lies. A Problem tells of
    manifests that can't be read, and of an object that comes twice.
    """
    return ordered(
        (
            *rbac(cluster),
            *schedulers(cluster),
            *configs(cluster, kubelet_config),
            *dns(cluster),
            *proxy(cluster),
            *addons(cluster, directory),
        )
    )


def key(wanted: Mapping[str, Any]) -> str:
    """An object's identity, "group|kind|namespace|name": without the version, of which the API serves several.

    "" stands for the core group, and for a namespace that is not given.
    """
    group, slash, _ = wanted["apiVersion"].partition("/")
    metadata = wanted["metadata"]
    return f"{group if slash else ''}|{wanted['kind']}|{metadata.get('namespace') or ''}|{metadata['name']}"


def ordered(wanted: Iterable[Object]) -> tuple[Object, ...]:
    """In order of application; what may go together stays in the order given. A Problem: an object comes twice."""
    found = tuple(sorted(wanted, key=_rank))
    times = Counter(map(key, found))
    if twice := sorted(name for name, number in times.items() if number > 1):
        raise Problem(
            f"{', '.join(twice)}: wanted twice",
            why="two manifests, or a manifest and bootstrap itself, describe the same object",
            next="take one of them out of `addons`; `dns: {disabled: true}` and `proxy: {disabled: true}` "
            "leave bootstrap's own CoreDNS and kube-proxy out",
            code=Code.WRONG_FILE,
        )
    return found


def together(wanted: Iterable[Object]) -> Iterator[tuple[Object, ...]]:
    """Objects in order of application, in groups: what is in one may be put at the same time."""
    return (tuple(group) for _, group in groupby(wanted, key=_rank))


def _rank(wanted: Object) -> int:
    return _RANKS.get(wanted["kind"], _OTHERS)


def rbac(cluster: Cluster) -> tuple[Object, ...]:
    """What admin.conf's group and the API servers' client of the kubelets may do: both are nobody without it."""
    return (
        binding("kubeadm:cluster-admins", "ClusterRole", "cluster-admin", "Group", "kubeadm:cluster-admins"),
        binding(
            "kubeadm:apiserver-kubelet-client",
            "ClusterRole",
            "system:kubelet-api-admin",
            "User",
            "kube-apiserver-kubelet-client",
        ),
    )


def schedulers(cluster: Cluster) -> tuple[Object, ...]:
    """What each further scheduler (User `scheduler:<name>`) may do: what kube-scheduler may, on its own lease."""
    return tuple(each for scheduler in cluster.schedulers for each in _scheduler(scheduler))


def _scheduler(scheduler: Scheduler) -> Iterator[Object]:
    user = f"scheduler:{scheduler.name}"
    name = f"bootstrap:{user}"
    yield binding(name, "ClusterRole", "system:kube-scheduler", "User", user)
    yield binding(f"{name}:volumes", "ClusterRole", "system:volume-scheduler", "User", user)
    reader = "extension-apiserver-authentication-reader"
    yield binding(f"{name}:authentication", "Role", reader, "User", user)
    # system:kube-scheduler may create any lease, and touch none but `kube-scheduler`.
    yield role(f"{name}:lease", "coordination.k8s.io", "leases", scheduler.name, ["get", "update"])
    yield binding(f"{name}:lease", "Role", f"{name}:lease", "User", user)


def marks(cluster: Cluster) -> tuple[Object, ...]:
    """The labels of every node of the file: for nodes that are registered, since applying would create others.

    They are not ours to delete, so they don't carry our label. Taints are the kubelet's to register: in the API
    they are one list with one owner.
    """
    control_plane = {
        "node-role.kubernetes.io/control-plane": "",
        "node.kubernetes.io/exclude-from-external-load-balancers": "",
    }
    return tuple(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": node.name,
                "labels": (control_plane if node.control_plane else {}) | node.labels,
            },
        }
        for node in cluster.nodes
    )


def configs(cluster: Cluster, kubelet_config: Mapping[str, Any]) -> tuple[Object, ...]:
    """The ConfigMaps kubeadm and its users look for, readable by nodes; `kubelet_config` is what kubelets share."""
    stored = (
        ("kubeadm-config", "ClusterConfiguration", cluster_configuration(cluster), "kubeadm:nodes-kubeadm-config"),
        ("kubelet-config", "kubelet", kubelet_config, "kubeadm:kubelet-config"),
    )
    readers = [*([JOINING] if cluster.kubeadm_join else []), "system:nodes"]
    return tuple(
        each
        for name, entry, content, reader in stored
        for each in (
            ours("v1", "ConfigMap", name, SYSTEM) | {"data": {entry: documents.dump(dict(content))}},
            role(reader, "", "configmaps", name, ["get"]),
            binding(reader, "Role", reader, "Group", *readers),
        )
    )


def cluster_configuration(cluster: Cluster) -> Object:
    """The cluster as kubeadm.k8s.io/v1beta4 says it: `kubeadm certs` and `kubeadm token` read it.

    https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
    """
    api_server = _component(cluster.api_server) | {"certSANs": list(cluster.api_server.cert_sans)}
    etcd = _component(cluster.etcd) | {
        "dataDir": cluster.etcd.data_dir,
        "serverCertSANs": list(cluster.etcd.server_cert_sans),
        "peerCertSANs": list(cluster.etcd.peer_cert_sans),
    }
    etcd.pop("extraVolumes")  # kubeadm's etcd takes none
    configuration = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name,
        "kubernetesVersion": cluster.kubernetes_version,
        "certificatesDir": paths.PKI,
        "imageRepository": cluster.image_repository,
        "encryptionAlgorithm": cluster.encryption_algorithm,
        "certificateValidityPeriod": f"{24 * cluster.certificate_validity_days}h0m0s",
        "caCertificateValidityPeriod": f"{24 * cluster.ca_certificate_validity_days}h0m0s",
        "networking": {
            "dnsDomain": cluster.networking.dns_domain,
            "podSubnet": cluster.networking.pod_subnet,
            "serviceSubnet": cluster.networking.service_subnet,
        },
        "apiServer": _said(api_server),
        "controllerManager": _said(_component(cluster.controller_manager)),
        "scheduler": _said(_component(cluster.scheduler)),
        "etcd": {"local": _said(etcd)},
        "dns": _said({"disabled": cluster.dns.disabled}),
        "proxy": _said({"disabled": cluster.proxy.disabled}),
    }
    return configuration | _said({"controlPlaneEndpoint": cluster.endpoint})


def _component(component: Component) -> Object:
    return component.model_dump(mode="json", by_alias=True, include={"extra_args", "extra_volumes", "extra_envs"})


def _said(fields: Mapping[str, Any]) -> Object:
    return {name: value for name, value in fields.items() if value}


def dns(cluster: Cluster) -> tuple[Object, ...]:
    """CoreDNS, unless the file disables it."""
    if cluster.dns.disabled:
        return ()
    return _rendered(
        "coredns",
        {
            "image": images.coredns(cluster),
            "address": cluster.service_address(10),
            "domain": cluster.networking.dns_domain,
        },
    )


def proxy(cluster: Cluster) -> tuple[Object, ...]:
    """kube-proxy, unless the file disables it; `proxy.config` goes over what is set here."""
    if cluster.proxy.disabled:
        return ()
    six = ":" in cluster.voters[0].address
    config = documents.dump(
        documents.merged(
            {
                "bindAddress": "::" if six else "0.0.0.0",  # noqa: S104 (node ports and health; kubeadm's)
                "clusterCIDR": cluster.networking.pod_subnet,
                "mode": cluster.proxy.mode,
            },
            cluster.proxy.config,
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
            },
        )
    )
    return _rendered(
        "kube-proxy",
        {
            "image": images.kubernetes(cluster, "kube-proxy"),
            "server": cluster.public_url,
            "config": config,
            "digest": sha256((cluster.public_url + config).encode()).hexdigest(),
        },
    )


def addons(cluster: Cluster, directory: Path) -> tuple[Object, ...]:
    """The user's own manifests, in the file's order, as they are; `addons[].file` is relative to `directory`."""
    return tuple(each for addon in cluster.addons for each in manifests.read(directory / addon.file))


def _rendered(name: str, context: Mapping[str, object]) -> tuple[Object, ...]:
    text = render(f"objects/{name}.yaml.j2", context)
    return tuple(_labelled(each) for _, each in documents.load(text))


def _labelled(wanted: Object) -> Object:
    metadata = wanted["metadata"]
    return wanted | {"metadata": metadata | {"labels": (metadata.get("labels") or {}) | OURS}}


def ours(version: str, kind: str, name: str, namespace: str) -> Object:
    """An object with our label, and nothing in it yet; `namespace` "": it belongs to none."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata | {"labels": OURS}}


def role(name: str, group: str, resource: str, only: str, verbs: list[str], *, namespace: str = SYSTEM) -> Object:
    """Verbs on the `only` object of this name."""
    rule = {"apiGroups": [group], "resources": [resource], "resourceNames": [only], "verbs": verbs}
    return ours(f"{_RBAC}/v1", "Role", name, namespace) | {"rules": [rule]}


def binding(name: str, role_kind: str, role: str, subject_kind: str, *subjects: str, namespace: str = SYSTEM) -> Object:
    """Who has a role; that of a ClusterRole holds everywhere."""
    namespace = namespace if role_kind == "Role" else ""
    return ours(f"{_RBAC}/v1", f"{role_kind}Binding", name, namespace) | {
        "roleRef": {"apiGroup": _RBAC, "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": subject_kind, "name": subject} for subject in subjects],
    }
