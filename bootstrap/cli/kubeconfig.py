"""`bootstrap kubeconfig`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap kubeconfig > ~/.kube/config\n"
    "  kubectl --kubeconfig <(bootstrap kubeconfig) get nodes"
)
@options.file
def command(path: Path) -> None:
    """Print the administrator's kubeconfig, from the state directory; no node is asked."""
    from bootstrap import spec, state
    from bootstrap.errors import Code, Problem

    cluster = spec.load(path)
    directory = state.directory(path, cluster.name)
    try:
        click.echo(state.opened(directory)["admin.conf"].decode(), nl=False)
    except KeyError:
        raise Problem(
            f"there is no admin.conf in {directory}",
            why="this cluster was not founded from here",
            next="bootstrap init",
            code=Code.LOCKED,
        ) from None
