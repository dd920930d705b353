"""The terminal, where a person types a password unseen, and no live view draws over it."""

from __future__ import annotations

import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from bootstrap.cli.output import VOICE, quiet

TERMINAL = Path("/dev/tty")
_BEFORE: list[Any] = []  # how it was, while it does not show what is typed


def typed(question: str) -> str | None:
    """What somebody types; None where there is no terminal, or a program sits at it."""
    if not sys.stdin.isatty() or VOICE.lines:
        return None
    try:
        with TERMINAL.open() as terminal:
            _BEFORE[:] = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        return None
    with quiet():
        try:
            said: str = click.prompt(question, hide_input=True, err=True)
        except click.Abort:
            return None
        finally:
            _BEFORE.clear()
    return said


def restore() -> None:
    """It shows again what is typed, where somebody was asked and did not answer."""
    with suppress(OSError, termios.error), TERMINAL.open() as terminal:
        if _BEFORE:
            termios.tcsetattr(terminal, termios.TCSADRAIN, _BEFORE)
