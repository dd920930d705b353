"""What people and programs see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from bootstrap.errors import Problem
from bootstrap.hosts import Event, Report


def complain(problem: Problem) -> None:
    """What happened, why, and what to type next."""
    click.secho(f"error: {problem.what}", err=True, fg="red" if coloured(terminal=sys.stderr.isatty()) else None)
    for line in problem.why.splitlines():
        click.echo(f"  {line}", err=True)
    for line in problem.next.splitlines():
        click.echo(f"next: {line}", err=True)


def note(text: str) -> None:
    """One line for people."""
    click.echo(text, err=True)


def coloured(*, terminal: bool) -> bool:
    """Whether to colour: https://no-color.org."""
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def emit(result: object, form: str) -> None:
    """A result for programs."""
    if form == "yaml":
        from bootstrap import documents

        click.echo(documents.dump(result), nl=False)
    else:
        click.echo(json.dumps(result, indent=2))


def table(rows: Sequence[Sequence[str]]) -> None:
    """As kubectl prints one; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A live view of the nodes on a terminal, plain lines elsewhere."""
    began = time.monotonic()
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda event: note(f"{time.monotonic() - began:6.1f} s  [{event.node or 'cluster'}] {event.text}")
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    console, latest = Console(stderr=True), dict[str, Event]()
    spinner, lock = Spinner("dots", title), threading.Lock()

    def view() -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_row(spinner, Text(f"{time.monotonic() - began:.1f} s", style="dim"))
        with lock:
            for node, event in sorted(latest.items()):
                grid.add_row(Text(f"  {node or 'cluster'}", style="bold"), Text(event.text))
        return grid

    def report(event: Event) -> None:
        with lock:
            latest[event.node] = event
        console.print(Text.assemble((f"{event.node or 'cluster'}: ", "bold"), event.text))

    with Live(get_renderable=view, console=console, refresh_per_second=8, transient=True):
        yield report
