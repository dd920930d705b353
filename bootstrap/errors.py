"""The one exception people see, and the exit codes it ends with."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Exit codes; `bootstrap --help` lists them."""

    DONE = 0
    FAILED = 1
    CHANGES = 2
    WRONG_FILE = 3
    SOME_FAILED = 4
    UNREACHABLE = 5
    LOCKED = 6
    REFUSED = 7
    USAGE = 64
    INTERRUPTED = 130


class Problem(Exception):
    """Something a person has to know: what happened, why where that can be told, and what to type next."""

    def __init__(self, what: str, *, why: str = "", next: str = "", code: Code = Code.FAILED) -> None:
        """`what` is one sentence without a full stop; `why` may have several lines."""
        super().__init__(what)
        self.what, self.why, self.next, self.code = what, why, next, code
