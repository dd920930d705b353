"""What `bootstrap state` does: a state directory to another workstation and back, and its keys under a passphrase."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bootstrap import credentials, disk, sealed, spec, state
from bootstrap.credentials import Passphrase
from bootstrap.errors import Code, Problem
from bootstrap.sealed import Head
from bootstrap.state import Store

FORCE = "--force"


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import has done."""

    head: Head
    directory: Path
    files: int
    aside: Path | None = None  # where what was there before lies now


def leave(file: Path, target: Path, passphrase: Passphrase, *, force: bool = False) -> Head:
    """Writes the state of the cluster of this file to `target`, under a passphrase; Problem when there is none."""
    cluster = spec.load(file)
    store = state.opened(state.directory(file, cluster.name))
    found = store.all()
    if "pki/ca.crt" not in found:
        raise Problem(
            f"there is no state to export in {store.directory}",
            why="this cluster was not founded from here",
            next="bootstrap init",
            code=Code.LOCKED,
        )
    head = Head(cluster.name, credentials.uid(found), state.epoch(found))
    if target.exists() and not force:
        raise Problem(f"{target} is there already", next=f"choose another name, or: {FORCE}", code=Code.USAGE)
    disk.write(target, sealed.seal(found, head, passphrase(str(target))))
    return head


def take(file: Path, source: Path, passphrase: Passphrase, *, force: bool = False) -> Taken:
    """Makes what `leave` wrote the state of the cluster of this file.

    Problem, with nothing changed, when another cluster's or a newer state is there; with `force` that goes aside.
    """
    name = spec.load(file).name
    store = state.opened(state.directory(file, name))
    try:
        text = source.read_bytes()
        head = sealed.head(text)
    except (OSError, sealed.Damaged) as error:
        raise _unreadable(source, getattr(error, "strerror", None) or str(error)) from error
    if head.cluster != name:
        raise Problem(
            f"{source} is the state of {head.cluster}, and {file} describes {name}",
            next=f"name the right cluster.yaml with -f, or correct name in {file}",
            code=Code.LOCKED,
        )
    with store.alone():
        keep = _contested(store, head, source)
        if keep and not force:
            raise keep
        try:
            files = sealed.unseal(text, passphrase(str(source)))
        except sealed.WrongPassphrase as wrong:
            raise credentials.wrong_passphrase(str(source), str(wrong)) from wrong
        except sealed.Damaged as wrong:
            raise _unreadable(source, str(wrong)) from wrong
        aside, fresh = None, store.directory.with_name(f".{store.directory.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)  # of an import that was killed
        if keep:
            aside = _aside(store.directory, files, fresh)
        else:
            store.put(files, drop=store.all().keys() - files.keys())
    return Taken(head, store.directory, len(files), aside)


def encrypt(file: Path, passphrase: Passphrase) -> list[str]:
    """The authorities' keys lie encrypted in the state directory from now on; the names of those that did not."""
    return _rewritten(file, passphrase, decrypts=False)


def decrypt(file: Path, passphrase: Passphrase) -> list[str]:
    """The authorities' keys lie in clear in the state directory from now on; the names of those that did not."""
    return _rewritten(file, passphrase, decrypts=True)


def _rewritten(file: Path, passphrase: Passphrase, *, decrypts: bool) -> list[str]:
    store = state.opened(state.directory(file, spec.load(file).name))
    change = credentials.decrypt if decrypts else credentials.encrypt
    if "pki/ca.key" not in store:  # before anything is written
        change(store, passphrase)
    with store.alone():
        made = change(store, passphrase)
        store.put(made)
    return sorted(made)


def _unreadable(source: Path, why: str) -> Problem:
    return Problem(
        f"can't read {source}", why=why, next="export it again: bootstrap state export FILE, and bring all of it here"
    )


def _contested(store: Store, head: Head, source: Path) -> Problem | None:
    """Why what is here should rather stay, if so."""
    way = f"if it is to take the place of what is here, which then goes aside: {FORCE}"
    try:
        here = store.all()
        if not any(name.startswith("pki/") for name in here):
            return None
        ours, epoch = credentials.uid(here), state.epoch(here)
    except (KeyError, Problem) as wrong:
        return Problem(
            f"what lies in {store.directory} is damaged, and may be of any cluster",
            why=wrong.what if isinstance(wrong, Problem) else f"{wrong.args[0]} is missing",
            next=way,
            code=Code.LOCKED,
        )
    if ours != head.uid:
        return Problem(
            f"{store.directory} has the keys of another cluster",
            why=f"{source} is of cluster {head.uid}, here is {ours}",
            next=f"name the right cluster.yaml with -f\n{way}",
            code=Code.LOCKED,
        )
    if epoch > head.epoch:
        return Problem(
            f"the state in {store.directory} is newer than {source}",
            why=f"here is epoch {epoch}, {source} is of epoch {head.epoch}",
            next=f"export it again where the cluster was changed last\n{way}",
            code=Code.LOCKED,
        )
    return None


def _aside(directory: Path, files: dict[str, bytes], fresh: Path) -> Path:
    """Moves all that is there aside, whatever it is, and puts these, made ready in `fresh`, in its place; where to."""
    former = directory.with_name(f"{directory.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}")
    Store(fresh).put(files)
    try:
        directory.rename(former)
        fresh.rename(directory)
    except OSError as error:
        raise Problem(
            f"can't move {directory} aside",
            why=error.strerror or str(error),
            next=f"mv {directory} {former}, then again",
        ) from error
    return former
