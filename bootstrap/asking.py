"""Who can be asked for a password: nobody, unless whoever has a terminal says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Ask = Callable[[str], str | None]  # a question -> what was typed, unseen; None: there is nobody

ASKED: list[Ask] = []  # of this process: what it has for a terminal is known on the command line
_AT_A_TIME = threading.Lock()  # nodes are asked in threads, a person is not


@contextmanager
def by(one: Ask) -> Iterator[None]:
    """In the block this one is asked."""
    ASKED.append(one)
    try:
        yield
    finally:
        ASKED.remove(one)


def ask(question: str) -> str | None:
    """The answer; None where there is nobody."""
    with _AT_A_TIME:
        return ASKED[-1](question) if ASKED else None
