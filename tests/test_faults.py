"""What goes wrong around a cluster: lines cut, power lost, no space in etcd; and who can read what is secret."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from bootstrap import credentials, tunnel
from bootstrap.state import Store
from tests.cluster import DIRECTORY, MANIFESTS, PARTS, PATIENCE, Desk, names_in, root, running, until, waiting
from tests.lab import Node
from tests.test_killed import KUBELET_STOPPED

# Takes half of what it is sent, and then stands still.
HALF_A_TAR = """#!/bin/sh
head -c 30000 | /usr/bin/tar "$@"
: >/run/half
exec sleep 1000
"""
KEYS = "grep -rlE -e '-----BEGIN [A-Z ]*PRIVATE KEY' /etc /home /opt /root /run /srv /tmp /var --exclude-dir=containerd"


@pytest.fixture(scope="module")
def cluster(untouched: Desk) -> Desk:
    """Founded, whatever went wrong before."""
    untouched.done("init")
    until(untouched.ready)
    return untouched


@contextmanager
def put(node: Node, path: str, content: str) -> Iterator[None]:
    """A program of the node, while the block lasts."""
    node.exec("sh", "-c", f"cat >{path} && chmod 755 {path}", stdin=content)
    try:
        yield
    finally:
        node.exec("rm", path)


def test_a_line_cut_in_the_middle_of_the_push_leaves_no_half_of_a_manifest(untouched: Desk, tmp_path: Path) -> None:
    untouched.node.exec("mkdir", "-p", DIRECTORY)
    manifests, log = root(untouched.node) / DIRECTORY[1:], tmp_path / "log"
    with put(untouched.node, "/usr/local/bin/tar", HALF_A_TAR), names_in(manifests) as names:
        begun = untouched.start("init", log=log)
        until((root(untouched.node) / "run/half").exists)
        untouched.node.exec("pkill", "-KILL", "-f", "^sshd: root")
        assert begun.wait(PATIENCE) in (1, 4, 5), log.read_text()
    assert f"the connection to {untouched.node.address} broke" in log.read_text()
    assert "next: " in log.read_text()
    assert "Traceback" not in log.read_text()
    assert names == set()
    assert not running(untouched.node)
    untouched.node.shell("pkill -f '^sleep 1000' || true")


def test_power_lost_in_the_middle_of_a_turn_is_made_good_by_the_next_run(untouched: Desk, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with waiting(untouched.node, *KUBELET_STOPPED) as waits:
        begun = untouched.start("init", "--timeout", "60", log=log)
        until(waits)
        untouched.node.kill()
        try:
            assert begun.wait(PATIENCE) in (1, 4, 5), log.read_text()
            assert "next: " in log.read_text()
        finally:
            untouched.node.start()
    untouched.done("init")
    until(lambda: running(untouched.node).keys() == {*PARTS, "kubelet"})
    assert {path.name for path in (root(untouched.node) / DIRECTORY[1:]).iterdir()} == MANIFESTS
    until(untouched.nothing_left)


def test_no_key_is_anywhere_but_in_files_of_roots_alone(cluster: Desk) -> None:
    found = cluster.node.shell(f"{KEYS} || true").split()
    assert len(found) >= 8, found  # or nothing was searched
    modes = cluster.node.exec("stat", "-c", "%a %u %n", *found).splitlines()
    assert [line for line in modes if not line.startswith("600 0 ")] == []


def test_no_secret_is_in_arguments_or_logs(cluster: Desk, tmp_path: Path) -> None:
    store = Store(cluster.state)
    canaries = [store["encryption.key"].decode().strip()]
    canaries += [
        line for name in ("pki/sa.key", "operator/super-admin.key") for line in store[name].decode().split("\n")[1:2]
    ]
    canaries += [base64.b64encode(store["operator/super-admin.key"]).decode()[60:100]]
    log = tmp_path / "log"
    cluster.describe(apiServer={"extraArgs": [{"name": "v", "value": "1"}]})
    begun = cluster.start("apply", "--yes", log=log)
    arguments = set[str]()
    while begun.poll() is None:
        arguments |= {
            words for file in Path("/proc").glob("[0-9]*/cmdline") if (words := _read(file))
        }  # the nodes' programs are this machine's too
    assert begun.returncode == 0, log.read_text()
    assert [words for words in arguments for canary in canaries if canary in words] == []
    journal = cluster.node.exec("journalctl", "--no-pager", "-o", "cat")
    kept = cluster.node.shell("cat /var/lib/bootstrap/*.log /var/lib/bootstrap/result 2>/dev/null || true")
    assert [canary for canary in canaries if canary in log.read_text() + journal + kept] == []


def _read(file: Path) -> str:
    try:
        return file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_etcd_without_space_is_unhealthy_and_goes_on_once_it_is_given_more(cluster: Desk) -> None:
    cluster.describe(etcd={"extraArgs": [{"name": "quota-backend-bytes", "value": str(24 * 2**20)}]})
    cluster.done("apply", "--yes")
    big = "x" * 900_000
    numbers = itertools.count()

    def full() -> bool:
        name = f"big-{next(numbers)}"
        thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": big}}
        try:
            cluster.kubectl("create", "-f", "-", stdin=json.dumps(thing))
        except subprocess.CalledProcessError as error:
            return "space exceeded" in error.stderr
        return False

    until(full)
    told = until(lambda: next((it for it in [cluster.bootstrap("status")] if "NOSPACE" in it.out), None))
    assert told
    assert told.status == 4, told

    cluster.describe(etcd=None)
    told = cluster.bootstrap("apply", "--yes")  # etcd has its room again, and takes nothing while the alarm lasts
    assert (told.status, "space exceeded" in told.err, "next: " in told.err) == (1, True, True), told
    disarm(cluster)
    cluster.done("apply", "--yes")
    cluster.kubectl("delete", "configmap", *(f"big-{number}" for number in range(5)), "--ignore-not-found")
    until(cluster.well)
    until(lambda: running(cluster.node).keys() == {*PARTS, "kubelet"})
    until(cluster.nothing_left)


def disarm(cluster: Desk) -> None:
    """As `etcdctl alarm disarm` does."""
    identity = credentials.etcd_identity(Store(cluster.state))
    trust = tunnel.context(identity.ca, identity.certificate, identity.key)
    url = f"https://{cluster.node.address}:2379/v3/maintenance/alarm"
    with httpx2.Client(verify=trust, timeout=60) as client:
        for alarm in client.post(url, json={"action": "GET"}).json().get("alarms", ()):
            client.post(url, json={"action": "DEACTIVATE"} | alarm).raise_for_status()
