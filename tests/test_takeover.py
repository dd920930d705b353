"""Another workstation takes a real cluster over; and a cluster whose authorities' keys lie under a passphrase."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bootstrap.state import Store
from pki import keys
from tests.cluster import Desk, Ended, desk, epoch, record, until


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a passphrase."""
    file = tmp_path_factory.mktemp("secret") / "passphrase"
    file.write_text("correct horse battery\n")
    return str(file)


def handed(giver: Desk, taker: Desk, secret: str) -> None:
    """The state and the file of one workstation are those of the other from now on."""
    copy = str(taker.directory / "demo.state")
    giver.done("state", "export", copy, "--force", "--passphrase-file", secret)
    if taker.file.read_text() != giver.file.read_text():
        shutil.copy(giver.file, taker.file)
    taker.done("state", "import", copy, "--passphrase-file", secret)


def pods(cluster: Desk, most: int) -> None:
    """Ask for a change that is done in seconds: the kubelet restarts, and no container."""
    cluster.describe(kubelet=cluster.tree()["kubelet"] | {"maxPods": most})


def refused(ended: Ended, status: int, *words: str) -> None:
    """It ended so, said these words, and what to type next."""
    assert (ended.status, [word for word in words if word not in ended.err]) == (status, []), ended
    assert "next: " in ended.err
    assert "Traceback" not in ended.err


def test_a_second_workstation_takes_over_and_the_first_is_refused_until_it_has_the_state_again(
    cluster: Desk, tmp_path: Path, secret: str
) -> None:
    second = desk(cluster.lab, tmp_path)
    refused(second.bootstrap("plan"), 6, "belongs to a cluster whose keys are not in", "bootstrap state import FILE")
    handed(cluster, second, secret)
    until(second.nothing_left)
    pods(second, 101)
    second.done("apply", "--yes")
    was, knows = record(cluster.node), epoch(cluster.node)
    pods(cluster, 102)
    for words in (("plan",), ("apply", "--yes")):
        refused(cluster.bootstrap(*words), 6, "older than the nodes", f"epoch {knows}", "bootstrap state export FILE")
    assert (record(cluster.node), epoch(cluster.node)) == (was, knows)
    handed(second, cluster, secret)
    until(cluster.nothing_left)


def test_a_name_that_is_new_needs_the_passphrase_of_the_keys_and_another_change_does_not(
    cluster: Desk, secret: str
) -> None:
    cluster.done("state", "encrypt", "--passphrase-file", secret)
    pods(cluster, 103)
    cluster.done("apply", "--yes")
    before = record(cluster.node)
    cluster.describe(apiServer={"certSANs": ["more.example"]})
    refused(cluster.bootstrap("apply", "--yes"), 5, "passphrase of the authorities' keys", "--passphrase-file")
    assert record(cluster.node) == before
    cluster.done("apply", "--yes", "--passphrase-file", secret)
    until(cluster.nothing_left)  # and from now on nobody is asked
    store = Store(cluster.state)
    assert keys.encrypted(store["pki/ca.key"])
    assert "more.example" in cluster.node.exec(
        *("openssl", "x509", "-in", "/etc/kubernetes/pki/apiserver.crt", "-noout", "-ext", "subjectAltName")
    )
