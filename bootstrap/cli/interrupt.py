"""Ctrl-C and SIGTERM while a plan is performed: once finishes what is under way, twice stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrap.hosts import Event
from bootstrap.workflow import Session

ASKED = "finishes what is under way and then stops; Ctrl-C again stops at once"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def finishing(session: Session) -> Iterator[None]:
    """In the block a signal asks the session to stop before its next move, a second one is a KeyboardInterrupt."""

    def asked(*_: object) -> None:
        if session.hosts.asked_to_stop:
            raise KeyboardInterrupt
        session.hosts.asked_to_stop = True
        # Not here: the thread that was interrupted may hold the lock of the view.
        threading.Thread(target=session.hosts.report, args=(Event("", ASKED),), daemon=True).start()

    if threading.current_thread() is not threading.main_thread():  # a program's own; its signals are its own too
        yield
        return
    before = {number: signal.signal(number, asked) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
