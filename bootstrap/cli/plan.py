"""`bootstrap plan`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap plan\n  bootstrap plan -o json | jq '.waves[][].restart'")
@options.file
@options.output
def command(path: Path, form: str) -> int:
    """Show what apply would change, and change nothing.

    Exit code 0: nothing would; 2: there are changes.
    """
    from bootstrap.cli import output, show
    from bootstrap.cli.changing import warn_unreachable
    from bootstrap.errors import Code
    from bootstrap.workflow import Session

    progress = output.Progress("bootstrap plan")
    with Session(path, progress.report) as session, progress.shown():
        world = session.world()
        warn_unreachable(session, world)
        made = session.plan(world)
    if form != "text":
        output.emit(show.tree(made, world), form)
    elif made.waves or made.blocked:
        show.plan(made, world)
    else:
        click.echo("nothing to do: everything is as cluster.yaml says")
    return Code.CHANGES if made.waves or made.blocked else Code.DONE
