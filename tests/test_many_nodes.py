"""Three control-plane nodes and a worker behind a balancer: founded together, killed, replaced, removed, joined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bootstrap import credentials, tunnel
from bootstrap.etcd import Etcd
from bootstrap.state import Store
from tests.clients import clients
from tests.cluster import LEASED, Desk, nodes_of_its_own, pod, record, running, until

pytestmark = pytest.mark.lab

FOUR = ("cp1", "cp2", "cp3", "w1")


@pytest.fixture(scope="module")
def cluster(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The cluster, founded by one `bootstrap init`."""
    place, shape = tmp_path_factory.mktemp("desk"), {"nodes": 3, "workers": 1, "load_balancer": True}
    with nodes_of_its_own(next(lab_names), place, **shape) as here:
        here.done("init")
        yield here


def healthy(cluster: Desk) -> bool:
    """Whether every node and all three members are, by `bootstrap status`."""
    ended = cluster.bootstrap("status", "-o", "json")
    return ended.status == 0 and [member["votes"] for member in json.loads(ended.out)["etcd"]] == [True] * 3


def ready(cluster: Desk) -> set[str]:
    """The nodes that are Ready."""
    return {
        node["metadata"]["name"]
        for node in cluster.get("nodes")["items"]
        if any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
    }


def leads(cluster: Desk, name: str) -> bool:
    """Whether etcd's leader is on this node; it is moved there."""
    identity = credentials.etcd_identity(Store(cluster.state))
    trust = tunnel.context(identity.ca, identity.certificate, identity.key)
    told = json.loads(cluster.bootstrap("status", "-o", "json").out)
    ids = {member["name"]: member["id"] for member in told["etcd"] or ()}
    for node in (cluster.lab.node(each) for each in ids):
        with httpx2.Client(verify=trust, base_url=f"https://{node.address}:2379", timeout=60) as client:
            if Etcd(client).leads():
                if node.name != name:
                    Etcd(client).hand_over(ids[name])
                return node.name == name
    return False


def test_one_init_founds_three_members_at_once_and_brings_the_worker_in(cluster: Desk) -> None:
    until(lambda: ready(cluster) == {"cp1", "cp2", "cp3", "w1"})
    until(lambda: healthy(cluster))
    births = [record(cluster.lab.node(name))["birth"] for name in ("cp1", "cp2", "cp3")]
    assert [(birth["state"], birth["answered"]) for birth in births] == [("new", True)] * 3
    assert births[0]["members"] == births[1]["members"] == births[2]["members"]
    until(cluster.nothing_left)


def test_a_pod_on_one_node_reaches_a_service_whose_pod_is_on_another_by_name(cluster: Desk) -> None:
    server = ["sh", "-c", "mkdir /www; echo hello >/www/index.html; httpd -f -p 8080 -h /www"]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
    cluster.apply(
        pod("web", server, nodeName="cp2"),
        pod("client", ["sleep", "3600"], nodeName="w1"),
        service | {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}},
    )
    url = "http://web.default.svc.cluster.local/"
    until(lambda: cluster.kubectl("exec", "client", "--", "wget", "-qO-", url) == "hello\n")
    address = cluster.get("pod", "web")["status"]["podIP"]
    direct = f"http://{address}:8080/"
    until(lambda: cluster.kubectl("exec", "client", "--", "wget", "-qO-", direct) == "hello\n")
    cluster.kubectl("delete", "pod/web", "pod/client", "service/web", "--now")


def test_no_request_of_a_client_that_retries_fails_while_the_control_plane_changes(cluster: Desk) -> None:
    schedulers = cluster.tree()["schedulers"]
    changed = {
        "apiServer": {"extraArgs": [{"name": "v", "value": "1"}], "certSANs": ["api.example.org"]},
        "etcd": {"extraArgs": [{"name": "log-level", "value": "warn"}]},
    }
    said: list[str] = []
    until(
        lambda: leads(cluster, "cp1")
    )  # the first that stops, else it might change by itself to who has stopped before
    with clients(cluster) as (patient, hasty):
        for fields in (changed, {"schedulers": [*schedulers, {"name": "another"}]}, {"schedulers": schedulers}):
            cluster.describe(**fields)
            said.append(cluster.done("apply", "--yes").err)
    print(f"\n{patient.sent} and {hasty.sent} requests, {len(hasty.failed)} failed: {hasty.failed}", end="")
    assert patient.failed == []
    assert len(hasty.failed) <= hasty.sent // 1000 + 1, hasty
    assert "etcd's leader moves to " in said[0], "whoever leads is one of those that stop"
    assert "could not be moved" not in said[0]
    until(cluster.nothing_left)


def written(cluster: Desk, *, locked: bool = False) -> dict[str, object]:
    """What would differ if a run wrote anything: times of files on the nodes, processes, versions of objects.

    A run that is `locked` raises the epoch on every node. What has a lease may have been started again by itself.
    """
    places = "/etc/kubernetes /etc/systemd /etc/cni /etc/sysctl.d /etc/modules-load.d /var/lib/bootstrap"
    which = "-type f ! -name epoch" if locked else ""
    found: dict[str, object] = {}
    for name in FOUR:
        node = cluster.lab.node(name)
        processes = {part: pid for part, pid in running(node).items() if part not in LEASED}
        found[name] = node.shell(f"find {places} {which} -printf '%p %T@ %C@\\n' | sort"), processes
    listed = cluster.get("configmaps,daemonsets,deployments,serviceaccounts,services", "-n", "kube-system")["items"]
    specs = {(each["kind"], each["metadata"]["name"]): each["metadata"].get("generation", 0) for each in listed}
    versions = {
        each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in listed if each["kind"] == "ConfigMap"
    }
    return found | {"specs": specs, "versions": versions}


def test_applying_what_is_there_already_writes_nothing_anywhere(cluster: Desk) -> None:
    until(cluster.nothing_left)
    before = written(cluster)
    assert "nothing to do" in cluster.done("apply", "--yes").err
    assert written(cluster) == before


def test_a_bad_flag_is_swapped_back_on_the_first_node_and_the_others_are_untouched(cluster: Desk) -> None:
    until(cluster.nothing_left)
    before = written(cluster, locked=True)
    serving = cluster.tree().get("apiServer", {})
    wrong = {"extraArgs": [*serving.get("extraArgs", ()), {"name": "no-such-flag", "value": "1"}]}
    with cluster.described():
        cluster.describe(apiServer=serving | wrong)
        failed = cluster.bootstrap("apply", "--yes")
    assert failed.status == 1, failed
    assert "kube-apiserver does not know the flag --no-such-flag" in failed.err
    (turned,) = {line.partition("] ")[0] for line in failed.err.splitlines() if "] swapped back to what it had" in line}
    name = turned.rpartition("[")[2]
    until(cluster.nothing_left)
    after = written(cluster, locked=True)
    assert {each for each in FOUR if after[each] != before[each]} == {name}
    until(lambda: healthy(cluster))


def test_a_kept_plan_for_one_node_changes_that_node_alone(cluster: Desk, tmp_path: Path) -> None:
    until(cluster.nothing_left)
    before, kept = written(cluster, locked=True), str(tmp_path / "kept.plan")
    with cluster.described():
        cluster.describe(controllerManager={"extraArgs": [{"name": "v", "value": "1"}]})
        assert cluster.bootstrap("plan", "--nodes", "cp2", "--out", kept).status == 2
        cluster.done("apply", kept, "--yes")
        after = written(cluster, locked=True)
        assert {each for each in FOUR if after[each] != before[each]} == {"cp2"}
        told = cluster.bootstrap("verify")
        asks = "cluster.yaml: asks for another /etc/kubernetes/manifests/kube-controller-manager.yaml"
        assert [line for line in told.out.splitlines() if asks in line] == [
            f"{name}: {asks}" for name in ("cp1", "cp3")
        ]
        left = {step["node"] for wave in cluster.plan()["waves"] for step in wave if step["step"] == "turn"}
        assert left == {"cp1", "cp3"}
    cluster.done("apply", "--yes", "--nodes", "cp2")
    until(cluster.nothing_left)


def test_the_api_stays_behind_the_balancer_while_a_control_plane_node_is_dead_and_it_comes_back_by_itself(
    cluster: Desk,
) -> None:
    node = cluster.lab.node("cp2")
    node.kill()
    try:
        until(lambda: "cp1" in cluster.kubectl("get", "nodes"))
        told = cluster.bootstrap("init")
        assert told.status == 4, told
        assert "cp2" in told.err
    finally:
        node.start()
    until(lambda: healthy(cluster))


def test_a_node_whose_disk_is_new_is_taken_out_of_etcd_and_joins_again(cluster: Desk) -> None:
    cluster.lab.fresh("cp3")
    until(lambda: cluster.lab.node("cp3").ssh("true") is not None)
    told = cluster.bootstrap("init")
    assert (told.status, "bootstrap join" in told.err) == (2, True), told
    cluster.done("join")
    until(lambda: healthy(cluster))
    assert record(cluster.lab.node("cp3"))["birth"]["state"] == "existing"
    until(cluster.nothing_left)


def test_the_first_node_is_removed_and_joined_like_any_other(cluster: Desk) -> None:
    told = cluster.done("remove", "cp1", "--yes")
    assert "delete the entry of cp1" in told.err
    until(lambda: ready(cluster) == {"cp2", "cp3", "w1"})
    assert cluster.lab.node("cp1").shell("ls /etc/kubernetes /var/lib/etcd 2>/dev/null || true") == ""
    cluster.done("join")
    until(lambda: healthy(cluster))
    until(lambda: ready(cluster) == {"cp1", "cp2", "cp3", "w1"})


def test_a_worker_that_is_removed_is_drained_first(cluster: Desk) -> None:
    cluster.apply(pod("guest", ["sleep", "3600"], nodeName="w1"))
    until(lambda: cluster.get("pod", "guest")["status"].get("phase") == "Running")
    cluster.done("remove", "w1", "--yes")
    assert not [each for each in cluster.get("pods")["items"] if each["metadata"]["name"] == "guest"]
    until(lambda: ready(cluster) == {"cp1", "cp2", "cp3"})


def test_what_would_lose_the_quorum_is_refused(cluster: Desk) -> None:
    node = cluster.lab.node("cp3")
    node.kill()
    try:
        until(lambda: "cp1" in cluster.kubectl("get", "nodes"))  # the two others have a leader
        told = cluster.bootstrap("remove", "cp2", "--yes")
        assert told.status != 0
        assert "no quorum without it" in told.err, told
    finally:
        node.start()
    until(lambda: healthy(cluster) or "w1" in cluster.bootstrap("status").out)
