"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

file = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path("cluster.yaml"),
    envvar="BOOTSTRAP_FILE",
    show_default=True,
    show_envvar=True,
    help="The cluster's description.",
)
yes = click.option("-y", "--yes", is_flag=True, envvar="BOOTSTRAP_YES", help="Do not ask.")
timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=240.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a node may take to get healthy.",
)
wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another bootstrap that is at work on the cluster.",
)
nodes = click.option(
    "--nodes",
    callback=lambda _context, _option, value: tuple(value.split(",")) if value else (),
    metavar="NAME,…",
    help="Touch these nodes only, and no object of the API.",
)
skip_phases = click.option(
    "--skip-phases",
    callback=lambda _context, _option, value: tuple(value.split(",")) if value else (),
    metavar="NAME,…",
    help="Leave what these phases made exactly as it is.",
)
output = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)
