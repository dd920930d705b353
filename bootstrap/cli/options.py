"""The options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _verbose(context: click.Context, _: click.Parameter, chosen: bool) -> None:
    if chosen:
        from bootstrap import trace
        from bootstrap.cli import output

        context.with_resource(trace.listening(output.heard))


def _form(context: click.Context, _: click.Parameter, chosen: str) -> None:
    if chosen == "json":
        from bootstrap.cli.output import VOICE

        VOICE.lines = True


def _trace(context: click.Context, _: click.Parameter, chosen: Path | None) -> None:
    if chosen and not context.resilient_parsing:
        from bootstrap.cli import output

        context.with_resource(output.tracing(chosen))


def names(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Of an option's value, which has commas between them."""
    return tuple(value.split(",")) if value else ()


def _asking(context: click.Context, _: click.Parameter, chosen: Path) -> Path:
    """Whoever reads cluster.yaml may need a password for what is in it."""
    from bootstrap import asking

    def ask(question: str) -> str | None:
        from bootstrap.cli.terminal import typed

        return typed(question)

    if not context.resilient_parsing:
        context.with_resource(asking.by(ask))
    return chosen


_file = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path("cluster.yaml"),
    envvar="BOOTSTRAP_FILE",
    show_default=True,
    show_envvar=True,
    callback=_asking,
    help="The cluster's description.",
)
_heard = (
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_verbose,
        help="Say what was asked of nodes and servers, and how long it took.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=_form,
        envvar="BOOTSTRAP_LOG_FORMAT",
        help="What goes on, on stderr.",
    ),
    click.option(
        "--trace",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=_trace,
        help="Write where the seconds went, for ui.perfetto.dev.",
    ),
)


def file(command: Command) -> Command:
    """Which cluster, and how to hear of what is done with it: what every command has that reads cluster.yaml."""
    for option in (*reversed(_heard), _file):
        command = option(command)
    return command


def _passphrase(_context: click.Context, _: click.Parameter, chosen: Path | None) -> None:
    from bootstrap.cli.passphrase import SOURCE

    SOURCE.file = chosen


passphrase = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_passphrase,
    envvar="BOOTSTRAP_PASSPHRASE_FILE",
    show_envvar=True,
    help="A file with the passphrase; else BOOTSTRAP_PASSPHRASE, else it is asked for.",
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
    callback=names,
    metavar="NAME,…",
    help="Touch these nodes only, and no object of the API.",
)
ignore = click.option(
    "--ignore-preflight-errors",
    "ignored",
    callback=names,
    metavar="NAME,…",
    help="Go on with these findings of preflight, or with all; a name stands for those that begin with it.",
)
skip_phases = click.option(
    "--skip-phases",
    callback=names,
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
