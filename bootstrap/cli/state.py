"""`bootstrap state`: the state directory to another workstation, and its keys under a passphrase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bootstrap.cli import options


@click.group(
    epilog="\b\nExamples:\n  bootstrap state export demo.state\n  bootstrap state import demo.state\n"
    "  bootstrap state encrypt"
)
def command() -> None:
    """Bring the state directory to another workstation, and put its keys under a passphrase."""


def _copied(force: str) -> options.Option[Any]:
    """Where the state is brought to or from."""
    return options.several(
        click.argument("copy", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE"),
        options.file,
        options.passphrase,
        click.option("--force", is_flag=True, help=force),
    )


@command.command(
    "export",
    epilog="\b\nExamples:\n  bootstrap state export demo.state\n"
    "  bootstrap state export --passphrase-file ~/.backup-passphrase /srv/backup/demo.state --force",
)
@_copied("Write over a file that is there.")
def leave(copy: Path, path: Path, *, force: bool) -> None:
    """Write the state directory to one file, under a passphrase.

    It is the backup of a cluster's keys, and the way to another workstation: bring cluster.yaml along, and import it
    there. Everything is in it but the log; SSH keys are not.
    """
    from bootstrap import handover
    from bootstrap.cli import passphrase

    head = handover.leave(path, copy, passphrase.chosen, force=force)
    click.echo(f"{copy}: cluster {head.cluster} ({head.uid}) at epoch {head.epoch}")


@command.command(
    "import",
    epilog="\b\nExamples:\n  bootstrap state import demo.state\n"
    "  bootstrap state import /srv/backup/demo.state --force",
)
@_copied("Also over another cluster's state, or a newer one; that is kept aside.")
def take(copy: Path, path: Path, *, force: bool) -> None:
    """Make what was exported the state of this cluster.yaml's cluster.

    Who imports can change the cluster as who exported could. Once one of them has, the other's state is older than the
    nodes, and refused: it comes back the same way. Another cluster's state, or a newer one, is not written over.
    """
    from bootstrap import handover
    from bootstrap.cli import output, passphrase

    taken = handover.take(path, copy, passphrase.known, force=force)
    if taken.aside:
        output.note(f"what was here before is in {taken.aside}")
    click.echo(f"cluster {taken.head.cluster} ({taken.head.uid}) at epoch {taken.head.epoch}: {taken.files} files")
    output.note("next: bootstrap plan")


@command.command("encrypt", epilog="\b\nExamples:\n  bootstrap state encrypt")
@options.file
@options.passphrase
def encrypt(path: Path) -> None:
    """Put the authorities' keys in the state directory under a passphrase.

    From then on a command asks for it where a certificate has to be signed, and no other does. Other keys, which lie on
    nodes too, stay as they are. There is no way back from a passphrase that was lost but an export made before.
    """
    from bootstrap import handover
    from bootstrap.cli import output, passphrase

    names = handover.encrypt(path, passphrase.chosen)
    if names:
        click.echo(f"encrypted: {', '.join(names)}")
    else:
        output.note(
            "nothing to do: they are encrypted; for another passphrase: bootstrap state decrypt, then this again"
        )


@command.command("decrypt", epilog="\b\nExamples:\n  bootstrap state decrypt")
@options.file
@options.passphrase
def decrypt(path: Path) -> None:
    """Have the authorities' keys in the state directory in clear again."""
    from bootstrap import handover
    from bootstrap.cli import output, passphrase

    names = handover.decrypt(path, passphrase.known)
    if names:
        click.echo(f"decrypted: {', '.join(names)}")
    else:
        output.note("nothing to do: they are not encrypted")
