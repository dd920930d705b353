"""`bootstrap config`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.group(epilog="\b\nExamples:\n  bootstrap config example > cluster.yaml\n  bootstrap config validate")
def command() -> None:
    """Example, check and schema of cluster.yaml."""


@command.command(epilog="\b\nExamples:\n  bootstrap config example > cluster.yaml")
def example() -> None:
    """Print a cluster.yaml with every field, commented."""
    from bootstrap import spec

    click.echo(spec.example(), nl=False)


@command.command(epilog="\b\nExamples:\n  bootstrap config validate\n  bootstrap config validate -f lab/cluster.yaml")
@options.file
def validate(path: Path) -> None:
    """Check a cluster.yaml: every error at once, with its line; no node is asked."""
    from bootstrap import spec

    cluster = spec.load(path)
    click.echo(f"{path}: cluster {cluster.name} of {len(cluster.nodes)} nodes, {cluster.kubernetes_version}: valid")


@command.command(epilog="\b\nExamples:\n  bootstrap config schema > schema.json")
def schema() -> None:
    """Print the JSON Schema of cluster.yaml, for editors."""
    from bootstrap import spec
    from bootstrap.cli import output

    output.emit(spec.schema(), "json")
