"""`bootstrap support-bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap support-bundle\n  bootstrap support-bundle -o trouble.tar.gz")
@options.file
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("support-bundle.tar.gz"),
    show_default=True,
    help="Where to.",
)
def command(path: Path, target: Path) -> int:
    """Collect what whoever helps you needs to see, of all nodes, in one archive without secrets.

    Diagnosis, facts, records, manifests, logs and versions; cluster.yaml and this workstation's log. Keys, tokens,
    passwords and values of environments are taken out; names, addresses and what programs logged are not: look
    through it before you send it to anybody. Nothing is written on any node.
    """
    from bootstrap import bundle
    from bootstrap.cli.output import note
    from bootstrap.errors import Code
    from bootstrap.machines import Opened
    from bootstrap.workflow import Session

    with Opened(path) as opened, Session(opened) as session:
        count = bundle.write(session, path, target)
        silent = sorted(session.hosts.unreachable)
    click.echo(f"{count} files in {target}")
    if silent:
        note(f"{', '.join(silent)} can't be reached: what they would tell is missing")
    return Code.SOME_FAILED if silent else Code.DONE
