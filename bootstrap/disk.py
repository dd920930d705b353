"""The disk of this workstation: files written whole or not at all, of the right mode from the first byte."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bootstrap.errors import Code, Problem

ANOTHER = "name another file, or make room for it"
WRITE = os.O_WRONLY | os.O_CREAT


def write(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    lasting: bool = True,
    fresh: Path | None = None,
    next: str = ANOTHER,
) -> None:
    """Whoever reads `path`, now or after a kill, finds what was there or all of this; Problem where it can't be.

    Made as `fresh`, beside it, over what a kill may have left there. With `lasting` a power cut takes nothing of it
    either. What is there and no plain file (/dev/stdout, a pipe, a link) is not replaced, but written into.
    """
    with told("write", path, next):
        if plain := _plain(path):
            _replace(path, content, mode, fresh or path.with_name(f".{path.name}.new"), lasting=lasting)
    if not plain:
        with told("write into", path, next), os.fdopen(os.open(path, WRITE | os.O_TRUNC, mode), "wb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fchmod(file.fileno(), mode)
            file.write(content)


@contextmanager
def told(verb: str, path: Path, next: str, code: Code = Code.FAILED) -> Iterator[None]:
    """What the system refuses in the block is a Problem: "can't <verb> <path>"."""
    try:
        yield
    except OSError as error:
        whole = "; nothing is half written" if verb == "write" else ""
        raise Problem(f"can't {verb} {path}", why=f"{error.strerror or error}{whole}", next=next, code=code) from error


def make(directory: Path) -> None:
    """It is there, with all above it, its owner's alone where they are new, and outlives a power cut; OSError."""
    if not directory.exists():
        make(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        sync(directory.parent)


def flush(path: Path) -> None:
    """It is on the disk, which only now may turn out to be full: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(directory: Path) -> None:
    """Names in it outlive a power cut; some file systems can't be asked for that."""
    with suppress(OSError):
        flush(directory)


def _plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _replace(path: Path, content: bytes, mode: int, fresh: Path, *, lasting: bool) -> None:
    try:
        with os.fdopen(_new(fresh, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    if lasting:
        sync(path.parent)


def _new(path: Path, mode: int) -> int:
    """Nobody else's: who made what is there already, if not a writer that was killed, would read along."""
    try:
        return os.open(path, WRITE | os.O_EXCL, mode)
    except FileExistsError:
        path.unlink()
        return os.open(path, WRITE | os.O_EXCL, mode)
