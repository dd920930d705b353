"""The golden trees: what lies on a node's disk for a few cluster files. `python -m tests.golden_tree` rewrites them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bootstrap import kubelet
from bootstrap.components import CA_DIRECTORIES, Place, files
from bootstrap.spec import Cluster, Node, load
from bootstrap.world import File, Machine

ROOT = Path(__file__).parent / "golden"
KEY = "A" * 43 + "="  # base64 of 32 zeros: no secret
MANIFESTS = {"ipv6-mirror": "/opt/kubelet/pods.d"}  # found there, not where kubeadm has them
POD_CIDRS = {"one-node": "10.244.{}.0/24", "three-nodes": "10.244.{}.0/24"}


def cases() -> list[str]:
    """The names of the cases: directories with a cluster.yaml."""
    return sorted(file.parent.name for file in ROOT.glob("*/cluster.yaml"))


def cluster(case: str) -> Cluster:
    """The cluster file of this case."""
    return load(ROOT / case / "cluster.yaml")


def machine(case: str, node: Node) -> Machine:
    """What this node would tell of itself: Debian where its name ends in 1, something like Red Hat elsewhere."""
    return Machine(
        manifests=MANIFESTS.get(case, "/etc/kubernetes/manifests"),
        ca_directories=CA_DIRECTORIES[::4] if node.name.endswith("1") else CA_DIRECTORIES[1:3],
        hostname=node.name,
    )


def node_files(case: str, wanted: Cluster, node: Node) -> Iterator[File]:
    """What lies on this node, less credentials, which are random, and the record."""
    seen = machine(case, node)
    born = tuple((voter.name, voter.address) for voter in wanted.voters)
    yield from files(wanted, node, Place(seen.manifests, seen.ca_directories, born), KEY)
    pods = {it.name: POD_CIDRS[case].format(place) for place, it in enumerate(wanted.nodes) if case in POD_CIDRS}
    yield from kubelet.files(wanted, node, seen, pods)


def tree(case: str) -> Iterator[tuple[Path, bytes]]:
    """Every file of every node, as path below ROOT and content."""
    wanted = cluster(case)
    for node in wanted.nodes:
        for file in node_files(case, wanted, node):
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
