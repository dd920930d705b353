"""What a turn does not begin, and how a node goes back: a missing image, a rollback, a change that is not finished."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster import DIRECTORY, PARTS, Desk, record, root, running, until
from tests.test_failed import restarts

MANIFEST = f"{DIRECTORY[1:]}/kube-apiserver.yaml"


def status(cluster: Desk) -> dict[str, Any]:
    """What `bootstrap status -o json` says of the node."""
    (node,) = json.loads(cluster.bootstrap("status", "-o", "json").out)["nodes"]
    told: dict[str, Any] = node
    return told


def test_there_is_nothing_to_go_back_to_after_the_founding(cluster: Desk) -> None:
    assert "nothing to do: no node has a generation to go back to" in cluster.done("rollback", "--yes").err
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}


def test_a_missing_image_fails_the_node_and_leaves_everything_running(cluster: Desk) -> None:
    before = record(cluster.node), running(cluster.node)
    cluster.describe(imageRepository="registry.lab/nowhere")
    ended = cluster.bootstrap("apply", "--yes")
    cluster.describe(imageRepository=None)
    assert ended.status == 1, ended
    assert "an image is missing, and nothing was stopped" in ended.err
    assert "registry.lab/nowhere/kube-apiserver:" in ended.err
    assert "next: " in ended.err
    assert (record(cluster.node), running(cluster.node)) == before
    assert not list((root(cluster.node) / "etc").rglob(".bootstrap*"))
    until(cluster.nothing_left)


def test_a_changed_flag_of_the_api_server_is_rolled_back_and_the_file_still_asks_for_it(cluster: Desk) -> None:
    manifest = root(cluster.node) / MANIFEST
    former, runs = manifest.read_text(), record(cluster.node)["runs"]
    cluster.describe(apiServer={"extraArgs": [{"name": "v", "value": "1"}]})
    cluster.done("apply", "--yes")
    newer = manifest.read_text()
    assert newer != former

    asked = cluster.bootstrap("rollback", stdin="n\n")
    assert (asked.status, "~ /etc/kubernetes/manifests/kube-apiserver.yaml" in asked.out) == (130, True), asked
    ended = cluster.done("rollback", "--yes")
    assert "cluster.yaml still asks for what was rolled back; next: bootstrap plan" in ended.err
    assert (manifest.read_text(), record(cluster.node)["runs"]) == (former, runs)
    until(cluster.well)
    assert status(cluster)["rolledBack"]
    until(lambda: restarts(cluster) == [["kube-apiserver"]])
    assert "nothing to do" in cluster.done("rollback", "cp1", "--yes").err, "who has gone back stays so"
    assert manifest.read_text() == former

    cluster.done("apply", "--yes")
    assert manifest.read_text() == newer
    assert not status(cluster)["rolledBack"]


def test_a_rollback_over_a_minor_of_etcd_is_refused(cluster: Desk) -> None:
    former = "/var/lib/bootstrap/former"
    manifest = f"{DIRECTORY}/etcd.yaml"
    before = record(cluster.node), running(cluster.node)
    cluster.node.shell(
        f"mkdir -p {former}/files{DIRECTORY}\n"
        f"sed 's#/etcd:3[.][0-9]*[.]#/etcd:3.5.#' {manifest} >{former}/files{manifest}"
    )
    refused = cluster.bootstrap("rollback", "--yes")
    assert refused.status == 7, refused
    assert "cp1 can't go back: its etcd would go from 3." in refused.err
    assert "to 3.5" in refused.err
    assert (record(cluster.node), running(cluster.node)) == before


def test_status_tells_of_a_change_that_is_not_finished_and_the_next_run_finishes_it(cluster: Desk) -> None:
    path = "/var/lib/bootstrap/record.json"
    cluster.node.shell(f'sed -i \'s/"settled":true/"settled":false/\' {path}')
    assert status(cluster)["unfinished"]
    assert "a change was begun and is not finished; bootstrap apply" in cluster.bootstrap("status").err
    assert cluster.bootstrap("plan").status == 2
    cluster.done("apply", "--yes")
    assert not status(cluster)["unfinished"]
