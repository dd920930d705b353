"""`bootstrap apply`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap apply\n  bootstrap apply --yes\n  bootstrap apply --nodes cp1\n"
    "  bootstrap apply change.plan    # of: bootstrap plan --out change.plan"
)
@click.argument("plan", type=click.Path(path_type=Path), required=False, metavar="[PLAN]")
@options.changing
@options.yes
@options.nodes
@options.skip_phases
@options.ignore
@click.option("--dry-run", is_flag=True, help="Everything but writing; exit code 2 where there is something to do.")
def command(
    plan: Path | None,
    path: Path,
    timeout: float,
    wait: float,
    *,
    nodes: tuple[str, ...],
    skip_phases: tuple[str, ...],
    ignored: tuple[str, ...],
    yes: bool,
    dry_run: bool,
) -> int:
    """Make the cluster what cluster.yaml says.

    Shows the plan and asks. A node whose parts do not get healthy gets its former files back. PLAN is a file of
    `bootstrap plan --out`: what is in it is done, or what is left of it after a run that was cut short; if anything
    moved since, nothing is, and the exit code is 2.
    """
    from bootstrap.cli.opening import asked

    if plan and (nodes or skip_phases):
        raise click.UsageError("A plan that was kept says itself which nodes and phases it is about.")
    kept = None
    if plan:
        from bootstrap import saved

        kept = saved.read(plan)
    with asked(path, "apply", nodes=nodes, surveys=True) as opened:
        from bootstrap.cli.changing import Change, change, scope

        about = scope(nodes, skip_phases)
        if kept:
            about = scope(tuple(kept["nodes"] or ()), tuple(kept["skipPhases"]))
        return change(
            Change("apply", opened, timeout, wait, ask=not yes, scope=about, kept=plan, dry=dry_run, ignored=ignored)
        )
