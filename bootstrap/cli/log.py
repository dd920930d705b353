"""The log that changing commands keep in the state directory: its owner's alone, without secrets, two files at most."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bootstrap import disk
from bootstrap.redact import redact
from bootstrap.state import LOG

LARGEST = 1 << 20  # bytes; a longer one becomes the former, and the one before that goes


class Log:
    """Lines of a time, a node and what happened there."""

    def __init__(self, directory: Path, secrets: Callable[[], Iterable[str]] = tuple) -> None:
        """`secrets` are taken out of what others said; they are only read where somebody did."""
        self.path, self._secrets, self._writing = directory / LOG, secrets, threading.Lock()
        with suppress(OSError):  # where nothing can be written, whoever has to write more than a log says so
            disk.make(directory)
            if self.path.exists() and self.path.stat().st_size > LARGEST:
                self.path.replace(self.path.with_name(f"{LOG}.1"))

    def write(self, text: str, node: str = "") -> None:
        """What we say ourselves; a disk that is full stops nothing."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = redact(text).splitlines() or [""]
        whole = "".join(f"{stamp}  [{node or 'cluster'}] {line}\n" for line in lines)
        with self._writing:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                    file.write(whole)
            except OSError:
                return

    def quote(self, text: str, node: str = "") -> None:
        """What a node, a server or Python said."""
        self.write(redact(text, self._secrets()), node)
