"""`bootstrap rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap rollback\n  bootstrap rollback cp2 --yes")
@click.argument("nodes", nargs=-1, metavar="[NODE…]")
@options.changing
@options.yes
def command(nodes: tuple[str, ...], path: Path, timeout: float, wait: float, *, yes: bool) -> int:
    """Give nodes back the files they had before their last change.

    All nodes, or those named; one that has gone back stays so. Shows the plan and asks, and goes from node to node as
    apply does. Objects of the API stay as they are. cluster.yaml still asks for the newer: change it, or apply puts it
    again. Not over a minor of etcd, whose data can't go back.
    """
    from bootstrap.cli.opening import asked

    with asked(path, "rollback", nodes=nodes) as opened:
        from bootstrap.cli.changing import Change, change

        return change(Change("rollback", opened, timeout, wait, ask=not yes, back=nodes))
