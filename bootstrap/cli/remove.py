"""`bootstrap remove`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap remove w1\n  bootstrap remove cp3 --yes")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE…")
@options.file
@options.timeout
@options.wait
@options.yes
def command(nodes: tuple[str, ...], path: Path, timeout: float, wait: float, *, yes: bool) -> int:
    """Take nodes out of the cluster.

    Each is cordoned and drained, leaves etcd, and is left as it was found; a node that is dead is only taken out of the
    lists. What would lose etcd's quorum is refused. Afterwards, delete the node's entry in cluster.yaml: until then
    `bootstrap plan` shows it as joining.
    """
    from bootstrap.cli.changing import Change, change
    from bootstrap.cli.output import note

    status = change(Change("remove", path, timeout, wait, ask=not yes, leaving=nodes))
    if status == 0:
        note(f"next: delete the entry of {', '.join(nodes)} in {path}")
    return status
