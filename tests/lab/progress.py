"""The only module that tells, on stderr, what the lab is busy with."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 15.0  # seconds between two lines where stderr is no terminal
WIDTH = 110
ERASE = "\r\033[K"


def say(text: str) -> None:
    """One line for people."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Show that `title` is under way, for how long, and the last note given; then how long it took."""
    began = time.monotonic()
    terminal = sys.stderr.isatty()
    over = threading.Event()
    notes = [""]

    def line() -> str:
        return f"{title} … {time.monotonic() - began:.0f} s {notes[-1]}"[:WIDTH]

    def show() -> None:
        while not over.wait(0.2 if terminal else QUIET):
            text, end = (f"{ERASE}{line()}", "") if terminal else (line(), "\n")
            print(text, end=end, file=sys.stderr, flush=True)

    def note(text: str) -> None:
        notes[-1] = text

    if not terminal:
        say(f"{title} …")
    shown = threading.Thread(target=show, daemon=True)
    shown.start()
    try:
        yield note
    except BaseException:
        outcome = "failed after"
        raise
    else:
        outcome = "done in"
    finally:
        over.set()
        shown.join()
        say(f"{ERASE if terminal else ''}{title}: {outcome} {time.monotonic() - began:.1f} s")
