"""`bootstrap inventory`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap inventory > hosts.ini\n  bootstrap inventory -o yaml > hosts.yaml\n"
    "  ansible -i hosts.ini control_plane -m ping"
)
@options.file
@options.form(
    "ini", "yaml", "json", help="A file of Ansible's in one of its forms; json: what an inventory script prints."
)
def command(path: Path, form: str) -> None:
    """Print the nodes as an inventory of Ansible's; no node is asked.

    Groups: control_plane, etcd, workers, and schedulers (where further schedulers run). Each node has what Ansible
    needs to reach it as bootstrap does, and bootstrap_address and bootstrap_role.
    """
    from bootstrap import inventory, spec
    from bootstrap.cli import output

    cluster = spec.load(path)
    match form:
        case "ini":
            click.echo(inventory.ini(cluster), nl=False)
        case "yaml":
            output.emit(inventory.tree(cluster), form)
        case _:
            output.emit(inventory.script(cluster), form)
