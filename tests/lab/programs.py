"""The only module that runs programs on this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bootstrap.errors import Problem


def run(argv: Sequence[str | Path], *, stdin: str = "", cwd: Path | None = None, next: str = "") -> str:
    """Standard output of the program; a Problem with its last words, and `next`, when it fails."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, cwd=cwd, check=False)
    except FileNotFoundError as missing:
        raise Problem(f"there is no program {argv[0]}", next=next or "python -m tests.lab deps") from missing
    if done.returncode:
        raise failure(argv, done.returncode, done.stderr or done.stdout, next=next)
    return done.stdout


def works(argv: Sequence[str | Path]) -> bool:
    """Whether the program is there and exits 0; what it prints is thrown away."""
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def follow(
    argv: Sequence[str | Path],
    line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    next: str = "",
) -> None:
    """Run a long program, handing every line it prints to `line` as it comes; a Problem when it fails."""
    wanted = {**os.environ, **(env or {})}
    last: list[str] = []
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=wanted,
    ) as running:
        assert running.stdout is not None
        for text in running.stdout:
            last = [*last[-19:], text.rstrip()]
            line(text.rstrip())
    if running.returncode:
        raise failure(argv, running.returncode, "\n".join(last), next=next)


def failure(argv: Sequence[str | Path], code: int, said: str, *, next: str = "") -> Problem:
    """The Problem of a program that ended with `code`; its last 20 lines are the reason."""
    name = " ".join([Path(argv[0]).name, *(str(word) for word in argv[1:])])
    name = name if len(name) <= 160 else f"{name[:160]}…"
    return Problem(f"`{name}` ended with {code}", why="\n".join(said.strip().splitlines()[-20:]), next=next)
