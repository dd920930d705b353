"""Our static pods beside those of `kubeadm init --dry-run`, field by field: a difference is a row with its reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap import images
from bootstrap.components import CA_DIRECTORIES, Place, components, manifest
from bootstrap.spec.model import Cluster
from bootstrap.versions import RELEASES
from tests.kubeadm_differences import PODS, Field, reasons
from tests.lab.build import build, kubernetes
from tests.lab.programs import run

pytestmark = pytest.mark.lab

Raw = dict[str, Any]

# Field names of cluster.yaml are kubeadm's, so the same values go into both.
PLAIN: Raw = {"networking": {"podSubnet": "10.244.0.0/16"}}
EVERYTHING: Raw = {
    "networking": {
        "podSubnet": "fd00:10:244::/56",
        "serviceSubnet": "fd00:10:96::/112",
        "dnsDomain": "six.internal",
    },
    "imageRepository": "mirror.internal:5000/kubernetes",
    "apiServer": {
        "extraArgs": [
            {"name": "v", "value": "2"},
            {"name": "service-account-issuer", "value": "https://new.internal"},
            {"name": "service-account-issuer", "value": "https://old.internal"},
            {"name": "authorization-config", "value": "/srv/authorization.yaml"},
        ],
        "extraVolumes": [
            {"name": "k8s-certs", "hostPath": "/srv/pki", "mountPath": "/srv/pki", "readOnly": True},
            {"name": "srv", "hostPath": "/srv/a", "mountPath": "/b", "readOnly": False, "pathType": "Directory"},
        ],
        "extraEnvs": [{"name": "GODEBUG", "value": "x=1"}],
    },
    "controllerManager": {"extraArgs": [{"name": "bind-address", "value": "::"}]},
    "scheduler": {"extraArgs": [{"name": "bind-address", "value": "fd00:77::11"}, {"name": "v", "value": "4"}]},
    "etcd": {"dataDir": "/srv/etcd", "extraArgs": [{"name": "snapshot-count", "value": "5000"}]},
}
CASES = {  # name -> address of the node, who connects the pods, the rest of the file
    "plain": ("10.77.0.11", "bridge", PLAIN),
    "everything": ("fd00:77::11", "none", EVERYTHING),
}


def fields(pod: Raw) -> Iterator[tuple[str, str]]:
    """What a pod says, as name and value: flags, variables and volumes by name, the rest by path."""
    pod = copy.deepcopy(pod)
    (container,) = pod["spec"].pop("containers")
    program, *words = container.pop("command")
    yield "program", program
    names = dict.fromkeys(word.partition("=")[0] for word in words)
    for name in names:
        yield name, " ".join(value for it, _, value in (word.partition("=") for word in words) if it == name)
    for variable in container.pop("env", []):
        yield f"env {variable['name']}", variable["value"]
    paths = {volume["name"]: volume["hostPath"] for volume in pod["spec"].pop("volumes")}
    for mount in container.pop("volumeMounts"):
        path = paths.pop(mount["name"])
        yield f"volume {mount['name']}, path", f"{path['path']} at {mount['mountPath']}"
        yield f"volume {mount['name']}, type", path.get("type", "")
        yield f"volume {mount['name']}, use", "read-only" if mount.get("readOnly") else "writable"
    assert not paths, "a volume that is mounted nowhere"
    yield from _leaves(container, "container")
    yield from _leaves(pod, "")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from _leaves(inner, f"{path}.{key}".lstrip("."))
        case list() if value:
            for number, inner in enumerate(value):
                yield from _leaves(inner, f"{path}.{number}")
        case _:
            yield path, str(value)


def differences(name: str, theirs: Raw, ours: Raw) -> set[Field]:
    """The fields of one pod that are not the same in both."""
    one, other = dict(fields(theirs)), dict(fields(ours))
    return {
        Field(name, field, one.get(field), other.get(field))
        for field in one | other
        if one.get(field) != other.get(field)
    }


def by_kubeadm(version: str, case: str, directory: Path) -> dict[str, Raw]:
    """Name -> pod, as kubeadm of this version writes them; nothing of this machine's environment gets in."""
    config = kubeadm_config(version, case, directory)
    out = directory / "out"
    clean = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"KUBEADM_INIT_DRYRUN_DIR={out}")
    out.mkdir()
    run([*clean, kubeadm(version), "init", "--dry-run", "--config", config, "--ignore-preflight-errors=all"])
    return {name: yaml.safe_load((out / f"{name}.yaml").read_text(encoding="utf-8")) for name in PODS}


def kubeadm(version: str) -> Path:
    """The program, as the lab builds it; alone, since most versions are needed for nothing else here."""
    whole = kubernetes(version)
    return build(replace(whole, name="kubeadm", binaries={"kubeadm": whole.binaries["kubeadm"]})) / "kubeadm"


def kubeadm_config(version: str, case: str, directory: Path) -> Path:
    """Where what kubeadm is to be told now lies."""
    address, _, raw = CASES[case]
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "nodeRegistration": {"name": "cp1", "criSocket": "unix:///run/containerd/containerd.sock"},
        "localAPIEndpoint": {"advertiseAddress": address},
    }
    wanted = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": "demo",
        "kubernetesVersion": version,
        "encryptionAlgorithm": "ECDSA-P256",
        **raw,
        "etcd": {"local": raw.get("etcd", {})},
    }
    config = directory / "kubeadm.yaml"
    config.write_text(yaml.safe_dump_all([init, wanted]), encoding="utf-8")
    return config


def by_us(version: str, case: str) -> dict[str, Raw]:
    """Name -> pod, as we write them for the same wishes on the same machine."""
    wanted = cluster(version, case)
    (node,) = wanted.nodes
    trusted = tuple(path for path in CA_DIRECTORIES if Path(path).is_dir())
    place = Place("/etc/kubernetes/manifests", trusted, ((node.name, node.address),))
    return {it.name: yaml.safe_load(manifest(it, place)) for it in components(wanted, node)}


def cluster(version: str, case: str) -> Cluster:
    """The cluster of this case."""
    address, plugin, raw = CASES[case]
    node = {"name": "cp1", "address": address, "role": "control-plane"}
    wanted = {"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "demo", "kubernetesVersion": version}
    networking = raw["networking"] | {"plugin": plugin}
    return Cluster.model_validate_json(json.dumps(wanted | raw | {"networking": networking, "nodes": [node]}))


@dataclass(frozen=True, slots=True)
class Both:
    """What kubeadm and we write: case -> name -> pod."""

    version: str
    theirs: dict[str, dict[str, Raw]]
    ours: dict[str, dict[str, Raw]]

    @property
    def pairs(self) -> Iterator[tuple[str, Raw, Raw]]:
        """Name, kubeadm's pod and ours, of every case."""
        for case in CASES:
            for name in PODS:
                yield name, self.theirs[case][name], self.ours[case][name]


@pytest.fixture(scope="module", params=[release.kubernetes for release in RELEASES])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The pods of one version of Kubernetes."""
    version: str = request.param
    return Both(
        version,
        {case: by_kubeadm(version, case, tmp_path_factory.mktemp(case)) for case in CASES},
        {case: by_us(version, case) for case in CASES},
    )


def found(both: Both) -> set[Field]:
    """Every difference there is."""
    return {field for name, theirs, ours in both.pairs for field in differences(name, theirs, ours)}


def test_every_difference_from_kubeadm_has_a_reason(both: Both) -> None:
    assert sorted(found(both) - reasons(both.version).keys(), key=str) == []


def test_no_reason_outlives_its_difference(both: Both) -> None:
    assert sorted(reasons(both.version).keys() - found(both), key=str) == []


def test_flags_come_in_kubeadms_order(both: Both) -> None:
    for name, theirs, ours in both.pairs:
        one, other = (pod["spec"]["containers"][0]["command"] for pod in (theirs, ours))
        assert [word for word in one if word in other] == [word for word in other if word in one], name


@pytest.mark.parametrize("case", CASES)
def test_images_are_kubeadms(case: str, both: Both, tmp_path: Path) -> None:
    config = kubeadm_config(both.version, case, tmp_path)
    listed = run([kubeadm(both.version), "config", "images", "list", "--config", config])
    assert images.needed(cluster(both.version, case)) == tuple(listed.split())
