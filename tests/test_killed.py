"""Whatever is killed, and whenever: the same command again ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path

import httpx2
import pytest

from bootstrap import credentials, tunnel
from bootstrap.state import Store
from tests.cluster import DIRECTORY, MANIFESTS, PARTS, Desk, record, root, running, until
from tests.lab import Node

Reached = Callable[[Desk, str], bool]  # the log of `bootstrap` so far


@pytest.fixture(scope="module")
def reference(cluster: Desk) -> tuple[Desk, dict[str, object]]:
    """A cluster that was founded without any trouble, and the record it left on its node."""
    return cluster, record(cluster.node)


@pytest.fixture
def pristine(reference: tuple[Desk, dict[str, object]]) -> Desk:
    """A fresh node, and the keys that founded the reference: what `init` makes of it has to be equal."""
    here, _ = reference
    here.lab.fresh("cp1")
    disk.cache_clear()
    return here


@cache
def disk(node: Node) -> Path:
    """Its `root`, asked of podman once: what is looked for may be there for a quarter of a second only."""
    return root(node)


# Where a run can be


def connected(cluster: Desk, _: str) -> bool:
    remote = f"{int.from_bytes(IPv4Address(cluster.node.address).packed, 'little'):08X}:0016"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return any(line[2] == remote and line[3] == "01" for line in lines)


def exists(path: str) -> Reached:
    return lambda cluster, _: (disk(cluster.node) / path).exists()


def says(*words: str) -> Reached:
    return lambda _, log: all(word in log for word in words)


def settled(cluster: Desk, _: str) -> bool:
    with suppress(FileNotFoundError, ValueError):
        return bool(record(cluster.node)["settled"])
    return False


def has_objects(cluster: Desk, _: str) -> bool:
    """The inventory, which comes first, is there; asked without kubectl, which takes longer than all of them."""
    identity = credentials.api_identity(Store(cluster.state))
    trust = tunnel.context(identity.ca, identity.certificate, identity.key)
    path = "api/v1/namespaces/kube-system/configmaps/bootstrap-objects"
    with suppress(httpx2.HTTPError):
        return httpx2.get(f"https://{cluster.node.address}:6443/{path}", verify=trust).status_code == 200
    return False


POINTS: dict[str, Reached] = {
    "connected": connected,
    "files arrive": exists("var/lib/bootstrap"),
    "the turn has its moves": exists("var/lib/bootstrap/turn/moves"),
    "the kubelet is stopped": exists("var/lib/bootstrap/turn/kubelet-stopped"),
    "a manifest lies there": exists(f"{DIRECTORY[1:]}/batch-scheduler.yaml"),
    "the kubelet answers": says("kubelet answers"),
    "everything answers": says(*(f"{part} answers" for part in PARTS)),
    "the node has settled": settled,
    "the first objects are put": has_objects,
}


def kill_when(cluster: Desk, reached: Reached, log: Path, *words: str) -> None:
    """Run `init`, or what the words say, and kill it with SIGKILL as soon as it is there."""
    begun = cluster.start(*(words or ("init",)), log=log)
    try:
        deadline = time.monotonic() + 120
        while not reached(cluster, log.read_text()):
            assert begun.poll() is None, f"ended before: {log.read_text()}"
            assert time.monotonic() < deadline, log.read_text()
    finally:
        begun.kill()
        begun.wait()


def converged(cluster: Desk, wanted: dict[str, object]) -> None:
    """Everything is as after a run without trouble, and nobody has anything left to do."""
    assert record(cluster.node) == wanted
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}
    assert {path.name for path in (root(cluster.node) / DIRECTORY[1:]).iterdir()} == MANIFESTS
    assert not list((root(cluster.node) / "etc").rglob(".bootstrap*"))
    assert cluster.bootstrap("plan").status == 0
    assert until(cluster.ready)


def test_init_ends_well_though_it_was_killed_at_every_point_before(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    for name, reached in POINTS.items():
        kill_when(pristine, reached, tmp_path / name)
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
        assert pristine.bootstrap("plan").status == 0
        assert record(pristine.node) != reference[1]
    finally:
        pristine.describe(apiServer=None)
    pristine.done("apply", "--yes")
    converged(pristine, reference[1])


# On the node


def on_node(cluster: Desk, sign: Callable[[str, str], bool]) -> Iterator[int]:
    """The processes of the node, as this machine counts them, whose (command line, control group) have the sign."""
    disk = (root(cluster.node)).stat()
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


@pytest.mark.parametrize("point", ["the kubelet is stopped", "a manifest lies there"])
def test_init_ends_well_after_the_script_on_the_node_was_killed(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path, point: str
) -> None:
    log = tmp_path / "log"
    begun = pristine.start("init", log=log)
    until(lambda: signalled(on_node(pristine, turn), signal.SIGSTOP))
    while not POINTS[point](pristine, ""):  # by small steps, since it is there for milliseconds only
        signalled(on_node(pristine, turn), signal.SIGCONT)
        signalled(on_node(pristine, turn), signal.SIGSTOP)
        assert begun.poll() is None, log.read_text()
    assert signalled(on_node(pristine, turn), signal.SIGKILL)
    assert begun.wait(120) in (1, 4), log.read_text()
    assert "next: " in log.read_text()
    assert not list((root(pristine.node) / DIRECTORY[1:]).iterdir()), "swapped back"

    pristine.done("init")
    converged(pristine, reference[1])


def test_init_ends_well_after_the_connection_was_cut(
    pristine: Desk, reference: tuple[Desk, dict[str, object]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    begun = pristine.start("init", log=log)
    until(lambda: POINTS["the kubelet is stopped"](pristine, ""))
    assert signalled(on_node(pristine, lambda words, _: words.startswith("sshd: root")), signal.SIGKILL)
    assert begun.wait(120) in (0, 1, 4, 5), log.read_text()  # 0: it was reached again
    assert "next: " in log.read_text()
    assert "Traceback" not in log.read_text()

    pristine.done("init")
    converged(pristine, reference[1])
