"""The state directory beside cluster.yaml: credentials, known_hosts, the epoch; only its owner can read any of it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from bootstrap import disk
from bootstrap.errors import Code, Problem

LOCK, EPOCH, KNOWN_HOSTS, LOG = "lock", "epoch", "known_hosts", "bootstrap.log"
FRESH = ".new"  # what is being written: if a kill leaves it behind, the next write is over it
JOURNAL = ".journal"  # changes that hold, and are perhaps not all in their places yet
ITS_OWN = (LOCK, LOG, f"{LOG}.1")  # of this directory: not what a cluster is known by


class Store(MutableMapping[str, bytes]):
    """Credentials by name ("pki/ca.crt") as files of one directory.

    What is put together is there together or not at all, whenever whoever wrote was killed: it is written to a journal,
    holds once that has its name, and then goes to its places, at the latest when somebody writes again.
    """

    def __init__(self, directory: Path) -> None:
        """The directory is made with the first write."""
        self.directory = directory
        self._alone = False
        self._begun: tuple[object, Mapping[str, bytes | None]] = None, {}  # the journal, and which one it was

    def __getitem__(self, name: str) -> bytes:
        """KeyError when there is none."""
        begun = self._journal()
        content = begun[name] if name in begun else self._read(name)
        if content is None:
            raise KeyError(name)
        return content

    def __setitem__(self, name: str, content: bytes) -> None:
        """Mode 0600 from the first byte."""
        self.put({name: content})

    def __delitem__(self, name: str) -> None:
        """KeyError when there is none."""
        if name not in self:
            raise KeyError(name)
        self.put({}, drop=[name])

    def update(self, files: Mapping[str, bytes]) -> None:  # type: ignore[override] # together, not one after the other
        """All of it or nothing."""
        self.put(files)

    def __iter__(self) -> Iterator[str]:
        """Every name, sorted; never what a killed write left."""
        paths = (path for path in self.directory.rglob("*") if path.is_file() and not path.name.startswith("."))
        lie = {str(path.relative_to(self.directory)) for path in paths}
        begun = self._journal()
        return iter(sorted((lie | begun.keys()) - {name for name, content in begun.items() if content is None}))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)

    def put(self, files: Mapping[str, bytes], drop: Iterable[str] = ()) -> None:
        """Writes these and deletes those: all of it or nothing."""
        changes: dict[str, bytes | None] = {**dict.fromkeys(drop), **files}
        with self.alone():
            self._finish()
            if len(changes) > 1:
                self._write(JOURNAL, json.dumps({name: _text(content) for name, content in changes.items()}).encode())
                self._finish()
            else:
                self._apply(changes)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else on this workstation writes the directory meanwhile; the cluster's lock is `bootstrap.lock`."""
        if self._alone:
            yield
            return
        with self._told("write", LOCK):
            disk.make(self.directory)
            descriptor = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._flock(descriptor, fcntl.LOCK_EX)
            with suppress(OSError):  # on a full disk nobody can be told who it is
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            self._alone = True
            yield
        finally:
            self._alone = False
            os.close(descriptor)

    def all(self) -> dict[str, bytes]:
        """What a cluster is known by, at one moment: nobody writes meanwhile, and the disk may be read-only."""
        descriptor = None
        with suppress(OSError):  # nobody has ever written
            descriptor = os.open(self.directory / LOCK, os.O_RDONLY)
        try:
            if descriptor is not None and not self._alone:
                self._flock(descriptor, fcntl.LOCK_SH)
            return {name: self[name] for name in self if name not in ITS_OWN}
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _flock(self, descriptor: int, kind: int) -> None:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            raise Problem(
                f"another bootstrap writes {self.directory}: process {holder or 'unknown'}",
                next="wait until it ends, then run the command again",
                code=Code.LOCKED,
            ) from error

    def _read(self, name: str) -> bytes | None:
        with self._told("read", name), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return (self.directory / name).read_bytes()
        return None

    def _journal(self) -> Mapping[str, bytes | None]:
        path = self.directory / JOURNAL
        try:
            found = path.stat()
        except OSError:
            return {}
        same = found.st_ino, found.st_mtime_ns, found.st_size
        if self._begun[0] != same:
            self._begun = same, self._parsed(path)
        return self._begun[1]

    def _parsed(self, path: Path) -> Mapping[str, bytes | None]:
        try:
            text = self._read(path.name)
            changes = {} if text is None else json.loads(text)  # None: somebody has just finished it
            return {name: None if each is None else b64decode(each) for name, each in changes.items()}
        except (ValueError, AttributeError, TypeError) as wrong:
            raise Problem(
                f"{path} is damaged",
                why="it holds what was written last, and it can't be told what of that has reached its place",
                next="put the state back as it was: bootstrap state import FILE --force\n"
                f"if there is no copy: rm {shlex.quote(str(path))}; bootstrap plan tells what is missing then",
                code=Code.LOCKED,
            ) from wrong

    def _finish(self) -> None:
        """What somebody began."""
        if begun := self._journal():
            self._apply(begun)
            self._apply({JOURNAL: None})

    def _apply(self, changes: Mapping[str, bytes | None]) -> None:
        """Several are on the disk only after the last of them: a journal holds them until then."""
        together = len(changes) > 1
        for name, content in changes.items():
            if content is None:
                with self._told("delete", name):
                    (self.directory / name).unlink(missing_ok=True)
            else:
                self._write(name, content, lasting=not together)
        for name, content in changes.items():  # together: a file system then writes most of them at once
            if content is not None and together:
                with self._told("write", name):
                    disk.flush(self.directory / name)
        for each in sorted({(self.directory / name).parent for name in changes if together or changes[name] is None}):
            disk.sync(each)

    def _write(self, name: str, content: bytes, *, lasting: bool = True) -> None:
        path = self.directory / name
        with self._told("write", name):
            disk.make(path.parent)
        disk.write(path, content, lasting=lasting, fresh=self.directory / FRESH, next=self._way)

    def _told(self, verb: str, name: str) -> AbstractContextManager[None]:
        return disk.told(verb, self.directory / name, self._way)

    @property
    def _way(self) -> str:
        place = shlex.quote(str(self.directory))
        return f"make room, or give yourself the right to write (df -h {place}; ls -ld {place}), and run it again"


def directory(file: Path, cluster: str) -> Path:
    """Where a cluster's state lies: beside the file that describes it."""
    return file.resolve().parent / ".bootstrap" / cluster


def opened(directory: Path) -> Store:
    """The state that lies there, if any; Problem (LOCKED) when anybody but its owner can read its secrets or write."""
    if loose := sorted(_loose(directory)):
        name, mode = loose[0]
        more = f", and {len(loose) - 1} more" if len(loose) > 1 else ""
        raise Problem(
            f"the state is open to others on this machine: {name} has mode {mode:04o}{more}",
            why="whoever has its keys is the cluster's administrator",
            next=f"chmod -R go= {shlex.quote(str(directory))}, and run it again",
            code=Code.LOCKED,
        )
    return Store(directory)


def _loose(directory: Path) -> Iterator[tuple[Path, int]]:
    for path in (directory, *directory.rglob("*")):
        try:
            mode = path.lstat().st_mode
        except OSError:  # it was there a moment ago
            continue
        public = stat.S_ISDIR(mode) or path.suffix in (".crt", ".pub") or path.name in (KNOWN_HOSTS, EPOCH, LOCK)
        if not stat.S_ISLNK(mode) and mode & (0o022 if public else 0o077):
            yield path, stat.S_IMODE(mode)


def epoch(store: Mapping[str, bytes]) -> int:
    """The highest epoch at which this workstation, or one whose state it has, took the cluster's lock; 0 before."""
    try:
        return int(store.get(EPOCH, b"0"))
    except ValueError as wrong:
        raise Problem(
            f"{EPOCH} in the state directory is damaged",
            why="it is the number by which a state is known to be older than the nodes",
            next="write 0 into it: if a node knows a higher one, the next command names it",
            code=Code.LOCKED,
        ) from wrong


def _text(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()
