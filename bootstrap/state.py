"""The state directory beside cluster.yaml: credentials, known_hosts, the epoch; only its owner can read any of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from bootstrap.errors import Code, Problem

LOCK, EPOCH = "lock", "epoch"


class Store(MutableMapping[str, bytes]):
    """Credentials by name ("pki/ca.crt") as files of one directory; each is written whole or not at all."""

    def __init__(self, directory: Path) -> None:
        """The directory is made with the first write."""
        self._directory = directory

    def __getitem__(self, name: str) -> bytes:
        """KeyError when there is none."""
        try:
            return (self._directory / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise KeyError(name) from error
        except OSError as error:
            raise self._problem("read", name, error) from error

    def __setitem__(self, name: str, content: bytes) -> None:
        """Mode 0600 from the first byte."""
        path = self._directory / name
        try:
            for parent in reversed([path.parent, *path.parent.parents]):
                if not parent.exists():
                    parent.mkdir(mode=0o700)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            fresh.replace(path)
        except OSError as error:
            raise self._problem("write", name, error) from error

    def __delitem__(self, name: str) -> None:
        """KeyError when there is none."""
        try:
            (self._directory / name).unlink()
        except FileNotFoundError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        """Every name, sorted; never what a killed write left."""
        paths = sorted(path for path in self._directory.rglob("*") if path.is_file())
        return (str(path.relative_to(self._directory)) for path in paths if not path.name.startswith("."))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)

    def _problem(self, verb: str, name: str, error: OSError) -> Problem:
        return Problem(
            f"can't {verb} {self._directory / name}",
            why=error.strerror or str(error),
            next=f"mend the directory (ls -ld {self._directory}; df {self._directory.parent}) and run it again",
        )


def directory(file: Path, cluster: str) -> Path:
    """Where a cluster's state lies: beside the file that describes it."""
    return file.resolve().parent / ".bootstrap" / cluster


def epoch(store: Mapping[str, bytes]) -> int:
    """The highest epoch at which this workstation, or one whose state it has, took the cluster's lock; 0 before."""
    return int(store.get(EPOCH, b"0"))


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Nobody else on this workstation writes the directory meanwhile; the cluster's own lock is `bootstrap.lock`."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Problem(f"can't write the state directory {state}", why=error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 100).decode(errors="replace").strip()
            raise Problem(
                f"another bootstrap writes {state}: process {holder or 'unknown'}",
                next="wait until it ends, then run the command again",
                code=Code.LOCKED,
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
