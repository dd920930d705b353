"""What people are told of a fault that is ours: where it was, where all of it is written, and whom to tell."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from bootstrap.cli.output import VOICE
from bootstrap.errors import Problem
from bootstrap.redact import redact


def fault(error: Exception) -> Problem:
    """The traceback goes to the log, or, where there is none, to a file of its own that only its owner can read."""
    text = "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in last)
    if VOICE.log:
        VOICE.log.quote(text)
        path = str(VOICE.log.path)
    else:
        descriptor, path = tempfile.mkstemp(prefix="bootstrap-", suffix=".log")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(redact(text))
    return Problem(
        f"a fault of bootstrap itself: {type(error).__name__}{place}",
        why=redact(str(error))[:400],
        next=f"please report it, with {path} (look through it first: it has no keys, but names and addresses)\n"
        "running the same command again goes on where this one ended",
    )
