"""The options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]


def several(*options: Option[Any]) -> Option[Any]:
    """Several, which --help lists in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


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


def _names(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
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


# Which cluster, and how to hear of what is done with it: what every command has that reads cluster.yaml.
file = several(_file, *_heard)


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


def _seconds(name: str, help: str, *, least: float, default: float) -> Option[Any]:
    kind = click.FloatRange(min=least)
    return click.option(name, type=kind, default=default, show_default=True, metavar="SECONDS", help=help)


def named(*option: str, help: str) -> Option[Any]:
    """Names with commas between them."""
    return click.option(*option, callback=_names, metavar="NAME,…", help=help)


def form(*forms: str, help: str) -> Option[Any]:
    """How to print the result: in the first of these forms, or another."""
    kind = click.Choice(forms)
    return click.option("-o", "--output", "form", type=kind, default=forms[0], show_default=True, help=help)


_timeout = _seconds("--timeout", "How long a node may take to get healthy.", least=1, default=240)
_wait = _seconds("--wait", "How long to wait for another bootstrap that is at work on the cluster.", least=0, default=0)
# What every command has that changes nodes.
changing = several(file, passphrase, _timeout, _wait)
nodes = named("--nodes", help="Touch these nodes only, and no object of the API.")
ignore = named(
    "--ignore-preflight-errors",
    "ignored",
    help="Go on with these findings of preflight, or with all; a name stands for those that begin with it.",
)
skip_phases = named("--skip-phases", help="Leave what these phases made exactly as it is.")
output = form("text", "json", "yaml", help="How to print the result.")
