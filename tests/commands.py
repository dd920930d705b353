"""`bootstrap` as a process of its own, forked from one that has imported all of it: half a second less for each."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import sys
import tempfile
from pathlib import Path

import bootstrap as package
from bootstrap.cli import main
from tests.cluster import Ended, environment

MODULES = [each.name for each in pkgutil.walk_packages(package.__path__, "bootstrap.")]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([name for name in MODULES if name != "bootstrap.__main__"])


def bootstrap(*words: str, at: Path, **variables: str) -> Ended:
    """`bootstrap` with these words, to its end; nobody is there to be asked."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory) / "out", Path(directory) / "err"
        begun = FORKS.Process(target=_run, args=(words, at, environment() | variables, out, err))
        begun.start()
        begun.join(300)
        status = begun.exitcode
        begun.kill()
        said = out.read_text(), err.read_text()
    assert status is not None, f"bootstrap {' '.join(words)} does not end: {said}"
    return Ended(status, *said)


def _run(words: tuple[str, ...], at: Path, variables: dict[str, str], out: Path, err: Path) -> None:
    """In the new process."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    os.setsid()  # no terminal
    os.chdir(at)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["bootstrap", *words]
    main()
