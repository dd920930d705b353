"""What `init` refuses, before anything has changed, and how it says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster import DIRECTORY, Desk, Ended, desk, record, root, running, until
from tests.lab import Lab

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEvq3isjNDC5cYuqzs8P4FHLIqILbXmlqfxa2HOI4vc8"


@pytest.fixture(scope="module")
def node(lab: Lab) -> Lab:
    """A fresh node, on which every test leaves nothing."""
    lab.fresh("cp1")
    return lab


@pytest.fixture
def fresh(node: Lab, tmp_path: Path) -> Desk:
    """A workstation of its own for the node on which nothing of ours lies."""
    return desk(node, tmp_path)


@pytest.fixture(scope="module")
def cluster(node: Lab, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Founded; what comes after this leaves it alone."""
    here = desk(node, tmp_path_factory.mktemp("refused"))
    begun = here.start("init", log=here.directory / "log", changed=here.pausing("bootstrap.workflow:Session.run"))
    until(here.paused.exists)
    begun.kill()
    begun.wait()
    here.paused.unlink()
    assert (here.state / "pki/ca.key").exists()
    # This is what is there after the authorities, and before who they sign for.
    shutil.rmtree(here.state / "nodes", ignore_errors=True)
    for name in ("admin.conf", "super-admin.conf"):
        (here.state / name).unlink(missing_ok=True)
    here.done("init")
    return here


def refused(ended: Ended, status: int, *words: str) -> None:
    """It ended so, said these words, and what to type next."""
    assert ended.status == status, ended
    assert [word for word in words if word not in ended.err] == []
    assert "next: " in ended.err
    assert "Traceback" not in ended.err


def nothing(cluster: Desk) -> bool:
    """Whether nothing of ours lies on the node."""
    disk = root(cluster.node)
    return not (disk / "var/lib/bootstrap").exists() and not (disk / "etc/kubernetes/pki").exists()


# Whom it reaches


def test_another_host_key_is_refused(fresh: Desk) -> None:
    (node,) = fresh.tree()["nodes"]
    fresh.describe(nodes=[node | {"ssh": {"hostKey": OTHER}}])
    refused(fresh.bootstrap("init"), 5, "shows another host key", "ssh.hostKey")


def test_a_host_key_that_nobody_knows_is_refused(fresh: Desk) -> None:
    (node,) = fresh.tree()["nodes"]
    fresh.describe(nodes=[{name: value for name, value in node.items() if name != "ssh"}])
    refused(fresh.bootstrap("init"), 5, "host key", "is not known", "ssh-keyscan")


def test_a_key_that_the_node_does_not_accept_is_told(fresh: Desk, tmp_path: Path) -> None:
    fresh.node.exec("rm", "-f", "/tmp/other", "/tmp/other.pub")
    fresh.node.exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/other")
    (tmp_path / "other").write_text(fresh.node.exec("cat", "/tmp/other"))
    (tmp_path / "other").chmod(0o600)
    fresh.node.exec("rm", "/tmp/other", "/tmp/other.pub")
    fresh.describe(ssh={"user": "root", "identityFile": str(tmp_path / "other")})
    refused(fresh.bootstrap("init"), 5, "does not accept our key", "ssh-copy-id")


def test_a_user_who_is_asked_for_a_password_is_told(fresh: Desk) -> None:
    fresh.describe(ssh=fresh.tree()["ssh"] | {"user": "guarded"})
    refused(fresh.bootstrap("init"), 5, "sudo", "guarded")


# What the node is like


@pytest.mark.parametrize(
    ("name", "made"),
    [("agent.yaml", "echo hello >"), ("agent", "mkdir"), ("link.yaml", "ln -s /etc/hostname")],
    ids=["file", "directory", "link"],
)
def test_what_is_not_ours_in_the_manifest_directory_is_refused(fresh: Desk, name: str, made: str) -> None:
    fresh.node.shell(f"mkdir -p {DIRECTORY}; {made} {DIRECTORY}/{name}")
    ended = fresh.bootstrap("init")
    fresh.node.exec("rm", "-r", DIRECTORY)
    refused(ended, 7, f"{DIRECTORY}/{name}", "staticPods")
    assert nothing(fresh)


def test_a_port_that_is_taken_is_refused(fresh: Desk) -> None:
    fresh.node.exec("systemd-run", "--unit=taker", "systemd-socket-activate", "-l", "6443", "/bin/cat")
    until(lambda: ":6443" in fresh.node.exec("ss", "-Hltn"))
    ended = fresh.bootstrap("init")
    fresh.node.exec("systemctl", "stop", "taker")
    refused(ended, 7, "Port-6443: systemd-socket-, process ", "listens on port 6443", "ss -ltnp")
    assert nothing(fresh)


@pytest.mark.parametrize("path", ["member/wal/0.wal", "unknown"])
def test_data_that_lies_where_etcds_goes_is_refused(fresh: Desk, path: str) -> None:
    fresh.node.shell(f"mkdir -p $(dirname /var/lib/etcd/{path}); echo data >/var/lib/etcd/{path}")
    ended = fresh.bootstrap("init")
    fresh.node.exec("rm", "-r", "/var/lib/etcd")
    refused(ended, 7, "/var/lib/etcd")
    assert nothing(fresh)


def test_everything_that_is_refused_is_told_at_once(fresh: Desk) -> None:
    fresh.node.shell(f"mkdir -p {DIRECTORY} /var/lib/etcd; : >{DIRECTORY}/agent.yaml; echo data >/var/lib/etcd/unknown")
    ended = fresh.bootstrap("init")
    fresh.node.exec("rm", "-r", DIRECTORY, "/var/lib/etcd")
    refused(ended, 7, "2 findings", f"{DIRECTORY}/agent.yaml", "/var/lib/etcd")


# No room


@contextmanager
def small(cluster: Desk, path: str, kilobytes: int) -> Iterator[None]:
    """A disk of this size, mounted there."""
    cluster.node.exec("mkdir", "-p", path)
    cluster.node.exec("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", path)
    try:
        yield
    finally:
        until(lambda: cluster.node.exec("umount", path) == "")  # who has just ended there may have it open still
        cluster.node.exec("rmdir", "-p", "--ignore-fail-on-non-empty", path)


@pytest.mark.parametrize(("path", "kilobytes"), [("/etc/kubernetes", 24), ("/var/lib/bootstrap", 8)])
def test_a_full_disk_is_told_and_leaves_no_half_of_a_file(fresh: Desk, path: str, kilobytes: int) -> None:
    with small(fresh, path, kilobytes):
        ended = fresh.bootstrap("init", "--ignore-preflight-errors", "DiskFree")
        assert ended.status in (1, 4), ended
        assert "No space left on device" in ended.err
        assert "next: " in ended.err
        assert "Traceback" not in ended.err
        left = [each for each in (root(fresh.node) / "etc/kubernetes").rglob("*") if each.is_file()]
        assert left == []
    assert not running(fresh.node)  # the cluster that the next tests found goes on from what lies there


# Whose cluster it is


def test_init_that_was_killed_among_the_keys_goes_on(cluster: Desk) -> None:
    until(cluster.ready)
    until(cluster.nothing_left)


@pytest.mark.parametrize("words", [("init",), ("apply", "--yes"), ("reset", "--yes"), ("plan",)], ids=" ".join)
def test_the_node_of_another_cluster_is_refused(cluster: Desk, tmp_path: Path, words: tuple[str, ...]) -> None:
    before = record(cluster.node)
    other = desk(cluster.lab, tmp_path)
    refused(other.bootstrap(*words), 6, "cp1 belongs to a cluster whose keys are not in", before["uid"])
    assert record(cluster.node) == before
    assert not list(other.state.rglob("*.key")), "a second authority"


def test_a_cluster_whose_keys_were_lost_is_refused_until_they_are_back(cluster: Desk, tmp_path: Path) -> None:
    shutil.move(cluster.state, tmp_path / "kept")
    try:
        refused(cluster.bootstrap("init"), 6, "bootstrap state import FILE")
        assert not list(cluster.state.rglob("*.key")), "a second authority"
    finally:
        shutil.rmtree(cluster.state, ignore_errors=True)  # nothing was written
        shutil.move(tmp_path / "kept", cluster.state)
    until(cluster.nothing_left)
    assert "nothing to do" in cluster.done("init").err


@pytest.mark.parametrize(
    ("field", "value"), [("networking", {"serviceSubnet": "10.32.0.0/16"}), ("etcd", {"dataDir": "/srv/etcd"})]
)
def test_what_a_cluster_was_founded_with_can_not_change(
    cluster: Desk, field: str, value: dict[str, str], tmp_path: Path
) -> None:
    before = cluster.file.read_text()
    cluster.describe(**{field: cluster.tree().get(field, {}) | value})
    ended = cluster.bootstrap("apply", "--yes")
    cluster.file.write_text(before)
    refused(ended, 3, *value.keys(), *value.values())
    assert yaml.safe_load(before) == cluster.tree()
    until(cluster.nothing_left)
