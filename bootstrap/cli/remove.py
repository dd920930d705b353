"""`bootstrap remove`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap remove w1\n  bootstrap remove cp3 --yes")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE…")
@options.changing
@options.yes
def command(nodes: tuple[str, ...], path: Path, timeout: float, wait: float, *, yes: bool) -> int:
    """Take nodes out of the cluster.

    Each is cordoned and drained, leaves etcd, and is left as it was found; of one that is dead, or joined by `kubeadm
    join`, only the cluster forgets. Budgets of pods are respected, for --timeout seconds. What would lose etcd's quorum
    is refused. Its entry in cluster.yaml may be gone already: the last run knew how to reach it. Where it is still
    there, delete it afterwards: until then `bootstrap plan` shows the node as joining.
    """
    from bootstrap.cli.opening import asked

    with asked(path, "remove") as opened:
        from bootstrap.cli.changing import Change, change

        return change(Change("remove", opened, timeout, wait, ask=not yes, leaving=nodes))
