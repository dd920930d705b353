"""`bootstrap unlock`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap unlock\n  bootstrap unlock --yes")
@options.file
@options.yes
def command(path: Path, *, yes: bool) -> int:
    """End another bootstrap that is at work on the cluster.

    It stops before its next step, with exit code 6; a turn that goes on a node goes to its end. The lock of one that is
    dead needs no unlock: it goes by itself, within 20 seconds.
    """
    from bootstrap.cli import output
    from bootstrap.cli.changing import confirm
    from bootstrap.machines import Opened
    from bootstrap.workflow import Session

    with Opened(path) as opened, Session(opened) as session:
        holders = session.lock.holders()
        if not holders:
            output.note("nothing to do: nobody holds the lock")
            return 0
        for node, holder in holders.items():
            click.echo(f"{node}: {holder}")
        if not yes:
            confirm("end it?")
        session.lock.holders(end=True)
        output.note(f"ended: {', '.join(holders)} can be locked again")
    return 0
