"""What can be wrong with a cluster.yaml: a value (Wrong), at a place (Fault), on a line (Finding), in all (Invalid)."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.errors import Code, Problem

Where = tuple[str | int, ...]
"""The way from the top of the file to one value: names of fields, and indices in lists from 0."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 60  # characters of a value that an error repeats


class Wrong(ValueError):
    """One value that is not what its field wants; raised by the checks of single values."""

    def __init__(self, problem: str, hint: str = "") -> None:
        """`problem` reads on after the field's path; `hint` is what to write instead."""
        super().__init__(problem)
        self.problem, self.hint = problem, hint


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at `where`; `on_key`: with its name, so that is where it is shown."""

    where: Where
    problem: str
    hint: str = ""
    on_key: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A fault with its position, line and column from 1; findings sort as they stand in the file."""

    line: int
    column: int
    path: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        """`line:column: path: problem (hint)`."""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column}: {path}{self.problem}{hint}"


class Invalid(Problem):
    """A cluster.yaml that can't be used, with every finding at once, sorted by position."""

    def __init__(self, name: str, findings: Iterable[Finding] = (), *, what: str = "", next: str = "") -> None:
        """`name` is the file's, as errors show it; `what` and `next` are for a file that can't even be read."""
        self.name, self.findings = name, tuple(sorted(set(findings)))
        count = len(self.findings)
        super().__init__(
            what or f"{name} has {count} error{'s' if count > 1 else ''}",
            why="\n".join(f"{name}:{finding}" for finding in self.findings),
            next=next or f"correct the file, then: bootstrap config validate -f {shlex.quote(name)}",
            code=Code.WRONG_FILE,
        )


def dotted(where: Where) -> str:
    """The way as people write it: `nodes[0].labels["a/b"]`."""
    path = ""
    for step in where:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            path += f".{step}" if path else step
        else:
            path += f"[{quoted(step)}]"
    return path


def quoted(value: object) -> str:
    """A value as an error shows it: on one line, text in double quotes, shortened."""
    if isinstance(value, str) and len(value) > _SHOWN:
        value = value[: _SHOWN - 1] + "…"
    return json.dumps(value, ensure_ascii=False, default=str)


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def nearest(word: object, known: Iterable[str]) -> str:
    """`did you mean "x"?`, or "" when nothing known is like it."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {quoted(near[0])}?" if near else ""
