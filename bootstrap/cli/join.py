"""`bootstrap join`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap join\n  bootstrap join w7 w8\n  bootstrap join --timeout 600")
@click.argument("nodes", nargs=-1, metavar="[NODE]…")
@options.changing
@options.ignore
def command(nodes: tuple[str, ...], path: Path, timeout: float, wait: float, ignored: tuple[str, ...]) -> int:
    """Add the nodes that cluster.yaml names and the cluster lacks: all of them, or those named here.

    A control-plane node comes as a learner of etcd, starts, and then votes, one at a time; a node whose disk was
    replaced is taken out of etcd first. What serves is left alone: where cluster.yaml asks for a change of it, join
    stops with exit code 2 and names `bootstrap apply`.
    """
    from bootstrap.cli.opening import asked

    with asked(path, "join", nodes=nodes, surveys=True) as opened:
        from bootstrap.cli.changing import Change, change

        return change(Change("join", opened, timeout, wait, only=nodes, ignored=ignored))
