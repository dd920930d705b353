"""Whatever is killed, and whenever: the same command again ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.cluster import DIRECTORY, MANIFESTS, PARTS, PATIENCE, Desk, record, root, running, until, waiting

Reached = Callable[[Desk, str], bool]  # the log of `bootstrap` so far

# Programs of the node, and what they are told at these places of its script.
KUBELET_STOPPED = ("chmod", "700 /var/lib/etcd")  # with all that changes, and nothing is renamed yet
AMONG_MANIFESTS = ("mv", f"{DIRECTORY}/kube-apiserver.yaml")  # the third
SETTLE = "bootstrap.ssh.host:Host.settle"

# What is in it when etcd has made it, and before it has written anything: three records of 80 bytes, and zeros.
ETCDS_LOG = "var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal"


@pytest.fixture(scope="module")
def reference(cluster: Desk) -> tuple[Desk, dict[str, object]]:
    """A cluster that was founded without any trouble, and the record it left on its node."""
    (cluster.directory / "log").write_bytes((root(cluster.node) / ETCDS_LOG).read_bytes()[:80])
    return cluster, record(cluster.node)


@pytest.fixture
def pristine(reference: tuple[Desk, dict[str, object]]) -> Desk:
    """A fresh node, and the keys that founded the reference: what `init` makes of it has to be equal."""
    here, _ = reference
    here.lab.fresh("cp1")
    return here


# Where a run can be


@dataclass(frozen=True, slots=True)
class Point:
    """Reached once this is so; until it is killed it stays there, where a program of the node waits, or it itself."""

    reached: Reached = lambda cluster, _: True
    waits: tuple[str, str] | None = None  # a program of the node, and words that it is told
    pauses: str = ""  # at this call of its own
    after: bool = False  # not before it


def connected(cluster: Desk, _: str) -> bool:
    remote = f"{int.from_bytes(IPv4Address(cluster.node.address).packed, 'little'):08X}:0016"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return any(line[2] == remote and line[3] == "01" for line in lines)


def exists(path: str) -> Reached:
    return lambda cluster, _: (root(cluster.node) / path).exists()


def says(*words: str) -> Reached:
    return lambda _, log: all(word in log for word in words)


POINTS: dict[str, Point] = {  # those without a place to stay lie seconds before the end
    "connected": Point(connected),
    "files arrive": Point(exists("var/lib/bootstrap")),
    "the turn has its moves": Point(exists("var/lib/bootstrap/turn/moves")),
    "the kubelet is stopped": Point(waits=KUBELET_STOPPED),
    "a manifest lies there": Point(exists(f"{DIRECTORY[1:]}/etcd.yaml")),
    "the kubelet answers": Point(says("kubelet answers")),
    "everything answers": Point(says(*(f"{part} answers" for part in PARTS)), pauses=SETTLE),
    "the node has settled": Point(lambda cluster, _: record(cluster.node)["settled"], pauses=SETTLE, after=True),
    "the first objects are put": Point(pauses="bootstrap.kube:Kube.note", after=True),  # the inventory comes first
}


def kill_when(cluster: Desk, point: Point, log: Path, *words: str, stays: bool = False) -> None:
    """Run `init`, or what the words say, and kill it with SIGKILL as soon as it is there.

    What goes on on the node goes on by itself then; where it `stays`, that is killed too.
    """
    with staying(cluster, point) as there:
        changed = cluster.pausing(point.pauses, after=point.after) if point.pauses else ""
        begun = cluster.start(*(words or ("init",)), log=log, changed=changed)
        try:
            until(lambda: begun.poll() is not None or (there() and point.reached(cluster, log.read_text())))
            assert begun.poll() is None, f"ended before: {log.read_text()}"
        finally:
            begun.kill()
            begun.wait()
            cluster.paused.unlink(missing_ok=True)
        if stays:
            halt(cluster)


@contextmanager
def staying(cluster: Desk, point: Point) -> Iterator[Callable[[], bool]]:
    """Whoever gets to the point stays there until the block ends; whether somebody has."""
    if point.waits:
        with waiting(cluster.node, *point.waits) as waits:
            yield waits
    else:
        yield cluster.paused.exists if point.pauses else lambda: True


def converged(cluster: Desk, wanted: dict[str, object]) -> None:
    """Everything is as after a run without trouble, and nobody has anything left to do."""
    assert record(cluster.node) == wanted
    until(lambda: running(cluster.node).keys() == {*PARTS, "kubelet"})
    assert {path.name for path in (root(cluster.node) / DIRECTORY[1:]).iterdir()} == MANIFESTS
    assert not list((root(cluster.node) / "etc").rglob(".bootstrap*"))
    until(cluster.nothing_left)
    until(cluster.ready)


def test_init_ends_well_though_it_was_killed_at_every_point_before(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    for name, point in POINTS.items():
        kill_when(pristine, point, tmp_path / name)
    pristine.done("init")
    converged(pristine, reference[1])


@pytest.mark.parametrize("point", ["the kubelet is stopped", "the first objects are put"])
def test_init_ends_well_after_it_was_killed(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path, point: str
) -> None:
    kill_when(pristine, POINTS[point], tmp_path / "log")
    pristine.done("init")
    converged(pristine, reference[1])


def test_apply_ends_well_after_it_was_killed_while_nothing_served(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    pristine.done("init")
    pristine.describe(apiServer={"extraArgs": [{"name": "v", "value": "1"}]})
    try:
        kill_when(pristine, POINTS["the kubelet is stopped"], tmp_path / "log", "apply", "--yes")
        pristine.done("apply", "--yes")
        until(pristine.nothing_left)
        assert record(pristine.node) != reference[1]
    finally:
        pristine.describe(apiServer=None)
    pristine.done("apply", "--yes")
    converged(pristine, reference[1])


# On the node


def on_node(cluster: Desk, sign: Callable[[str, str], bool]) -> Iterator[int]:
    """The processes of the node, as this machine counts them, whose (command line, control group) have the sign."""
    disk = root(cluster.node).stat()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and os.path.samestat((entry / "root").stat(), disk):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if sign(words, (entry / "cgroup").read_text()):
                    yield int(entry.name)


def turn(words: str, group: str) -> bool:
    """Whatever belongs to a turn that goes."""
    return "bootstrap-turn.service" in group and not words.endswith("ensure ")


def signalled(pids: Iterator[int], number: signal.Signals) -> bool:
    """Send it to all of them; whether there was one."""
    there = False
    for pid in pids:
        there = True
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return there


def halt(cluster: Desk) -> None:
    """The turn that goes is killed."""
    assert signalled(on_node(cluster, turn), signal.SIGSTOP)  # else one would go on while another is killed
    assert signalled(on_node(cluster, turn), signal.SIGKILL)


@pytest.mark.parametrize("point", [KUBELET_STOPPED, AMONG_MANIFESTS], ids=["the kubelet is stopped", "among manifests"])
def test_init_ends_well_after_the_script_on_the_node_was_killed(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path, point: tuple[str, str]
) -> None:
    log, manifests = tmp_path / "log", root(pristine.node) / DIRECTORY[1:]
    with waiting(pristine.node, *point) as waits:
        begun = pristine.start("init", log=log)
        until(waits)
        there = {path.name for path in manifests.iterdir()}
        assert there == ({"batch-scheduler.yaml", "etcd.yaml"} if point == AMONG_MANIFESTS else set())
        halt(pristine)
    assert begun.wait(PATIENCE) in (1, 4), log.read_text()
    assert "next: " in log.read_text()
    assert not list(manifests.iterdir()), "swapped back"

    pristine.done("init")
    converged(pristine, reference[1])


def test_init_ends_well_after_etcd_was_killed_at_its_first_breath(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    """On what it leaves then, an etcd would wait for ever for members that it does not know."""
    kill_when(pristine, POINTS["the kubelet is stopped"], tmp_path / "log", stays=True)
    log = root(pristine.node) / ETCDS_LOG
    log.parent.mkdir(parents=True)
    log.write_bytes((pristine.directory / "log").read_bytes() + bytes(1 << 20))

    pristine.done("init")
    converged(pristine, reference[1])


def test_init_ends_well_after_the_connection_was_cut(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with waiting(pristine.node, *KUBELET_STOPPED) as waits:
        begun = pristine.start("init", log=log)
        until(waits)
        assert signalled(on_node(pristine, lambda words, _: words.startswith("sshd: root")), signal.SIGKILL)
    assert begun.wait(PATIENCE) in (0, 1, 4, 5), log.read_text()  # 0: it was reached again
    assert "next: " in log.read_text()
    assert "Traceback" not in log.read_text()

    pristine.done("init")
    converged(pristine, reference[1])
