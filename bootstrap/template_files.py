"""Finds what lies below templates/: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def text(name: str) -> str:
    """A file below templates/ as it is ("scripts/turn.sh"); FileNotFoundError when there is none."""
    return root().joinpath(name).read_text(encoding="utf-8")


@cache
def root() -> Traversable:
    """The directory of the templates: inside the package once installed, beside it in a checkout."""
    installed = resources.files("bootstrap").joinpath("templates")
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "templates"
