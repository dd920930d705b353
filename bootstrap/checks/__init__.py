"""Preflight, one row each: what a node must have, or must not, before anything of ours goes there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from bootstrap.checks.check import Check, Finding, Ground, Level, Seen, found
from bootstrap.checks.disk import DISK
from bootstrap.checks.machine import MACHINE
from bootstrap.checks.network import NETWORK
from bootstrap.checks.runtime import RUNTIME, absent
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster

__all__ = ["CHECKS", "Check", "Finding", "Ground", "Level", "Seen", "absent", "chosen", "findings", "line", "refuse"]

CHECKS: tuple[Check, ...] = (*MACHINE, *RUNTIME, *DISK, *NETWORK)


def findings(cluster: Cluster, seen: Seen, ignored: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Of every node that answered, in the file's order; of those with a survey, by every row."""
    return tuple(
        finding
        for node in cluster.nodes
        if node.name in seen.facts
        for check in CHECKS
        if node.name in seen.surveys or not check.surveyed
        for finding in found(check, Ground(cluster, node, seen), ignored)
    )


def refuse(told: Iterable[Finding]) -> None:
    """Problem with every finding of every node at once, where one of them stops."""
    every = tuple(told)
    if errors := [each for each in every if each.stops]:
        raise Problem(
            f"{len(errors)} finding{'s' if len(errors) > 1 else ''} before anything was changed",
            why="\n".join(map(line, every)),
            next="\n".join(
                dict.fromkeys(
                    [
                        *(each.next for each in errors),
                        "bootstrap preflight looks again; --ignore-preflight-errors goes on",
                    ]
                )
            ),
            code=Code.REFUSED,
        )


def line(finding: Finding) -> str:
    """A finding for people."""
    mark = "" if finding.stops else " (ignored)" if finding.ignored else " (warning)"
    return f"{finding.node}: {finding.name}: {finding.sentence}{mark}"


def chosen(names: Iterable[str]) -> frozenset[str]:
    """The findings to go on with, as --ignore-preflight-errors names them; Problem (USAGE) where nothing is so called.

    Upper and lower case are the same; a name stands for every finding whose name begins with it.
    """
    asked = frozenset(name.strip().lower() for name in names if name.strip())
    families = list(dict.fromkeys(part for check in CHECKS for part in (check.family, check.family.partition("-")[0])))
    known = {family.lower() for family in families} | {"all"}
    for name in sorted(asked):
        if name not in known and not any(check.pattern.fullmatch(name) for check in CHECKS):
            near = get_close_matches(name, known, 1) or get_close_matches(name.partition("-")[0], known, 1)
            right = next((family for family in families if near and family.lower() == near[0]), "")
            raise Problem(
                f"there is no check {name!r}",
                why=f"did you mean {right}?" if right else "",
                next="bootstrap preflight shows every finding with its name; docs/faults.md lists them",
                code=Code.USAGE,
            )
    return asked
