"""The cluster's lock on real nodes: who holds it, who is refused, and what becomes of a holder that dies or sleeps."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import PARTS, PATIENCE, Desk, Ended, epoch, record, root, running, until, waiting
from tests.test_killed import KUBELET_STOPPED, on_node, signalled

LOCK = "run/bootstrap.lock"
FIRST = "bootstrap.steps:Steps.perform"  # what a run that has the lock does first


@pytest.fixture
def changing(cluster: Desk) -> Iterator[Desk]:
    """The cluster, whose file asks for a change of its kubelet: a turn of seconds, and nothing else restarts."""
    kubelet = cluster.tree()["kubelet"]
    cluster.describe(kubelet=kubelet | {"maxPods": kubelet.get("maxPods", 100) + 1})
    yield cluster
    cluster.done("apply", "--yes", "--wait", "100")
    healthy(cluster)


@contextmanager
def held(cluster: Desk, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An apply that has the lock, and lives, but does not take its first step before it may."""
    begun = cluster.start("apply", "--yes", log=log, changed=cluster.pausing(FIRST))
    try:
        until(lambda: cluster.paused.exists() or begun.poll() is not None)
        assert begun.poll() is None, log.read_text()
        assert str(begun.pid) in holder(cluster)
        yield begun
    finally:
        begun.kill()
        begun.wait()
        cluster.paused.unlink(missing_ok=True)


def holder(cluster: Desk) -> str:
    """What lies in the lock's file, held or not."""
    path = root(cluster.node) / LOCK
    return path.read_text() if path.exists() else ""


def free(cluster: Desk) -> bool:
    """Whether nobody holds it."""
    return "nobody holds the lock" in cluster.done("unlock").err


def refused(ended: Ended, *words: str) -> None:
    """By the lock."""
    assert ended.status == 6, ended
    assert [word for word in words if word not in ended.err] == []
    assert "next: " in ended.err
    assert "Traceback" not in ended.err


def healthy(cluster: Desk) -> None:
    """Everything runs, and is as cluster.yaml says."""
    until(lambda: running(cluster.node).keys() == {*PARTS, "kubelet"})
    until(cluster.nothing_left)


def test_a_run_with_nothing_to_do_takes_no_lock_and_raises_no_epoch(cluster: Desk) -> None:
    healthy(cluster)
    path = root(cluster.node) / LOCK
    before = path.stat().st_mtime_ns, (cluster.state / "epoch").read_text(), epoch(cluster.node)
    assert "nothing to do" in cluster.done("apply", "--yes").err
    assert (path.stat().st_mtime_ns, (cluster.state / "epoch").read_text(), epoch(cluster.node)) == before
    assert int(before[1]) == before[2]


def test_of_two_at_once_one_is_told_who_holds_the_lock_or_waits_and_whoever_was_killed_gives_it_up(
    changing: Desk, tmp_path: Path
) -> None:
    was = epoch(changing.node)
    with held(changing, tmp_path / "log") as begun:
        refused(changing.bootstrap("apply", "--yes"), f"process {begun.pid}, since ", "bootstrap apply", "unlock")
        other = changing.start("apply", "--yes", "--wait", "100", log=tmp_path / "waiting")
        until(lambda: "waits for " in (tmp_path / "waiting").read_text())
        begun.kill()
    assert other.wait(PATIENCE) == 0, (tmp_path / "waiting").read_text()
    assert epoch(changing.node) > was
    healthy(changing)


def test_whoever_slept_while_another_took_over_is_refused_and_breaks_nothing(changing: Desk, tmp_path: Path) -> None:
    with held(changing, tmp_path / "log") as begun:
        begun.send_signal(signal.SIGSTOP)
        changing.done("apply", "--yes", "--wait", "100")  # after 20 s of silence
        before, runs = record(changing.node), running(changing.node)
        changing.paused.unlink()
        begun.send_signal(signal.SIGCONT)
        assert begun.wait(PATIENCE) == 6, (tmp_path / "log").read_text()
    said = (tmp_path / "log").read_text()
    assert "the lock on this cluster was lost" in said or "was taken since" in said
    assert "next: " in said
    assert (record(changing.node), running(changing.node)) == (before, runs)
    healthy(changing)


def test_unlock_shows_and_ends_a_live_holder_after_asking(changing: Desk, tmp_path: Path) -> None:
    with held(changing, tmp_path / "log") as begun:
        asked = changing.bootstrap("unlock", stdin="n\n")
        assert (asked.status, f"process {begun.pid}, since " in asked.out) == (130, True), asked
        assert str(begun.pid) in changing.done("unlock", "--yes").out
        assert until(lambda: free(changing))
        changing.paused.unlink()
        status = begun.wait(PATIENCE)
    assert status == 6, (tmp_path / "log").read_text()


def test_a_turn_of_an_older_epoch_is_refused_by_the_node_itself(cluster: Desk) -> None:
    before = record(cluster.node), epoch(cluster.node)
    turns = ("begin go 0", "begin back 0", "settle 0", "go 0", "back 0")
    script = "; ".join(f"sh /var/lib/bootstrap/turn/turn.sh {words} >/dev/null 2>&1; echo $?" for words in turns)
    assert cluster.node.shell(f"set +e; {script}").split() == ["4"] * len(turns)
    assert (record(cluster.node), epoch(cluster.node)) == before


def test_a_state_that_is_older_than_the_nodes_is_refused_until_it_is_as_new(cluster: Desk) -> None:
    path, changed = cluster.state / "epoch", epoch(cluster.node)
    newest = path.read_text()
    path.write_text(f"{changed - 1}\n")
    try:
        for words in (("apply", "--yes"), ("plan",)):
            refused(cluster.bootstrap(*words), "is older than the nodes", f"epoch {changed}")
        assert until(cluster.well)
    finally:
        path.write_text(newest)
    assert "nothing to do" in cluster.done("apply", "--yes").err


def test_who_is_cut_off_in_the_middle_of_a_turn_reads_what_became_of_it_and_goes_on(
    changing: Desk, tmp_path: Path
) -> None:
    """The turn goes to its end by itself, and nobody has taken the lock meanwhile."""
    with waiting(changing.node, *KUBELET_STOPPED) as waits:
        begun = changing.start("apply", "--yes", log=tmp_path / "log")
        until(waits)
        assert str(begun.pid) in holder(changing)
        assert signalled(on_node(changing, lambda words, _: words.startswith("sshd: root")), signal.SIGKILL)
    said = (tmp_path / "log").read_text
    assert begun.wait(PATIENCE) == 0, said()
    assert "nobody has taken the lock meanwhile" in said()
    assert "Traceback" not in said()
    healthy(changing)
