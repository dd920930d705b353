"""`bootstrap render`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap render -o out\n  find out -type f")
@options.file
@options.passphrase
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to."
)
def command(path: Path, target: Path) -> None:
    """Write every node's files, and the API's objects, to a directory; needs no node.

    The tree mirrors each node's disk: OUT/nodes/<node>/etc/kubernetes/…; beside it are OUT/objects.yaml, and the
    kubeconfig OUT/super-admin.conf, with which they are put. Credentials are those of the state directory, else
    throw-away ones, and then the file THROW-AWAY says so. The state directory is not written.
    """
    from bootstrap import rendered
    from bootstrap.cli import passphrase

    count, throw_away = rendered.write(path, target, passphrase.known)
    click.echo(f"{count} files in {target}" + (", with throw-away credentials" if throw_away else ""))
