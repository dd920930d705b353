"""Ctrl-C and SIGTERM while a plan is performed: once finishes what is under way, twice stops at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrap.cli.signals import handled
from bootstrap.hosts import Event
from bootstrap.workflow import Session

ASKED = "finishes what is under way and then stops; Ctrl-C again stops at once"


@contextmanager
def finishing(session: Session) -> Iterator[None]:
    """In the block a signal asks the session to stop before its next move, a second one is a KeyboardInterrupt."""

    def asked(*_: object) -> None:
        if session.hosts.asked_to_stop:
            raise KeyboardInterrupt
        session.hosts.asked_to_stop = True
        # Not here: the thread that was interrupted may hold the lock of the view.
        threading.Thread(target=session.hosts.report, args=(Event("", ASKED),), daemon=True).start()

    with handled(asked):
        yield
