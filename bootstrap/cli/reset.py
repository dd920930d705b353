"""`bootstrap reset`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap reset\n  bootstrap reset --purge")
@options.changing
@click.option("--purge", is_flag=True, help="Delete etcd's data: it can't be had back.")
@options.yes
def command(path: Path, timeout: float, wait: float, *, purge: bool, yes: bool) -> int:
    """Take everything of ours off the nodes again: pods, files, settings.

    What was replaced comes back. etcd's data is moved to /var/lib/bootstrap/former-etcd on each node; with --purge it
    is deleted at the end, with all that was moved there before. The state directory stays: the same authorities found
    the next cluster.
    """
    from bootstrap.cli.opening import asked

    with asked(path, "reset") as opened:
        from bootstrap.cli.changing import Change, change

        return change(Change("reset", opened, timeout, wait, ask=not yes, leaving=None, purge=purge))
