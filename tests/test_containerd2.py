"""A node with containerd 2 and systemd's cgroup driver, as most people run one: founded, changed in a turn, reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import PARTS, Desk, desk, running, until
from tests.lab import down, up

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One node, on which `bootstrap init` has ended well."""
    lab = up(next(lab_names), nodes=1, containerd=2)
    try:
        here = desk(lab, tmp_path_factory.mktemp("containerd2"))
        here.done("init")
        yield here
    finally:
        down(lab.name)


def test_the_node_gets_ready_and_every_part_runs(cluster: Desk) -> None:
    assert "containerd 2." in cluster.node.exec("containerd", "--version").replace(" v2.", " containerd 2.")
    assert cluster.tree()["kubelet"]["cgroupDriver"] == "systemd"
    assert until(cluster.ready)
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}
    assert cluster.plan()["waves"] == []


def test_one_turn_changes_the_api_server_and_etcd(cluster: Desk) -> None:
    before = running(cluster.node)
    cluster.describe(
        apiServer={"extraArgs": [{"name": "max-requests-inflight", "value": "401"}]},
        etcd={"extraArgs": [{"name": "max-txn-ops", "value": "129"}]},
    )
    cluster.done("apply", "--yes")
    changed = {part for part, pid in running(cluster.node).items() if pid != before[part]}
    assert changed >= {"etcd", "kube-apiserver"}
    assert "batch-scheduler" not in changed
    assert cluster.plan()["waves"] == []
    assert until(cluster.ready)


def test_reset_leaves_nothing_running(cluster: Desk) -> None:
    cluster.done("reset", "--yes")
    assert not running(cluster.node)
    assert cluster.node.shell("ls /etc/kubernetes 2>/dev/null || true") == ""
