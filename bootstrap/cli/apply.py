"""`bootstrap apply`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap apply\n  bootstrap apply --yes")
@options.file
@options.timeout
@options.wait
@options.yes
def command(path: Path, timeout: float, wait: float, *, yes: bool) -> int:
    """Make the cluster what cluster.yaml says.

    Shows the plan and asks. A node whose parts do not get healthy gets its former files back.
    """
    from bootstrap.cli.changing import Change, change

    return change(Change("apply", path, timeout, wait, ask=not yes))
