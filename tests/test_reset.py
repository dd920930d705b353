"""`bootstrap reset` on a real node: it is as it was found, etcd's data is kept, and a cluster can be founded again."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.cluster import Desk, Ended, pod, root, running, until
from tests.lab import Node

# What a node is, but for its logs: files by mode and content, mounts, links, programs, settings, packet filters.
LOOK = r"""
set +e
export LC_ALL=C
kept='-path /var/lib/containerd -o -path /var/lib/bootstrap -o -path /var/log/journal -o -path /var/lib/systemd'
find /etc /opt /root /srv /usr/lib/systemd /usr/local /var/cache /var/lib /var/spool \
    \( $kept \) -prune -o -printf 'file %p %y %m %U:%G %l\n'
find /etc /usr/lib/systemd /var/lib/kubelet /var/lib/etcd /var/lib/cni -type f -exec sha256sum {} + 2>/dev/null
awk '{ print "mount", $2, $3 }' /proc/mounts | sort
ip -o link | awk '{ print "link", $2 }'
ip route | sed 's/^/route /'
ip rule | sed 's/^/rule /'
ps -eo comm= | grep -vxE 'sh|ps|sort|grep|sed|kubelet|sshd|\(.*\)' | sort -u | sed 's/^/program /'
sysctl net.ipv4.ip_forward net.ipv4.conf.all net.ipv4.conf.default net.ipv6.conf.all net.bridge 2>/dev/null | sort
nft list ruleset | sed 's/^/nft /'
systemctl list-units --all --no-legend --plain 'kubelet*' 'bootstrap*' '*.mount' | awk '{ print "unit", $1, $2 }'
systemctl is-enabled kubelet
true
"""


@dataclass(frozen=True, slots=True)
class Left:
    """A cluster that was founded, used and reset, and what its node was like."""

    desk: Desk
    refused: Ended  # the reset that was answered with no
    kept: bool  # whether everything ran on after it
    reset: Ended
    found: set[str]  # LOOK, before init
    after: set[str]  # LOOK, after reset


def look(node: Node) -> set[str]:
    """The node, line by line."""
    return set(node.shell(LOOK).splitlines())


def looked(node: Node, found: set[str]) -> set[str]:
    """As it was found, once systemd too has noticed what is unmounted; else as it still is after a while."""
    deadline = time.monotonic() + 60
    while (now := look(node)) != found and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


@pytest.fixture(scope="module")
def left(untouched: Desk) -> Left:
    """Founded, used by a pod, and reset, once."""
    here = untouched
    found = look(here.node)
    here.done("init")
    until(here.ready)
    here.apply(pod("user", ["sleep", "3600"]))
    here.kubectl("wait", "--for=condition=Ready", "pod/user", "--timeout=240s")
    before = running(here.node)
    refused = here.bootstrap("reset", stdin="n\n")
    kept = running(here.node) == before
    reset = here.bootstrap("reset", "--yes")
    return Left(here, refused, kept, reset, found, looked(here.node, found))


def test_reset_asks_and_no_leaves_everything_running(left: Left) -> None:
    assert left.refused.status == 130
    assert "cp1: everything of ours goes" in left.refused.out
    assert left.kept


def test_reset_ends_well_and_nothing_of_ours_runs(left: Left) -> None:
    assert left.reset.status == 0, left.reset
    assert not running(left.desk.node)


def test_the_node_is_as_it_was_found(left: Left) -> None:
    assert (left.after - left.found, left.found - left.after) == (set(), set())


def test_etcds_data_is_kept_and_nothing_else_of_ours(left: Left) -> None:
    ours = root(left.desk.node) / "var/lib/bootstrap"
    (data,) = (ours / "former-etcd").iterdir()
    assert (data / "member/snap/db").stat().st_size > 100_000
    assert {path.name for path in ours.iterdir()} <= {"former-etcd", "lock"}


def test_a_second_reset_has_nothing_to_do(left: Left) -> None:
    again = left.desk.done("reset", "--yes")
    assert "nothing to do" in again.err


def test_the_same_authorities_found_the_next_cluster(left: Left) -> None:
    authority = (left.desk.state / "pki/ca.crt").read_bytes()
    left.desk.done("init")
    assert (left.desk.state / "pki/ca.crt").read_bytes() == authority
    until(left.desk.ready)
    until(left.desk.nothing_left)
    pods = left.desk.get("pods", "-n", "default")["items"]
    assert not pods, "the data of the former cluster is not the new one's"


def test_a_reset_that_purges_deletes_etcds_data_and_what_went_aside_before(left: Left) -> None:
    """After the cluster that was founded again; a node that was reset before is told of, and not touched."""
    ours = root(left.desk.node) / "var/lib/bootstrap"
    assert (ours / "former-etcd").exists()
    asked = left.desk.bootstrap("reset", "--purge", stdin="n\n")
    assert (asked.status, "etcd's data is deleted" in asked.out) == (130, True), asked
    left.desk.done("reset", "--purge", "--yes")
    assert not (ours / "former-etcd").exists()
    assert not (root(left.desk.node) / "var/lib/etcd").exists()
    (ours / "former-etcd").mkdir()
    again = left.desk.done("reset", "--purge", "--yes")
    assert "rm -rf /var/lib/bootstrap/former-etcd" in again.err
    assert (ours / "former-etcd").exists()
