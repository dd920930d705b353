"""Where the seconds go: spans, told to whoever listens; nothing of what was sent or read is in one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """At `at` (Unix time) something began that took so many seconds; `node` "" is the cluster, or this workstation."""

    what: str
    node: str
    at: float
    took: float
    kind: str = ""  # "ssh", "http": a node, or a server, was asked
    failed: str = ""  # the kind of error that ended it

    @property
    def ended(self) -> float:
        """Unix time."""
        return self.at + self.took


CLOCKS = 1e-4  # seconds by which a span may seem to outlive the one it is in: begin and length are of two clocks

LISTENERS: list[Callable[[Span], None]] = []  # of this process: what they are for is chosen once, on the command line
_NODE = threading.local()  # whom the thread is busy with: an HTTP request does not know through whom it goes


@contextmanager
def span(what: str, node: str = "", *, kind: str = "") -> Iterator[None]:
    """What is done in the block; within another span of the same thread, the node is that one's unless it is named."""
    if not LISTENERS:
        yield
        return
    outer = getattr(_NODE, "name", "")
    _NODE.name = node or outer
    at, began, failed = time.time(), time.perf_counter(), ""
    try:
        yield
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        told = Span(what, _NODE.name, at, time.perf_counter() - began, kind, failed)
        _NODE.name = outer
        for listener in tuple(LISTENERS):
            listener(told)


@contextmanager
def listening(listener: Callable[[Span], None]) -> Iterator[None]:
    """Every span that ends in the block is told."""
    LISTENERS.append(listener)
    try:
        yield
    finally:
        LISTENERS.remove(listener)


@dataclass(slots=True)
class Rows:
    """Spans in rows, one for each node, in which each lies beside another or within it."""

    taken: dict[tuple[str, int], list[Span]] = field(default_factory=dict)  # (node, row) -> those still open

    def place(self, span: Span) -> tuple[str, int]:
        """The first row of its node where it fits; spans come in the order in which they began, longest first."""
        row = 0
        while True:
            open_ = self.taken.setdefault((span.node, row), [])
            while open_ and open_[-1].ended <= span.at:
                open_.pop()
            if not open_ or span.ended <= open_[-1].ended + CLOCKS:
                open_.append(span)
                return span.node, row
            row += 1


def chrome(spans: Sequence[Span]) -> str:
    """A trace as chrome://tracing and ui.perfetto.dev read it, a node a thread; times are microseconds since 1970.

    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    ordered, rows, threads = sorted(spans, key=lambda span: (span.at, -span.took)), Rows(), dict[tuple[str, int], int]()
    events: list[dict[str, object]] = []
    for each in ordered:
        thread = threads.setdefault(rows.place(each), len(threads) + 1)
        event = {"name": each.what, "cat": each.kind or "bootstrap", "ph": "X", "pid": 1, "tid": thread}
        event |= {"ts": round(each.at * 1e6), "dur": round(each.took * 1e6)}
        events.append(event | {"args": {"failed": each.failed} if each.failed else {}})
    names: list[dict[str, object]] = [
        {
            "name": "thread_name",
            "ph": "M",
            "pid": 1,
            "tid": thread,
            "args": {"name": (node or "cluster") + (f" ({row + 1})" if row else "")},
        }
        for (node, row), thread in threads.items()
    ]
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": names + events}) + "\n"
