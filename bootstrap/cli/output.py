"""What people and programs see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootstrap import disk, trace
from bootstrap.errors import Code, Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from bootstrap.checks import Finding
    from bootstrap.cli.log import Log
    from bootstrap.hosts import Event


@dataclass(slots=True)
class Voice:
    """How this process speaks, as the command line asked."""

    lines: bool = False  # of JSON, on stderr
    log: Log | None = None
    console: Console | None = None  # while a live view is shown
    live: Live | None = None  # that view
    screen: threading.RLock = field(default_factory=threading.RLock)  # of who begins the view, or asks somebody
    warned: set[Finding] = field(default_factory=set)  # of what people have been warned already


VOICE = Voice()


def complain(problem: Problem, *, node: str = "") -> None:
    """What happened, why, and what to type next."""
    if VOICE.log:
        VOICE.log.quote("\n".join(filter(None, (f"error: {problem.what}", problem.why))), node)
    if VOICE.lines:
        said = {"why": problem.why, "next": problem.next.splitlines(), "code": int(problem.code)}
        _line("error", node, problem.what, **said)
        return
    click.secho(f"error: {problem.what}", err=True, fg="red" if coloured(terminal=sys.stderr.isatty()) else None)
    for line in problem.why.splitlines():
        click.echo(f"  {line}", err=True)
    for line in problem.next.splitlines():
        click.echo(f"next: {line}", err=True)


def note(text: str) -> None:
    """One line for people."""
    if VOICE.lines:
        _line("info", "", text)
    elif VOICE.console:
        from rich.text import Text

        VOICE.console.print(Text(text))
    else:
        click.echo(text, err=True)


def warn(findings: Sequence[Finding]) -> None:
    """What preflight found, and does not stop for; each once."""
    for finding in findings:
        if finding in VOICE.warned:
            continue
        VOICE.warned.add(finding)
        text = f"{finding.name}: {finding.sentence}"
        if VOICE.log:
            VOICE.log.write(f"warning: {text}", finding.node)
        if VOICE.lines:
            _line("warning", finding.node, text, next=finding.next.splitlines())
        else:
            note(f"warning: {finding.node}: {text}\n  {finding.next}")


def _line(level: str, node: str, text: str, **more: object) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    click.echo(json.dumps({"time": now, "level": level, "node": node, "text": text} | more), err=True)


def heard(span: trace.Span) -> None:
    """With -v: what was asked of a node or a server, and how long it took."""
    if not span.kind:
        return
    failed = f", {span.failed}" if span.failed else ""
    if VOICE.lines:
        _line("debug", span.node, span.what, seconds=round(span.took, 6), failed=span.failed)
    else:
        note(f"          [{span.node or 'cluster'}] {span.what}: {span.took:.3f} s{failed}")


def logged(span: trace.Span) -> None:
    """What the log has of it: not every probe."""
    if VOICE.log and span.kind == "ssh":
        VOICE.log.write(f"{span.what}: {span.took:.3f} s{', ' + span.failed if span.failed else ''}", span.node)


@contextmanager
def logging(log: Log, command: str) -> Iterator[None]:
    """Everything is logged too from now on: how the command ended is told, and so logged, after the block."""
    VOICE.log = log
    log.write(f"bootstrap {command} begins, process {os.getpid()}")
    with trace.listening(logged):
        yield
    log.write(f"bootstrap {command} has done what it could")


@contextmanager
def tracing(path: Path) -> Iterator[None]:
    """Writes a trace of the block: where its seconds went."""
    spans: list[trace.Span] = []
    with disk.told("write", path, disk.ANOTHER, Code.USAGE):
        path.touch()
    try:
        with trace.listening(spans.append), trace.span("the whole command"):
            yield
    finally:
        try:
            disk.write(path, trace.chrome(spans).encode(), lasting=False)
        except Problem as problem:  # how the command ended counts
            complain(problem)


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
def quiet() -> Iterator[None]:
    """No live view meanwhile, nor does one begin: it would draw over what somebody is asked."""
    with VOICE.screen:
        if (live := VOICE.live) is None:
            yield
            return
        live.stop()
        try:
            yield
        finally:
            live.start()


class Progress:
    """What goes on: plain lines; on a terminal a live view of the nodes too, while it is `shown`."""

    def __init__(self, title: str) -> None:
        """Time counts from now."""
        self._title, self._began = title, time.monotonic()
        self._latest: dict[str, Event] = {}
        self._lock = threading.Lock()
        self._console: Console | None = None
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not VOICE.lines:
            from rich.console import Console

            self._console = Console(stderr=True)

    def report(self, event: Event) -> None:
        """Something happened; any thread may say so."""
        with self._lock:
            self._latest[event.node] = event
        if VOICE.log:
            VOICE.log.write(event.text, event.node)
        if VOICE.lines:
            _line("info", event.node, event.text)
        elif self._console is None:
            note(f"{time.monotonic() - self._began:6.1f} s  [{event.node or 'cluster'}] {event.text}")
        else:
            from rich.text import Text

            self._console.print(Text.assemble((f"{event.node or 'cluster'}: ", "bold"), event.text))

    def shown(self) -> AbstractContextManager[object]:
        """The live view; not while somebody is asked something, which it would draw over."""
        return nullcontext() if self._console is None else self._live(self._console)

    @contextmanager
    def _live(self, console: Console) -> Iterator[None]:
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

        VOICE.console = console
        try:
            with VOICE.screen:
                VOICE.live = Live(get_renderable=view, console=console, refresh_per_second=8, transient=True)
                VOICE.live.start()
            yield
        finally:
            if VOICE.live:
                VOICE.live.stop()
            VOICE.console = VOICE.live = None
