"""The golden trees: the disk of a node as people review it, and the same bytes wherever it is rendered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import golden_tree


@pytest.mark.parametrize("case", golden_tree.cases())
def test_a_nodes_disk_looks_like_its_golden_tree(case: str) -> None:
    lying = {path for path in (golden_tree.ROOT / case).rglob("*") if path.is_file() and path.name != "cluster.yaml"}
    wanted = {golden_tree.ROOT / path: content.decode() for path, content in golden_tree.tree(case)}
    assert lying == wanted.keys(), "python -m tests.golden_tree"
    for path, content in wanted.items():
        assert path.read_text(encoding="utf-8") == content, "python -m tests.golden_tree"


def test_the_same_file_gives_the_same_bytes_in_every_interpreter() -> None:
    program = "\n".join(
        (
            "from hashlib import sha256",
            "from tests import golden_tree",
            "trees = [pair for case in golden_tree.cases() for pair in golden_tree.tree(case)]",
            "print(len(trees), sha256(repr(trees).encode()).hexdigest())",
        )
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            cwd=golden_tree.ROOT.parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert int(said.pop().split()[0]) > 20
