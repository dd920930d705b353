"""How commands begin: cluster.yaml is read, and its nodes are asked while the rest of the program is imported."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bootstrap import redact, roster
from bootstrap.cli import output
from bootstrap.cli.log import Log
from bootstrap.cli.signals import handled
from bootstrap.machines import Opened


@contextmanager
def asked(path: Path, command: str = "", *, nodes: Iterable[str] = (), surveys: bool = False) -> Iterator[Opened]:
    """What the nodes tell is there when it is first wanted; a `command` that may change something is logged.

    With `surveys` strangers also tell what they are like. Problem, before anybody is asked, where one of the `nodes`
    that the command line names is not in the file.
    """
    with Opened(path) as opened:
        known = [node.name for node in opened.cluster.nodes]
        roster.unknown(nodes, known, next="write an entry for it below nodes")
        log = Log(opened.directory, lambda: redact.secrets(opened.store)) if command else None
        with output.logging(log, command) if log else nullcontext():
            opened.machines.ask(known, surveys=surveys)
            with _undisturbed():
                importlib.import_module("bootstrap.cli.changing" if command else "bootstrap.workflow")
            yield opened


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard after the block: Python may lose one that comes while it imports."""
    heard = list[int]()
    with handled(lambda number, _: heard.append(number)):
        yield
    if heard:
        raise KeyboardInterrupt
