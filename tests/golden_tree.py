"""The golden trees: what lies on a node's disk for a few cluster files. `python -m tests.golden_tree` rewrites them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from bootstrap.components import CA_DIRECTORIES, Place, files
from bootstrap.spec.model import Cluster, Node

ROOT = Path(__file__).parent / "golden"
KEY = "A" * 43 + "="  # base64 of 32 zeros: no secret
MANIFESTS = {"ipv6-mirror": "/opt/kubelet/pods.d"}  # found there, not where kubeadm has them


def cases() -> list[str]:
    """The names of the cases: directories with a cluster.yaml."""
    return sorted(file.parent.name for file in ROOT.glob("*/cluster.yaml"))


def cluster(case: str) -> Cluster:
    """The cluster file of this case."""
    raw = yaml.safe_load((ROOT / case / "cluster.yaml").read_text(encoding="utf-8"))
    return Cluster.model_validate_json(json.dumps(raw))


def place(case: str, wanted: Cluster, node: Node) -> Place:
    """What this node would tell of itself: a Debian on the first, a Red Hat elsewhere; all voters founded."""
    first = node == wanted.voters[0]
    return Place(
        manifests=MANIFESTS.get(case, "/etc/kubernetes/manifests"),
        ca_directories=CA_DIRECTORIES[::4] if first else CA_DIRECTORIES[1:3],
        initial_cluster=tuple((voter.name, voter.address) for voter in wanted.voters),
    )


def tree(case: str) -> Iterator[tuple[Path, bytes]]:
    """Every file of every node, as path below ROOT and content."""
    wanted = cluster(case)
    for node in wanted.nodes:
        for file in files(wanted, node, place(case, wanted, node), KEY):
            yield Path(case, node.name, file.path.lstrip("/")), file.content


def main() -> None:
    """Write all trees anew; people read the difference."""
    for case in cases():
        wanted = dict(tree(case))
        for file in (ROOT / case).rglob("*"):
            if file.is_file() and file.name != "cluster.yaml" and file.relative_to(ROOT) not in wanted:
                file.unlink()
        for path, content in wanted.items():
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_bytes(content)
        print(f"{case}: {len(wanted)} files")


if __name__ == "__main__":
    main()
