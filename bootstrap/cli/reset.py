"""`bootstrap reset`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap reset\n  bootstrap reset --yes")
@options.file
@options.passphrase
@options.timeout
@options.wait
@options.yes
def command(path: Path, timeout: float, wait: float, *, yes: bool) -> int:
    """Take everything of ours off the nodes again: pods, files, settings.

    What was replaced comes back. etcd's data is moved to /var/lib/bootstrap/former-etcd on each node. The state
    directory stays: the same authorities found the next cluster.
    """
    from bootstrap.cli.changing import Change, change

    return change(Change("reset", path, timeout, wait, ask=not yes, leaving=None))
