"""A node with containerd 2 and systemd's cgroup driver, as most people run one: founded, changed in a turn, reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import LEASED, PARTS, Desk, nodes_of_its_own, pod, running, until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One node, on which `bootstrap init` has ended well."""
    with nodes_of_its_own(next(lab_names), tmp_path_factory.mktemp("desk"), nodes=1, containerd=2) as here:
        here.done("init")
        yield here


def endpoints(cluster: Desk) -> list[tuple[str, int]]:
    """Uid and generation of what lists the ready endpoints of `web`: a change and its undoing are two more."""
    return [
        (each["metadata"]["uid"], each["metadata"]["generation"])
        for each in cluster.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        if any(endpoint["conditions"]["ready"] for endpoint in each["endpoints"] or ())
    ]


def lost_its_lease(cluster: Desk, part: str) -> bool:
    """Whether it has ended by itself since it was founded, as it does where the API is away for ten seconds."""
    return bool(
        cluster.node.shell(f"grep -il 'leaderelection lost' /var/log/pods/kube-system_{part}-*/*/*.log || true")
    )


def test_the_node_gets_ready_and_every_part_runs(cluster: Desk) -> None:
    assert "containerd 2." in cluster.node.exec("containerd", "--version").replace(" v2.", " containerd 2.")
    assert cluster.tree()["kubelet"]["cgroupDriver"] == "systemd"
    assert until(cluster.ready)
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}
    until(cluster.nothing_left)


def test_one_turn_changes_the_api_server_and_etcd_and_no_endpoint_of_a_probed_workload_disappears(
    cluster: Desk,
) -> None:
    server = ["sh", "-c", "mkdir /www; echo hello >/www/index.html; httpd -f -p 8080 -h /www"]
    web = pod("web", server)
    probe = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    patient = {"timeoutSeconds": 30, "failureThreshold": 30}  # a machine that stands still is none of our doing
    web["spec"]["containers"][0]["readinessProbe"] = probe | patient
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
    cluster.apply(web, service | {"spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}]}})
    slices = until(lambda: endpoints(cluster))
    before = running(cluster.node)
    cluster.describe(
        apiServer={"extraArgs": [{"name": "max-requests-inflight", "value": "401"}]},
        etcd={"extraArgs": [{"name": "max-txn-ops", "value": "129"}]},
    )
    said = cluster.done("apply", "--yes").err
    assert "restarts etcd, kube-apiserver\n" in said
    changed = {part for part, pid in running(cluster.node).items() if pid != before[part]}
    assert changed >= {"etcd", "kube-apiserver"}
    assert [part for part in LEASED & changed if not lost_its_lease(cluster, part)] == []
    assert endpoints(cluster) == slices
    until(cluster.nothing_left)
    assert until(cluster.ready)


def test_reset_leaves_nothing_running(cluster: Desk) -> None:
    cluster.done("reset", "--yes")
    assert not running(cluster.node)
    assert cluster.node.shell("ls /etc/kubernetes 2>/dev/null || true") == ""
