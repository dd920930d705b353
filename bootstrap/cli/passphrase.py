"""Where a passphrase comes from: the file that was named, the environment, or who sits at the terminal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import Code, Problem

VARIABLE = "BOOTSTRAP_PASSPHRASE"


@dataclass(slots=True)
class Source:
    """As the command line says."""

    file: Path | None = None


SOURCE = Source()


def known(what: str) -> bytes:
    """That of something which has one; Problem when nobody can tell."""
    return _given() or _typed(what, twice=False)


def chosen(what: str) -> bytes:
    """A new one for this; who types it does so twice."""
    return _given() or _typed(what, twice=True)


def _given() -> bytes:
    if SOURCE.file:
        try:
            secret = SOURCE.file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise Problem(
                f"can't read {SOURCE.file}",
                why=error.strerror or str(error),
                next="name the file that holds the passphrase: --passphrase-file FILE",
                code=Code.USAGE,
            ) from error
        if not secret:
            raise Problem(f"{SOURCE.file} holds no passphrase", next="write it into the file", code=Code.USAGE)
        return secret
    return os.environb.get(VARIABLE.encode(), b"")


def _typed(what: str, *, twice: bool) -> bytes:
    from bootstrap.cli.output import note
    from bootstrap.cli.terminal import typed
    from bootstrap.credentials import nobody

    while said := typed(f"{'new ' * twice}passphrase of {what}"):
        if not twice or typed("the same again") == said:
            return said.encode()
        note("they differ: once more")
    return nobody(what)
