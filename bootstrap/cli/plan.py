"""`bootstrap plan`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap plan\n  bootstrap plan -o json | jq '.waves[][].restart'\n"
    "  bootstrap plan --out change.plan\n"
    "  bootstrap plan --nodes cp1 --skip-phases add-ons"
)
@options.file
@options.passphrase
@options.output
@options.nodes
@options.skip_phases
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Keep the plan, for `bootstrap apply FILE`."
)
def command(path: Path, form: str, nodes: tuple[str, ...], skip_phases: tuple[str, ...], out: Path | None) -> int:
    """Show what apply would change, and change nothing.

    Per node: each file and what differs in it (flags, mounts, images, variables, names and dates of certificates, keys
    of configuration; of secrets only that they differ), what stops, for how long the API is away by estimate, and the
    fields of objects. A plan that is kept holds paths and fingerprints, never content. Exit code 0: nothing would
    change; 2: there are changes.
    """
    from bootstrap.cli import output, passphrase
    from bootstrap.cli.opening import asked
    from bootstrap.errors import Code

    progress = output.Progress("bootstrap plan")
    with asked(path, nodes=nodes) as opened:
        from bootstrap import planned, saved
        from bootstrap.cli import show
        from bootstrap.cli.changing import scope, warn_unreachable
        from bootstrap.workflow import Session

        about = scope(nodes, skip_phases)
        with (
            Session(opened, progress.report, scope=about, passphrase=passphrase.known) as session,
            progress.shown(),
        ):
            world = session.world()
            warn_unreachable(session, world)
            if out and session.issued:  # what was issued now is what the plan is about
                if session.take("plan"):
                    world = session.world()
                session.keep()
            made = session.plan(world)
            told = planned.look(session, made, world)
            if out:
                saved.write(saved.tree(made, world, session.wants.uid, session.scope.held), out)
    if form != "text":
        output.emit(told, form)
    elif made.waves or made.blocked:
        show.plan(told)
    else:
        click.echo("nothing to do: everything is as cluster.yaml says")
    return Code.CHANGES if made.waves or made.blocked else Code.DONE
