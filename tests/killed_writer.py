"""Writes a state directory in children that are killed, each a little later: `python -m tests.killed_writer DIRECTORY`.

Killed before every call by which Python touches a file, and in the middle of every file, by a limit of its size. A
program of its own, since only one without threads may fork. It prints one line for every child.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from bootstrap import credentials
from bootstrap.state import JOURNAL, LOCK, Store
from tests.stores import NOW, ONE, cluster, issued_for

MOST = 2000  # calls; a writer that needs more is not of this state
SPARE = (1, 10, 100, 300, 500, 700, 1000, 2000)  # bytes that a file may have


def main(directory: Path) -> None:
    """Every death of: a first state, a renewal that also takes something away, and credentials issued to the disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python would go on with an error
    wanted = cluster({}, ONE)
    whole = issued_for(wanted)
    later = dict(whole)
    credentials.issue(wanted, later, NOW + timedelta(days=340))
    leaf = [f"operator/etcd.{half}" for half in ("crt", "key")]
    first = {name: whole[name] for name in (*leaf, "pki/ca.key", "pki/ca.crt", "pki/etcd/ca.crt", "encryption.key")}
    renewed = {name: later[name] for name in leaf}
    left = {name: content for name, content in (first | renewed).items() if name != "pki/etcd/ca.crt"}
    sweep("first", directory, {}, first, lambda store: store.put(first))
    sweep("renewal", directory, first, left, lambda store: store.put(renewed, drop=["pki/etcd/ca.crt"]))
    sweep("epoch", directory, {"epoch": b"7\n"}, {"epoch": b"8\n"}, lambda store: store.put({"epoch": b"8\n"}))


def sweep(
    title: str, top: Path, was: Mapping[str, bytes], will: Mapping[str, bytes], write: Callable[[Store], None]
) -> None:
    """Killed at every point of `write`, which makes of one state the other."""

    def look(directory: Path) -> str:
        seen = {name: content for name, content in Store(directory).items() if name != LOCK}
        return "old" if seen == dict(was) else "new" if seen == dict(will) else "neither"

    directory, alive = top / "state", False
    for point in (*(-size for size in SPARE), *range(1, MOST)):
        if alive:
            break
        if was:
            Store(directory).put(was)
        died = killed(lambda: write(Store(directory)), point)
        found = look(directory)
        again = dict(was) if found == "old" else dict(will)
        Store(directory).put({"nodes.json": b"{}\n"})  # the next run goes on
        after = lies(directory)
        clean = after == again | {"nodes.json": b"{}\n"} and not list(directory.rglob(".*"))
        print(json.dumps({"title": title, "point": point, "died": died, "found": found, "clean": clean}), flush=True)
        shutil.rmtree(directory)
        alive = not died and point > 0


def killed(write: Callable[[], None], point: int) -> bool:
    """Whether a child that does it dies: before its call of this number, or once a file is of this size."""
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError(f"the writer failed at {point}")
        return os.WIFSIGNALED(status)
    calls = 0

    def count(event: str, _: object) -> None:
        nonlocal calls
        if event == "open" or event.startswith("os."):
            calls += 1
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        if point > 0:
            sys.addaudithook(count)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (-point, -point))
        write()
    except BaseException:
        os._exit(1)
    os._exit(0)


def lies(directory: Path) -> dict[str, bytes]:
    """What is in its place, journal or not."""
    names = (path for path in directory.rglob("*") if path.is_file() and path.name not in (LOCK, JOURNAL))
    return {str(path.relative_to(directory)): path.read_bytes() for path in names}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
