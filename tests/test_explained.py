"""On a real node: what went wrong is said, what is sent away has no secret, Ctrl-C leaves nothing half done."""

from __future__ import annotations

import json
import re
import signal
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bootstrap.cli.interrupt import ASKED
from bootstrap.state import Store
from tests.cluster import DIRECTORY, PARTS, PATIENCE, Desk, record, root, running, until, waiting
from tests.test_killed import KUBELET_STOPPED
from tests.test_output import schema

SCHEDULER, MANAGER = "kube-scheduler", "kube-controller-manager"
PLANTED = "planted-canary-4711"


def test_ctrl_c_twice_stops_at_once_and_once_finishes_the_turn(untouched: Desk, tmp_path: Path) -> None:
    log = tmp_path / "twice"
    with waiting(untouched.node, *KUBELET_STOPPED) as waits:  # the turn does not end before the block does
        begun = untouched.start("init", log=log)
        until(waits)
        begun.send_signal(signal.SIGINT)
        until(lambda: ASKED in log.read_text())
        begun.send_signal(signal.SIGINT)
        assert begun.wait(PATIENCE) == 130, log.read_text()
    assert "error: interrupted" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "next: run the same command again" in log.read_text()

    log = tmp_path / "once"
    with waiting(untouched.node, *KUBELET_STOPPED) as waits:
        begun = untouched.start("init", log=log)
        until(waits)
        begun.send_signal(signal.SIGTERM)
        until(lambda: ASKED in log.read_text())
    assert begun.wait(PATIENCE) == 130, log.read_text()
    assert "stopped, as asked; what was under way is done" in log.read_text()
    assert "next: run the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert record(untouched.node)["settled"]
    assert running(untouched.node).keys() == {*PARTS, "kubelet"}

    untouched.done("init")
    until(untouched.ready)
    until(untouched.nothing_left)


def test_a_healthy_node_is_told_to_be_so_and_nothing_is_written_there(cluster: Desk, tmp_path: Path) -> None:
    before = record(cluster.node)
    told = diagnosed(cluster, until_healthy=True)
    (node,) = told["nodes"]
    assert node["causes"] == []
    assert {part["name"] for part in node["parts"]} == {*PARTS, "kubelet"}
    assert {each["program"] for each in node["listeners"] if each["port"] in (2379, 6443)} == {"etcd", "kube-apiserver"}
    until(lambda: cluster.bootstrap("diagnose", "cp1").out.startswith("cp1: healthy\n"))
    assert record(cluster.node) == before

    trace = tmp_path / "trace.json"
    until(lambda: cluster.bootstrap("status", "--trace", str(trace)).status == 0)
    events = json.loads(trace.read_text())["traceEvents"]
    assert "cp1" in {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {"connects", "asks for its facts"} <= {event["name"] for event in events}
    assert any(event["name"].startswith("POST :2379/") for event in events)


def diagnosed(cluster: Desk, *, until_healthy: bool = False) -> dict[str, Any]:
    """What `diagnose -o json` prints, which has its schema."""

    def ask() -> dict[str, Any]:
        ended = cluster.bootstrap("diagnose", "cp1", "-o", "json")
        assert ended.status in (0, 4), ended
        told: dict[str, Any] = json.loads(ended.out)
        schema("Diagnosis").validate(told)
        return {} if until_healthy and ended.status else told

    return until(ask)


def wrong_date(seconds: int) -> str:
    """A program `date` that is wrong by so much."""
    return f'#!/bin/sh\n[ "$*" = +%s ] || exec /bin/date "$@"\necho $(($(/bin/date +%s) + {seconds}))\n'


@contextmanager
def date(cluster: Desk, seconds: int) -> Iterator[None]:
    """The node's clock, as its scripts read it, is wrong by so much."""
    path = "/usr/local/bin/date"
    cluster.node.exec("sh", "-c", f"cat >{path} && chmod 755 {path}", stdin=wrong_date(seconds))
    try:
        yield
    finally:
        cluster.node.exec("rm", path)


def test_a_clock_that_is_wrong_is_told_with_the_certificates_it_makes_invalid(cluster: Desk) -> None:
    with date(cluster, -7 * 86400):
        ended = cluster.bootstrap("diagnose", "cp1")
    assert ended.status == 4
    assert re.search(r"the clock of cp1 is 604[78]\d\d s behind this workstation's", ended.out)
    assert "/etc/kubernetes/pki/apiserver.crt is not valid before" in ended.out
    assert "next: set the clocks right (timedatectl)" in ended.out


@contextmanager
def planted(cluster: Desk) -> Iterator[list[str]]:
    """Secrets where they may happen to be: in logs, environments, cluster.yaml, and this workstation's log."""
    store = Store(cluster.state)
    key = store["pki/sa.key"].decode()
    token = "abcdef.0123456789abcdef"
    real = [store["encryption.key"].decode().strip(), *key.splitlines()[1:-1], token, PLANTED]
    log = cluster.node.shell(f"ls /var/log/pods/kube-system_{SCHEDULER}-*/{SCHEDULER}/*.log | tail -n 1").strip()
    lines = [f"it has password={PLANTED} and token: {token}", f"key is {real[0]}", *key.splitlines()]
    stamped = "".join(f"2026-11-27T18:00:00.000000000Z stderr F {line}\n" for line in lines)
    cluster.node.exec("sh", "-c", f"cat >>{log}", stdin=stamped)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "namespace": "kube-system"}}
    env = [{"name": "PLAIN", "value": PLANTED}, {"name": "DB_PASSWORD", "value": PLANTED}]
    pod |= {"spec": {"containers": [{"name": "agent", "image": "none", "imagePullPolicy": "Never", "env": env}]}}
    cluster.node.exec("sh", "-c", f"cat >{DIRECTORY}/agent.yaml", stdin=json.dumps(pod))
    before = cluster.file.read_text()
    cluster.describe(scheduler={"extraEnvs": [{"name": "PLAIN", "value": PLANTED}]})
    cluster.file.write_text(f"# password {PLANTED}\n" + cluster.file.read_text())
    with (cluster.state / "bootstrap.log").open("a") as local:
        local.write("".join(f"{line}\n" for line in lines))
    try:
        yield real
    finally:
        cluster.file.write_text(before)
        cluster.node.exec("rm", f"{DIRECTORY}/agent.yaml")


def test_a_support_bundle_has_what_helps_and_no_secret(cluster: Desk, tmp_path: Path) -> None:
    target = tmp_path / "trouble.tar.gz"
    with planted(cluster) as canaries:
        cluster.done("support-bundle", "-o", str(target))
        shown = cluster.bootstrap("diagnose", "-o", "json").out + cluster.bootstrap("diagnose").out
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as tar:
        files = {entry.name.partition("/")[2]: tar.extractfile(entry) for entry in tar}
        texts = {name: file.read().decode() for name, file in files.items() if file}
    wanted = {
        "cluster.yaml",
        "status.json",
        "versions.json",
        "diagnosis.json",
        "bootstrap.log",
        "nodes/cp1/record.json",
    }
    wanted |= {"nodes/cp1/facts.json", "nodes/cp1/kubelet.log", "nodes/cp1/manifests/etcd.yaml"}
    assert wanted <= texts.keys()
    assert any(name.startswith(f"nodes/cp1/logs/{SCHEDULER}.") for name in texts)
    assert "it has password=[redacted]" in "".join(texts.values()), "the planted lines were not collected"
    assert "--listen-client-urls" in texts["nodes/cp1/manifests/etcd.yaml"]
    assert "nodes/cp1/manifests/agent.yaml" in texts
    assert [(name, canary) for name, text in texts.items() for canary in canaries if canary in text] == []
    assert [canary for canary in canaries if canary in shown] == []
    for name in ("pki/ca.key", "operator/super-admin.key", "super-admin.conf"):
        secret = max(Store(cluster.state)[name].decode().split(), key=len)
        assert not [path for path, text in texts.items() if secret in text], name


def test_a_missing_image_and_a_taken_port_are_told_in_words(cluster: Desk) -> None:
    image = cluster.node.shell(f"ctr -n k8s.io images ls -q | grep {MANAGER}: | head -n 1").strip()
    parts = running(cluster.node)
    cluster.node.exec("systemctl", "stop", "kubelet")
    for name in cluster.node.shell(f"ctr -n k8s.io images ls | grep {MANAGER} | cut -d ' ' -f 1").split():
        cluster.node.exec("ctr", "-n", "k8s.io", "images", "rm", "--sync", name)
    cluster.node.exec("kill", str(parts[SCHEDULER]), str(parts[MANAGER]))
    until(lambda: not {SCHEDULER, MANAGER} & running(cluster.node).keys())
    cluster.node.exec(
        "systemd-run",
        "--unit=taker",
        "systemd-socket-activate",
        "--accept",
        "--inetd",
        "-l",
        "127.0.0.1:10259",
        "/bin/cat",
    )
    until(lambda: ":10259" in cluster.node.exec("ss", "-Hltn"))
    (down,) = diagnosed(cluster)["nodes"]
    assert "KubeletDown" in {cause["symptom"] for cause in down["causes"]}

    cluster.node.exec("systemctl", "start", "kubelet")
    wanted = {(SCHEDULER, "PortTaken"), (MANAGER, "ImageUnreachable")}
    found: dict[tuple[str, str], str] = {}
    until(lambda: found.update(symptoms(cluster)) or wanted <= found.keys())
    assert "listens there" in found[SCHEDULER, "PortTaken"]
    assert image in found[MANAGER, "ImageUnreachable"]
    until(lambda: 1 in outcomes(cluster, SCHEDULER))
    ended = cluster.bootstrap("diagnose", "cp1")
    assert ended.status == 4
    assert "kube-scheduler, last words (its container ended with exit code 1" in ended.out
    cluster.node.exec("systemctl", "stop", "taker")
    assert (root(cluster.node) / "var/lib/bootstrap/record.json").exists()


def outcomes(cluster: Desk, name: str) -> set[int | None]:
    """How the last containers of a part ended."""
    (node,) = diagnosed(cluster)["nodes"]
    (told,) = [part for part in node["parts"] if part["name"] == name]
    return {each["exitCode"] for each in told["containers"]}


def symptoms(cluster: Desk) -> dict[tuple[str, str], str]:
    """(part, symptom) -> its sentence."""
    (node,) = diagnosed(cluster)["nodes"]
    return {(cause["part"], cause["symptom"]): cause["cause"] for cause in node["causes"]}
