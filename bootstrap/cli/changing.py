"""What init, apply and reset have in common: look, plan, ask what is allowed, run, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bootstrap import checks, state
from bootstrap.cli import output, show
from bootstrap.errors import Code, Problem
from bootstrap.plan import Plan, allowed
from bootstrap.run import Outcome
from bootstrap.workflow import Session
from bootstrap.world import World


@dataclass(frozen=True, slots=True)
class Change:
    """A command that may change something."""

    command: str
    path: Path
    timeout: float
    ask: bool = False
    everyone_leaves: bool = False


def change(asked: Change) -> int:
    """Do it; the exit code."""
    with (
        output.progress(f"bootstrap {asked.command}") as report,
        Session(asked.path, report, wait=asked.timeout) as session,
        state.locked(session.directory),
    ):
        session.keep()
        everyone = frozenset(node.name for node in session.cluster.nodes)
        world = session.world(leaving=everyone if asked.everyone_leaves else frozenset())
        return _changed(asked, session, world)


def _changed(asked: Change, session: Session, world: World) -> int:
    refuse_unreachable(session, world)
    plan = session.plan(world)
    if not plan.waves:
        if plan.blocked:
            raise Problem(plan.blocked, next="bootstrap status", code=Code.FAILED)
        output.note("nothing to do: everything is as cluster.yaml says")
        return Code.DONE
    if not asked.everyone_leaves:
        checks.refuse(session.cluster, world)
    if not all(allowed(asked.command, wave, world) for wave in plan.waves):
        show.plan(plan, world)
        raise Problem(
            f"cluster.yaml asks for changes that {asked.command} must not make: a part that runs would stop",
            next="bootstrap apply",
            code=Code.CHANGES,
        )
    if asked.ask:
        show.plan(plan, world)
        click.confirm("go on?", abort=True, err=True)
    return _ended(session, plan, session.run(world, plan))


def _ended(session: Session, plan: Plan, outcome: Outcome) -> int:
    for node, why in outcome.failed.items():
        output.complain(Problem(f"{node} failed", why=why))
    again = "mend what is named above, then run the same command again: it goes on where this one ended"
    if outcome.failed:
        some = any(outcome.done)
        names = ", ".join(outcome.failed)
        raise Problem(
            f"{names} did not get through" + ("; the rest is done" if some and not outcome.stopped else ""),
            next=again,
            code=Code.SOME_FAILED if some and not outcome.stopped else Code.FAILED,
        )
    if outcome.stopped:
        raise Problem(outcome.stopped, next=again, code=Code.FAILED)
    if plan.blocked:
        raise Problem(plan.blocked, next="bootstrap status", code=Code.FAILED)
    return Code.DONE


def refuse_unreachable(session: Session, world: World) -> None:
    """A control-plane node that can't be reached ends the command before anything has changed, when it is needed."""
    if not session.hosts.unreachable:
        return
    for problem in session.hosts.unreachable.values():
        output.complain(problem)
    if not world.facts or not world.members:
        names = ", ".join(sorted(session.hosts.unreachable))
        raise Problem(f"{names} can't be reached; nothing has changed", code=Code.UNREACHABLE)
