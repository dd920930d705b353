"""`bootstrap images`: what nodes have to have, and bringing it there before somebody waits for it."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.group(epilog="\b\nExamples:\n  bootstrap images list\n  bootstrap images pull")
def command() -> None:
    """Images that nodes need: list them, or pull them there beforehand."""


@command.command(
    name="list",
    epilog="\b\nExamples:\n  bootstrap images list\n"
    "  bootstrap images list -o json | jq -r '.nodes[].images[]' | sort -u",
)
@options.file
@options.output
def show(path: Path, form: str) -> None:
    """List the images that each node needs, as cluster.yaml has it; no node is asked.

    Those of pods of your own are not among them.
    """
    from bootstrap import images, spec
    from bootstrap.cli import output

    cluster = spec.load(path)
    needed = {node.name: images.needed(cluster, node) for node in cluster.nodes}
    if form != "text":
        nodes = [{"name": name, "images": list(each)} for name, each in needed.items()]
        output.emit({"apiVersion": "bootstrap/v1", "kind": "Images", "cluster": cluster.name, "nodes": nodes}, form)
        return
    wanted: dict[str, list[str]] = {}
    for name, each in needed.items():
        for image in each:
            wanted.setdefault(image, []).append(name)
    output.table([("IMAGE", "NODES"), *((image, ",".join(names)) for image, names in wanted.items())])


@command.command(epilog="\b\nExamples:\n  bootstrap images pull\n  bootstrap images pull --nodes w1,w2")
@options.file
@options.named("--nodes", help="On these nodes only.")
def pull(path: Path, nodes: tuple[str, ...]) -> int:
    """Let every node's runtime pull the images it needs, by crictl, or by ctr where there is none.

    Nothing else is changed: the images are the runtime's cache, and what is there is not pulled again. Exit code 0: all
    is there; 4: some nodes lack some; 5: no node can be reached.
    """
    from bootstrap import pulling, roster
    from bootstrap.cli import output
    from bootstrap.errors import Code
    from bootstrap.machines import Opened
    from bootstrap.workflow import Session

    progress = output.Progress("bootstrap images pull")
    with Opened(path) as opened, Session(opened, progress.report) as session:
        known = [node.name for node in session.cluster.nodes]
        roster.unknown(nodes, known, next="bootstrap images list")
        with progress.shown():
            failed = pulling.pull(session.hosts, nodes or known)
        for problem in failed.values():
            output.complain(problem)
        if len(failed) == len(nodes or known) and all(it.code is Code.UNREACHABLE for it in failed.values()):
            return Code.UNREACHABLE
    return Code.SOME_FAILED if failed else Code.DONE
