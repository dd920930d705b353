"""Three nodes become one and three again, whatever fails on the way."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bootstrap import versions
from tests.cluster import Desk, environment, nodes_of_its_own, record, root, running, until, waiting
from tests.lab import Node
from tests.test_killed import KUBELET_STOPPED

pytestmark = pytest.mark.lab

# A workstation that dies once etcd has a place for the new member, which does not know of it yet.
DYING = """
import os, sys
from bootstrap.etcd import Etcd
whole = Etcd.add_learner
def cut(*words):
    whole(*words)
    os._exit(137)
Etcd.add_learner = cut
sys.argv = ["bootstrap", "join"]
from bootstrap.cli import main
main()
"""


@pytest.fixture(scope="module")
def cluster(lab_names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Three nodes that nobody has touched, behind a balancer."""
    with nodes_of_its_own(next(lab_names), tmp_path_factory.mktemp("desk"), nodes=3, load_balancer=True) as here:
        (here.directory / "whole.yaml").write_text(here.file.read_text())
        yield here


def naming(cluster: Desk, *names: str) -> None:
    """cluster.yaml names these nodes."""
    shutil.copy(cluster.directory / "whole.yaml", cluster.file)
    cluster.describe(nodes=[node for node in cluster.tree()["nodes"] if node["name"] in names])


def members(cluster: Desk) -> dict[str, bool]:
    """etcd's members, and whether each votes; {} when it can't be asked."""
    ended = cluster.bootstrap("status", "-o", "json")
    told: dict[str, Any] = json.loads(ended.out) if ended.status in (0, 4) else {}
    return {member["name"]: member["votes"] for member in told.get("etcd") or ()}


def healthy(cluster: Desk, *names: str) -> bool:
    """Whether these are the nodes of the file, the members, all of them voters, and healthy."""
    return cluster.well() and members(cluster) == dict.fromkeys(names, True)


def etcd(node: Node, number: signal.Signals) -> None:
    """Send this signal to the node's member."""
    node.exec("kill", f"-{number.name.removeprefix('SIG')}", str(running(node)["etcd"]))


def test_a_node_that_is_unreachable_from_the_start_leaves_the_others_untouched(cluster: Desk) -> None:
    node = cluster.lab.node("cp3")
    node.pause()
    try:
        told = cluster.bootstrap("init")
    finally:
        node.unpause()
    assert told.status == 5, told
    assert "cp3 can't be reached; nothing has changed" in told.err
    assert not any((root(cluster.lab.node(name)) / "var/lib/bootstrap").exists() for name in ("cp1", "cp2", "cp3"))


def test_a_node_that_is_lost_in_the_middle_is_named_and_the_next_run_brings_it_in(
    cluster: Desk, tmp_path: Path
) -> None:
    node, log = cluster.lab.node("cp3"), tmp_path / "log"
    with waiting(node, *KUBELET_STOPPED) as waits:
        begun = cluster.start("init", log=log)
        until(waits)
        node.kill()
        try:
            assert begun.wait(400) == 4, log.read_text()
            assert "cp3 failed" in log.read_text()
            assert "next: " in log.read_text()
            assert {name: running(cluster.lab.node(name)).keys() >= {"etcd"} for name in ("cp1", "cp2")} == {
                "cp1": True,
                "cp2": True,
            }
        finally:
            node.start()
    cluster.done("init")
    until(lambda: healthy(cluster, "cp1", "cp2", "cp3"))
    births = [record(cluster.lab.node(name))["birth"] for name in ("cp1", "cp2", "cp3")]
    assert births[0]["members"] == births[1]["members"] == births[2]["members"]


def test_nodes_that_were_all_stopped_come_back_by_themselves(cluster: Desk) -> None:
    nodes = [cluster.lab.node(name) for name in ("cp1", "cp2", "cp3")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Node.kill, nodes))
        list(pool.map(Node.start, nodes))
    until(lambda: healthy(cluster, "cp1", "cp2", "cp3"))
    until(lambda: cluster.plan()["waves"] == [])


def test_three_become_one(cluster: Desk) -> None:
    cluster.done("remove", "cp2", "cp3", "--yes")
    naming(cluster, "cp1")
    until(lambda: healthy(cluster, "cp1"))
    routes = ["/etc/systemd/system/bootstrap-routes.service"]
    until(lambda: [(it["restart"], it["drop"]) for wave in cluster.plan()["waves"] for it in wave] == [([], routes)])
    cluster.done("apply", "--yes")
    until(cluster.nothing_left)


def test_a_join_that_was_killed_between_the_members_place_and_its_start_is_finished_by_the_next(
    cluster: Desk,
) -> None:
    naming(cluster, "cp1", "cp2")
    died = subprocess.run(
        [sys.executable, "-c", DYING],
        cwd=cluster.directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert died.returncode == 137, died
    until(lambda: members(cluster) == {"cp1": True, "cp2": False})
    cluster.done("join")
    until(lambda: healthy(cluster, "cp1", "cp2"))


def test_a_node_whose_image_of_etcd_is_missing_leaves_no_learner_and_joins_once_it_is_there(cluster: Desk) -> None:
    naming(cluster, "cp1", "cp2", "cp3")
    node, image = cluster.lab.node("cp3"), f"registry.k8s.io/etcd:{versions.release(cluster.lab.version).etcd}-0"
    node.exec("ctr", "-n", "k8s.io", "images", "export", "/var/tmp/etcd.tar", image)
    node.exec("ctr", "-n", "k8s.io", "images", "rm", "--sync", image)
    told = cluster.bootstrap("join", "--timeout", "20", "--ignore-preflight-errors", "ImagePull")
    assert told.status in (1, 4), told
    assert "cp3" in told.err
    assert "next: " in told.err
    until(lambda: members(cluster) == {"cp1": True, "cp2": True})
    node.exec("ctr", "-n", "k8s.io", "images", "import", "/var/tmp/etcd.tar")
    cluster.done("join")
    until(lambda: healthy(cluster, "cp1", "cp2", "cp3"))


def test_a_join_goes_on_while_etcds_leader_stands_still_for_five_seconds(cluster: Desk, tmp_path: Path) -> None:
    cluster.done("remove", "cp3", "--yes")
    log = tmp_path / "log"
    begun = cluster.start("join", log=log)
    until(lambda: "is a learner of etcd" in log.read_text())
    for name in ("cp1", "cp2"):  # one of them leads
        node = cluster.lab.node(name)
        etcd(node, signal.SIGSTOP)
        try:
            node.exec("sleep", "5")
        finally:
            etcd(node, signal.SIGCONT)
    if begun.wait(400):
        assert "next: " in log.read_text()
        cluster.done("join")
    until(lambda: healthy(cluster, "cp1", "cp2", "cp3"))


def test_two_joins_at_once_bring_the_node_in_once(cluster: Desk, tmp_path: Path) -> None:
    cluster.done("remove", "cp3", "--yes")
    shutil.copytree(cluster.directory, tmp_path / "other")
    other = Desk(cluster.lab, tmp_path / "other")
    both = [each.start("join", log=tmp_path / f"log{n}") for n, each in enumerate((cluster, other))]
    codes = [each.wait(400) for each in both]
    logs = [(tmp_path / f"log{n}").read_text() for n in range(2)]
    assert sorted(codes) in ([0, 0], [0, 6]), logs
    assert not [log for log in logs if "Traceback" in log]
    last = other if codes[0] else cluster  # the state of who was refused is older than the nodes now
    until(lambda: healthy(last, "cp1", "cp2", "cp3"))
    until(lambda: sorted(each.bootstrap("plan").status for each in (cluster, other)) in ([0, 0], [0, 6]))
