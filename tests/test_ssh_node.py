"""A whole cluster over a hardened machine's SSH: sudo with a password, no forwarding, a login shell that prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import PARTS, Desk, running, until

NOISE = "echo Welcome to cp1, do not panic; echo 'and mind the gap' >&2; export PATH=/usr/bin:/bin"
HARDENED = "AllowTcpForwarding no\nPermitRootLogin no\nX11Forwarding no\nMaxSessions 10\n"


@pytest.fixture(scope="module")
def hardened(untouched: Desk) -> Desk:
    """Nobody has been there, but who hardened it."""
    here = untouched
    here.node.exec("tee", "/etc/ssh/sshd_config.d/hardened.conf", stdin=HARDENED)
    here.node.exec("systemctl", "restart", "ssh")  # unlike a reload, it is over when that returns
    here.node.shell(
        f"printf '%s\\n' {NOISE!r} >/home/guarded/.bashrc.new; mv /home/guarded/.bashrc.new /home/guarded/.bashrc"
    )
    (here.directory / "password").write_text("lab\n")
    here.describe(ssh=here.tree()["ssh"] | {"user": "guarded", "sudoPasswordFile": "password"})
    return here


def test_a_cluster_is_founded_looked_at_and_taken_down_again(hardened: Desk, tmp_path: Path) -> None:
    hardened.done("init", "--trace", str(tmp_path / "trace"))
    assert running(hardened.node).keys() == {*PARTS, "kubelet"}
    until(hardened.ready)
    assert (tmp_path / "trace").read_text().count('"name": "connects"') == 1
    until(hardened.nothing_left)
    assert "Welcome" not in hardened.bootstrap("status").out
    hardened.done("reset", "--yes")
    assert not running(hardened.node)


def test_the_same_node_lets_nobody_in_who_is_not_to_be(hardened: Desk) -> None:
    (hardened.directory / "password").write_text("wrong\n")
    ended = hardened.bootstrap("plan")
    assert (ended.status, "the sudo password of guarded is wrong" in ended.err) == (5, True), ended
    hardened.describe(ssh=hardened.tree()["ssh"] | {"user": "root"})
    ended = hardened.bootstrap("plan")
    assert (ended.status, "does not accept our key" in ended.err) == (5, True), ended
