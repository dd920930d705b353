"""What people and programs see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from bootstrap.errors import Problem
from bootstrap.hosts import Event

if TYPE_CHECKING:
    from rich.console import Console


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


class Progress:
    """What goes on: plain lines; on a terminal a live view of the nodes too, while it is `shown`."""

    def __init__(self, title: str) -> None:
        """Time counts from now."""
        self._title, self._began = title, time.monotonic()
        self._latest: dict[str, Event] = {}
        self._lock = threading.Lock()
        self._console: Console | None = None
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            self._console = Console(stderr=True)

    def report(self, event: Event) -> None:
        """Something happened; any thread may say so."""
        with self._lock:
            self._latest[event.node] = event
        if self._console is None:
            note(f"{time.monotonic() - self._began:6.1f} s  [{event.node or 'cluster'}] {event.text}")
            return
        from rich.text import Text

        self._console.print(Text.assemble((f"{event.node or 'cluster'}: ", "bold"), event.text))

    def shown(self) -> AbstractContextManager[object]:
        """The live view; not while somebody is asked something, which it would draw over."""
        if self._console is None:
            return nullcontext()
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        spinner = Spinner("dots", self._title)

        def view() -> Table:
            grid = Table.grid(padding=(0, 2))
            grid.add_row(spinner, Text(f"{time.monotonic() - self._began:.1f} s", style="dim"))
            with self._lock:
                for node, event in sorted(self._latest.items()):
                    grid.add_row(Text(f"  {node or 'cluster'}", style="bold"), Text(event.text))
            return grid

        return Live(get_renderable=view, console=self._console, refresh_per_second=8, transient=True)
