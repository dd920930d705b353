"""The former generation as a node packs it, read: by the same shell that packs it on the node."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import archive, facts, paths
from bootstrap.errors import Code, Problem
from bootstrap.world import Facts, File, Machine, Origin, Record

MANIFESTS = "/etc/kubernetes/manifests"
ETCD = f"{MANIFESTS}/etcd.yaml"
ORIGINS = {ETCD: Origin("etcd", "etcd", secret=False)}
FILES = {"/etc/kubernetes/pki/ca.crt": "1:600", ETCD: "2:600"}


def etcd(version: str) -> bytes:
    """A manifest, as far as it matters."""
    return f'  containers:\n  - name: etcd\n    image: "registry.k8s.io/etcd:{version}-0"\n'.encode()


def packed(directory: Path, record: Record | None, *, then: bytes = b"", now: bytes = b"") -> str:
    """What the node's script prints where this is kept and runs; the settled record is the same."""
    ours, manifests = directory / "ours", directory / "manifests"
    for made in (ours / "former/files", ours / "turn", manifests):
        made.mkdir(parents=True)
    (ours / "turn/settled.json").write_bytes(facts.to_json(record or Record()))
    if record:
        (ours / "former/record.json").write_bytes(facts.to_json(record))
    if then:
        place = ours / "former/files" / ETCD[1:]
        place.parent.mkdir(parents=True)
        place.write_bytes(then)
        place.chmod(0o600)
    if now:
        (manifests / "etcd.yaml").write_bytes(now)
    words = ["sh", "-c", archive.FORMER.replace(paths.OURS, str(ours)), "former", str(manifests)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def told(seen: dict[str, str], *, former: bool = False) -> Facts:
    """A node that has these files."""
    record = Record(uid="u", files=seen, former=former, settled=not former)
    return Facts(record, seen, {}, machine=Machine(manifests=MANIFESTS))


def test_it_is_the_record_and_the_files_that_the_last_turn_touched(tmp_path: Path) -> None:
    record = Record(uid="u", files=FILES, origins=ORIGINS, runs={"etcd": "g"})
    packet = packed(tmp_path, record, then=etcd("3.7.0"), now=etcd("3.7.1"))
    former = archive.former("cp1", packet, told(FILES | {ETCD: "3:600"}))
    assert former
    assert former.record == record
    assert former.files == (File(ETCD, etcd("3.7.0"), 0o600, "etcd", secret=False, phase="etcd"),)


@pytest.mark.parametrize("record", [None, Record(uid="u")], ids=["never", "bare"])
def test_a_node_on_which_nothing_was_ours_before_has_none(record: Record | None, tmp_path: Path) -> None:
    assert archive.former("cp1", packed(tmp_path, record), told(FILES)) is None


def test_a_rollback_on_its_way_goes_where_its_turn_said(tmp_path: Path) -> None:
    record = replace(Record(uid="u", files=FILES, origins=ORIGINS), former=True)
    former = archive.former("cp1", packed(tmp_path, record, then=etcd("3.7.0")), told(FILES, former=True))
    assert former
    assert (former.record, former.files) == (record, ())


@pytest.mark.parametrize("seen", [FILES | {"/etc/kubernetes/pki/ca.crt": "9:600"}, {ETCD: "2:600"}])
def test_a_file_that_is_kept_nowhere_is_named(seen: dict[str, str], tmp_path: Path) -> None:
    packet = packed(tmp_path, Record(uid="u", files=FILES, origins=ORIGINS))
    with pytest.raises(Problem, match=r"former /etc/kubernetes/pki/ca\.crt is kept nowhere") as refused:
        archive.former("cp1", packet, told(seen))
    assert refused.value.code is Code.REFUSED


@pytest.mark.parametrize(("then", "now"), [("3.6.8", "3.7.0"), ("3.7.0", "3.6.8")])
def test_etcd_does_not_go_over_a_minor(then: str, now: str, tmp_path: Path) -> None:
    packet = packed(tmp_path, Record(uid="u", files=FILES, origins=ORIGINS), then=etcd(then), now=etcd(now))
    with pytest.raises(Problem, match=f"its etcd would go from {now[:3]} to {then[:3]}") as refused:
        archive.former("cp1", packet, told(FILES))
    assert refused.value.code is Code.REFUSED
