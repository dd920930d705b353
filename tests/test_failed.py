"""What does not get healthy is swapped back, explained, not waited for in vain, and mended by the next run."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.cluster import DIRECTORY, PARTS, Desk, Ended, record, root, running, until

LATE = "400"  # seconds that a node may take to get healthy
EARLY = 380.0  # seconds; nobody waits so long for what can't mend itself
WRONG: dict[str, Any] = {"extraArgs": [{"name": "no-such-flag", "value": "1"}]}


@pytest.fixture(scope="module")
def unfounded(untouched: Desk) -> Desk:
    """A fresh node, and a cluster.yaml with a flag that kube-scheduler does not know."""
    untouched.describe(scheduler=WRONG)
    return untouched


@pytest.fixture(scope="module")
def failed(unfounded: Desk) -> Ended:
    """The init that can't get healthy."""
    began = time.monotonic()
    ended = unfounded.bootstrap("init", "--timeout", LATE)
    assert time.monotonic() - began < EARLY, ended
    return ended


@pytest.fixture(scope="module")
def cluster(unfounded: Desk, failed: Ended) -> Desk:
    """The file is mended, and init has ended well."""
    assert failed.status == 1
    unfounded.describe(scheduler=None)
    unfounded.done("init")
    return unfounded


def test_init_that_fails_names_the_part_and_its_last_words_and_what_to_type(failed: Ended) -> None:
    assert failed.status == 1
    assert "kube-scheduler does not know the flag --no-such-flag" in failed.err
    assert "next: take --no-such-flag out of scheduler in cluster.yaml" in failed.err
    assert re.search(
        r"kube-scheduler, last words \(its container ended with exit code 1, started \d+ times\)", failed.err
    )
    assert "unknown flag: --no-such-flag" in failed.err
    assert "next: " in failed.err
    assert "Traceback" not in failed.err


def test_init_that_failed_leaves_nothing_running_and_nothing_to_run(unfounded: Desk, failed: Ended) -> None:
    assert failed.status == 1
    assert not list((root(unfounded.node) / DIRECTORY[1:]).iterdir())
    assert not running(unfounded.node)
    assert not list((root(unfounded.node) / "etc").rglob("*bootstrap*"))


def test_init_ends_well_once_the_file_is_mended(cluster: Desk) -> None:
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}
    until(cluster.ready)
    until(cluster.nothing_left)


@pytest.mark.parametrize(("field", "part"), [("scheduler", "kube-scheduler"), ("apiServer", "kube-apiserver")])
def test_apply_that_fails_swaps_back_and_the_former_generation_serves(cluster: Desk, field: str, part: str) -> None:
    before, settled = root(cluster.node) / f"{DIRECTORY[1:]}/{part}.yaml", record(cluster.node)
    manifest = before.read_text()
    cluster.describe(**{field: WRONG})
    began = time.monotonic()
    failed = cluster.bootstrap("apply", "--yes", "--timeout", LATE)
    assert failed.status == 1
    assert time.monotonic() - began < EARLY, failed
    assert f"{part} does not know the flag --no-such-flag" in failed.err
    assert f"next: take --no-such-flag out of {field} in cluster.yaml" in failed.err
    assert f"{part}, last words" in failed.err
    assert "unknown flag: --no-such-flag" in failed.err
    assert "cp1] swapped back to what it had" in failed.err
    assert "next: " in failed.err
    assert before.read_text() == manifest
    assert record(cluster.node) == settled

    # Without an API server those with a lease lose it and end; the kubelet starts them again by itself.
    until(lambda: restarts(cluster) == [[part]])
    cluster.describe(**{field: None})
    until(cluster.nothing_left)
    until(cluster.well)


def restarts(cluster: Desk) -> list[list[str]]:
    """What each turn of the plan restarts."""
    return [step["restart"] for wave in cluster.plan()["waves"] for step in wave if step["step"] == "turn"]
