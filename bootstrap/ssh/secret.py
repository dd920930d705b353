"""Passwords and passphrases: from a file, from the environment, or from a person, who is asked once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bootstrap import asking
from bootstrap.errors import Problem
from bootstrap.ssh.faults import problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret comes from, as cluster.yaml names it; neither: a person is asked."""

    file: Path | None = None
    variable: str = ""

    @property
    def named(self) -> bool:
        """Whether nobody has to be asked."""
        return bool(self.file or self.variable)

    def read(self) -> str:
        """The secret: the variable's value, or the first line of the file. Problem where there is none."""
        try:
            text = self.file.read_text() if self.file else os.environ[self.variable]
        except OSError as error:
            raise problem("SecretMissing", {"what": f"the file {self.file}"}, error.strerror or "") from error
        except (KeyError, UnicodeDecodeError) as error:
            what = f"the file {self.file}" if self.file else f"the environment variable {self.variable}"
            raise problem("SecretMissing", {"what": what}, "it is no text" if self.file else "it is not set") from error
        return text.partition("\n")[0].removesuffix("\r")


ASKED = Source()  # nobody but a person knows it


class Secret:
    """One secret, fetched when it is first needed, and tried in one place before it is tried in others.

    A wrong password is so counted once, not once for every node, and locks nobody out.
    """

    def __init__(self, source: Source, question: str) -> None:
        """Nobody is asked yet."""
        self._source, self._question = source, question
        self._trying = threading.Lock()
        self._value: str | None = None
        self._good = False
        self._refused: Problem | None = None

    def __repr__(self) -> str:
        """Never what it is."""
        return f"Secret({self._question!r})"

    def use(self, attempt: Callable[[str], T], silent: Problem) -> T:
        """What the attempt with it returns, which raises Refused where it is wrong; `silent` where nobody tells it."""
        if not self._good:
            with self._trying:
                if self._refused:
                    raise self._refused
                if not self._good:
                    try:
                        return self._first(attempt, silent)
                    except Refused as refused:
                        self._refused = refused
                        raise
        return attempt(self._value or "")

    def _first(self, attempt: Callable[[str], T], silent: Problem) -> T:
        if self._value is None:
            told = self._source.read() if self._source.named else asking.ask(self._question)
            if told is None:
                raise silent
            self._value = told
        done = attempt(self._value)
        self._good = True
        return done


class Refused(Problem):
    """A password or a passphrase is wrong."""


class Secrets:
    """All of one run: the same question is never put twice."""

    def __init__(self) -> None:
        """None is known."""
        self._known: dict[tuple[Source, str], Secret] = {}
        self._looking = threading.Lock()

    def of(self, source: Source, question: str) -> Secret:
        """The secret from there, or, where cluster.yaml names no place, the answer to this question."""
        with self._looking:
            return self._known.setdefault((source, "" if source.named else question), Secret(source, question))
