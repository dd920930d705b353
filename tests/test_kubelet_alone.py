"""What the kubelet does alone, once its files lie there; and where it says that they have to lie."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest

from tests.cluster import DIRECTORY, MANIFESTS, PARTS, Desk, desk, root, running, until
from tests.lab import Lab, Node


def arguments(cluster: Desk, part: str) -> list[str]:
    """The command line a part runs with; nothing when it does not run."""
    process = running(cluster.node).get(part)
    return (root(cluster.node) / f"proc/{process}/cmdline").read_text().split("\0") if process else []


# With nobody but the kubelet at work


def test_parts_that_are_killed_come_back(cluster: Desk) -> None:
    before = running(cluster.node)
    cluster.node.exec("kill", "-KILL", *(str(before[part]) for part in PARTS))
    until(lambda: all(running(cluster.node).get(part, before[part]) != before[part] for part in PARTS))
    until(cluster.well)
    until(cluster.nothing_left)


def test_a_manifest_that_changes_on_the_disk_makes_another_pod_and_apply_makes_ours_again(cluster: Desk) -> None:
    manifest = root(cluster.node) / DIRECTORY[1:] / "kube-scheduler.yaml"
    ours = manifest.read_text()
    theirs = manifest.parent.parent / "theirs"
    theirs.write_text(ours.replace("--leader-elect=true", "--v=3"))
    theirs.rename(manifest)
    assert until(lambda: "--v=3" in arguments(cluster, "kube-scheduler"))
    planned = cluster.bootstrap("plan")
    assert planned.status == 2
    assert f"~ {DIRECTORY}/kube-scheduler.yaml" in planned.out

    cluster.done("apply", "--yes")
    assert manifest.read_text() == ours
    assert until(lambda: "--v=3" not in (arguments(cluster, "kube-scheduler") or ["--v=3"]))
    until(cluster.nothing_left)


def test_a_manifest_that_is_removed_takes_its_pod_away_and_apply_brings_it_back(cluster: Desk) -> None:
    (root(cluster.node) / DIRECTORY[1:] / "batch-scheduler.yaml").unlink()
    assert until(lambda: "batch-scheduler" not in running(cluster.node))
    until(lambda: "batch-scheduler-cp1" not in cluster.kubectl("get", "pods", "-n", "kube-system"))

    cluster.done("apply", "--yes")
    assert "batch-scheduler" in running(cluster.node)
    until(cluster.nothing_left)


# Where manifests lie

# What a kubelet on this machine needs, API server or not.
SETTINGS = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "enableServer": False,
    "failCgroupV1": False,
    "failSwapOn": False,
    "oomScoreAdj": 0,
}


@pytest.fixture(scope="module")
def unfounded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A node whose kubelet tests set up as they please, and nothing of ours on it."""
    lab.fresh("cp1")
    return desk(lab, tmp_path_factory.mktemp("directories"))


def kubelet(node: Node, *flags: str, start: bool, settings: dict[str, object] | None = None) -> None:
    """Set the node's own kubelet up: its unit's flags and the file they name; and start it, or leave it stopped."""
    words = " ".join(("/usr/bin/kubelet", *flags))
    node.exec("systemctl", "stop", "kubelet")
    node.exec("mkdir", "-p", "/etc/systemd/system/kubelet.service.d", "/etc/k/drop-ins/later")
    node.exec("tee", "/etc/k/config.yaml", stdin=json.dumps(SETTINGS | (settings or {}), indent=2))
    node.exec(
        "tee",
        "/etc/systemd/system/kubelet.service.d/20-theirs.conf",
        stdin=f"[Service]\nExecStart=\nExecStart={words}\n",
    )
    node.exec("systemctl", "daemon-reload")
    if start:
        node.exec("systemctl", "start", "kubelet")


def planned(cluster: Desk) -> set[str]:
    """The directories `plan` would put manifests into."""
    (wave, *_) = cluster.plan()["waves"]
    (turn,) = wave
    paths = [PurePosixPath(put["path"]) for put in turn["put"]]
    assert {path.name for path in paths if path.name == "etcd.yaml"}
    return {str(path.parent) for path in paths if path.name == "etcd.yaml"}


def looks(node: Node, directory: str) -> bool:
    """Whether the kubelet that runs looks for manifests in this directory: it says so."""
    said = node.exec("journalctl", "-u", "kubelet", "-b", "-o", "cat")
    return f'"Adding static pod path" path="{directory}"' in said.replace('/"', '"')


def test_manifests_lie_where_cluster_yaml_says(unfounded: Desk) -> None:
    before = unfounded.file.read_text()
    unfounded.describe(kubelet=unfounded.tree()["kubelet"] | {"staticPodPath": "/etc/said"})
    try:
        assert planned(unfounded) == {"/etc/said"}
    finally:
        unfounded.file.write_text(before)


def test_manifests_lie_where_kubeadm_puts_them_when_nothing_is_said(unfounded: Desk) -> None:
    assert planned(unfounded) == {DIRECTORY}


@pytest.mark.parametrize("form", ["--pod-manifest-path=/etc/flag/", "--pod-manifest-path /etc/flag"])
@pytest.mark.parametrize("start", [True, False], ids=["running", "stopped"])
def test_manifests_lie_where_a_flag_of_the_kubelet_says(unfounded: Desk, form: str, start: bool) -> None:
    flags = ("--config=/etc/k/config.yaml", form)
    kubelet(unfounded.node, *flags, start=start, settings={"staticPodPath": "/etc/other"})
    assert planned(unfounded) == {"/etc/flag"}
    if start:
        until(lambda: looks(unfounded.node, "/etc/flag"))


@pytest.mark.parametrize("start", [True, False], ids=["running", "stopped"])
def test_manifests_lie_where_the_kubelets_configuration_says(unfounded: Desk, start: bool) -> None:
    kubelet(unfounded.node, "--config=/etc/k/config.yaml", start=start, settings={"staticPodPath": "/etc/configured"})
    assert planned(unfounded) == {"/etc/configured"}
    if start:
        until(lambda: looks(unfounded.node, "/etc/configured"))


def test_manifests_lie_where_the_last_drop_in_of_the_kubelets_configuration_says(unfounded: Desk) -> None:
    node = unfounded.node
    flags = ("--config=/etc/k/config.yaml", "--config-dir=/etc/k/drop-ins")
    kind = {name: SETTINGS[name] for name in ("apiVersion", "kind")}
    node.exec("mkdir", "-p", "/etc/k/drop-ins/later")
    for name, said in (
        ("10-first.conf", {"staticPodPath": "/etc/first"}),
        ("20-other.conf", {"maxPods": 50}),
        ("later/10-last.conf", {"staticPodPath": "/etc/last"}),
        ("later/20-none.yaml", {"staticPodPath": "/etc/never"}),
    ):
        node.exec("tee", f"/etc/k/drop-ins/{name}", stdin=json.dumps(kind | said))
    kubelet(node, *flags, start=True, settings={"staticPodPath": "/etc/configured"})
    until(lambda: looks(node, "/etc/last"))
    assert planned(unfounded) == {"/etc/last"}


def test_a_cluster_is_founded_in_the_directory_its_running_kubelet_looks_into(unfounded: Desk) -> None:
    node = unfounded.node
    kubelet(node, "--config=/etc/k/config.yaml", "--pod-manifest-path=/srv/manifests", start=True)
    unfounded.done("init")
    assert {path.name for path in (root(node) / "srv/manifests").iterdir()} == MANIFESTS
    assert not (root(node) / DIRECTORY[1:]).exists()
    assert until(unfounded.ready)
    until(unfounded.nothing_left)
    unfounded.done("reset", "--yes")
    assert not (root(node) / "srv/manifests").exists()
    assert until(lambda: looks(node, "/srv/manifests"))
    assert planned(unfounded) == {"/srv/manifests"}
