"""The only module that keeps what was built: whole or not at all, found by the digest of what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Recipe: TypeAlias = "str | int | list[Recipe] | dict[str, Recipe]"


def root() -> Path:
    """The cache's directory, outside every checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bootstrap-lab"


def key(name: str, recipe: Recipe) -> str:
    """`name` and the digest of what it is made from: "etcd-3.7.0-0a1b2c3d4e5f"."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def entry(name: str, recipe: Recipe, make: Callable[[Path], None]) -> Path:
    """The directory made from `recipe`; `make` fills an empty one where there is none yet.

    Killed half-way, nothing is left that a later call would take for whole. Whoever comes second waits.
    """
    wanted = root() / key(name, recipe)
    if wanted.exists():
        return wanted
    with locked(wanted.name):
        if wanted.exists():
            return wanted
        making = root() / f".{wanted.name}.making"
        if making.exists():  # the lock is ours, so whoever made this is dead
            shutil.rmtree(making)
        making.mkdir(parents=True)
        make(making)
        making.rename(wanted)
    return wanted


def clear() -> None:
    """Forget everything that was built; what is being built right now is waited for."""
    for made in [path for path in root().glob("*-*") if path.is_dir()]:
        with locked(made.name):
            gone = root() / f".{made.name}.going"
            made.rename(gone)  # half a directory is never found under its name
            shutil.rmtree(gone)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name`; it goes with whoever holds it."""
    locks = root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
