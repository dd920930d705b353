"""What the commands that change something have in common: look, plan, ask what is allowed, run, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from bootstrap import paths, planned, saved
from bootstrap.cli import output, passphrase, show
from bootstrap.cli.interrupt import finishing
from bootstrap.errors import Code, Problem
from bootstrap.machines import Opened
from bootstrap.plan import Plan
from bootstrap.run import MOVED, Outcome
from bootstrap.scope import EVERYTHING, Scope
from bootstrap.workflow import Session
from bootstrap.world import World, may_touch


@dataclass(frozen=True, slots=True)
class Change:
    """A command that may change something."""

    command: str
    opened: Opened
    timeout: float
    wait: float  # seconds, for a lock that somebody else holds
    ask: bool = False
    leaving: tuple[str, ...] | None = ()  # nodes that leave; None: all of them
    scope: Scope = EVERYTHING
    kept: Path | None = None  # a plan that was kept: this and nothing else
    dry: bool = False  # everything but writing
    back: tuple[str, ...] | None = None  # nodes that go back to their former generation; (): all of them
    purge: bool = False  # who leaves keeps nothing of etcd's data
    only: tuple[str, ...] = ()  # of the nodes that the cluster lacks, these alone come; (): all of them
    ignored: tuple[str, ...] = ()  # preflight findings that do not stop it


def change(asked: Change) -> int:
    """Do it; the exit code."""
    progress = output.Progress(f"bootstrap {asked.command}")
    with Session(
        asked.opened,
        progress.report,
        wait=asked.timeout,
        scope=asked.scope,
        passphrase=passphrase.known,
        ignored=asked.ignored,
    ) as session:
        began, status = time.monotonic(), None
        while status is None:
            with progress.shown():
                world = _look(asked, session)
            final = time.monotonic() - began > asked.timeout
            status = _changed(asked, session, world, progress, final=final)
        if status == Code.DONE and world.leaving:
            _farewell(session, world, asked)
        elif status == Code.DONE and world.former:
            output.note("cluster.yaml still asks for what was rolled back; next: bootstrap plan")
        elif status == Code.DONE and (waiting := session.without_network()):
            output.note(f"{', '.join(waiting)}: not Ready until your network plugin runs (networking.plugin is none)")
        return status


def scope(nodes: tuple[str, ...], held: tuple[str, ...]) -> Scope:
    """What --nodes and --skip-phases say."""
    return Scope(frozenset(nodes) or None, frozenset(held))


def _look(asked: Change, session: Session) -> World:
    names = session.hosts.addresses.keys()
    return session.world(
        leaving=frozenset(names | session.hosts.former if asked.leaving is None else asked.leaving),
        only=frozenset(asked.only),
        back=None if asked.back is None else frozenset(asked.back),
        purge=asked.purge,
    )


def _farewell(session: Session, world: World, asked: Change) -> None:
    """Nothing binds us to these nodes any more; what is left for people to do."""
    session.forget(world.leaving, world.facts.keys())
    if kept := asked.purge and sorted(n for n, told in world.facts.items() if told.aside and not told.record.files):
        output.note(f"{', '.join(kept)}: was reset before; etcd's data is there still; there: rm -rf {paths.ASIDE}")
    named = sorted(world.leaving & session.hosts.addresses.keys())
    if named and asked.leaving is not None:
        output.note(
            f"next: delete the entry of {', '.join(named)} in {asked.opened.file}; until then plan shows it as joining"
        )
    for node in sorted(world.leaving - world.facts.keys()):
        if node in session.hosts.nodes:
            output.note(f"{node} did not answer: it has its files still; once it is back: bootstrap remove {node}")
        else:
            output.note(f"next: on {node}, if it is there still: kubeadm reset -f")


def _refuse_unknown(session: Session, world: World) -> None:
    """Problem when somebody is to leave of whom neither the file, nor the last runs, nor the cluster knows."""
    known = session.hosts.nodes.keys() | world.nodes.keys() | (world.members or {}).keys()
    if unknown := sorted(world.leaving - known):
        raise Problem(
            f"nobody knows a node {unknown[0]}",
            why=f"there are {', '.join(sorted(known))}",
            next="name one of these; bootstrap status shows them",
            code=Code.USAGE,
        )


def _changed(asked: Change, session: Session, world: World, progress: output.Progress, *, final: bool) -> int | None:
    """The exit code; None: look again, unless it is `final`.

    What could not be asked before can be now; or parts that a former run began came up meanwhile, and nobody has said
    yes to this very plan.
    """
    warn_unreachable(session, world)
    _refuse_unknown(session, world)
    plan = session.plan(world)
    _refuse(asked, session, world, plan)
    if not plan.waves:
        return _idle(asked, session, world, plan)
    if asked.ask or asked.dry:
        show.plan(planned.look(session, plan, world))
    if asked.dry:
        output.note("nothing was changed: --dry-run")
        return Code.CHANGES
    if asked.ask:
        confirm("go on?")
    with progress.shown():
        if session.take(asked.command, wait=asked.wait):
            world = _look(asked, session)  # the run compares it with what was approved
        session.keep()
        with finishing(session):
            outcome = session.run(world, plan)
    final = final or asked.kept is not None
    moved = outcome.stopped == MOVED and not asked.ask
    if not outcome.failed and not final and (moved or (plan.blocked and not outcome.stopped)):
        return None
    return _ended(session, world, plan, outcome)


def _refuse(asked: Change, session: Session, world: World, plan: Plan) -> None:
    """Problem when the command may not, or a plan was kept and this is not what is left of it."""
    if plan.waves or plan.blocked:
        try:
            output.warn(session.refuse(asked.command, world, plan))
        except Problem as problem:
            if problem.code is Code.CHANGES:
                show.plan(planned.look(session, plan, world))
            raise
    if asked.kept:
        made = saved.tree(plan, world, session.wants.uid, session.scope.held)
        saved.refuse(saved.read(asked.kept), made, world, asked.kept)


def _idle(asked: Change, session: Session, world: World, plan: Plan) -> int | None:
    """How a run ends that has nothing to do; None: look again."""
    if plan.blocked:
        raise Problem(plan.blocked, next="bootstrap status")
    if session.issued and not asked.dry:
        if session.take(asked.command, wait=asked.wait):
            return None
        session.keep()
    if not session.hosts.unreachable:
        rolled = asked.back is not None
        what = "no node has a generation to go back to" if rolled else "everything is as cluster.yaml says"
        output.note(f"nothing to do: {what}")
    return _left(session, world)


def confirm(question: str) -> None:
    """Problem (INTERRUPTED) unless somebody says yes."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        raise Problem(
            "nothing was changed", why="nobody said yes", next="--yes does not ask", code=Code.INTERRUPTED
        ) from None


def _left(session: Session, world: World) -> int:
    """How a run ends that did all it could: some nodes could not be reached, or the file no longer names them."""
    missing = sorted(n for n in session.hosts.unreachable.keys() - world.leaving if may_touch(world, n))
    if missing:
        raise Problem(
            f"{', '.join(missing)} can't be reached; the rest is as cluster.yaml says",
            next="run the same command again once they answer",
            code=Code.SOME_FAILED,
        )
    if unnamed := session.unnamed(world):
        raise Problem(
            f"{', '.join(unnamed)}: in the cluster, and not in cluster.yaml; left alone",
            next=f"put the entry back, or let it go: bootstrap remove {unnamed[0]}",
            code=Code.CHANGES,
        )
    return Code.DONE


def _ended(session: Session, world: World, plan: Plan, outcome: Outcome) -> int:
    for node, why in outcome.failed.items():
        output.complain(Problem(f"{node} failed", why=why), node=node)
    again = "mend what is named above, then run the same command again: it goes on where this one ended"
    if outcome.failed:
        some = any(outcome.done)
        names = ", ".join(outcome.failed)
        raise Problem(
            f"{names} did not get through" + ("; the rest is done" if some and not outcome.stopped else ""),
            why=outcome.stopped,
            next=again,
            code=Code.SOME_FAILED if some and not outcome.stopped else Code.FAILED,
        )
    if outcome.stopped == MOVED and not any(outcome.done):
        raise Problem(f"{MOVED}; nothing was changed", next="bootstrap plan", code=Code.CHANGES)
    if outcome.stopped:
        raise Problem(outcome.stopped, next=again, code=Code.FAILED)
    if plan.blocked:
        raise Problem(plan.blocked, next="bootstrap status")
    return _left(session, world)


def warn_unreachable(session: Session, world: World) -> None:
    """Says who can't be reached; Problem when nobody can, or founding would need them."""
    for problem in session.hosts.unreachable.values():
        output.complain(problem)
    founded = any(facts.record.birth for facts in world.facts.values())
    needed = sorted(world.voters & session.hosts.unreachable.keys())
    if session.hosts.unreachable and (not world.facts or (needed and not founded)):
        names = ", ".join(sorted(session.hosts.unreachable))
        raise Problem(f"{names} can't be reached; nothing has changed", code=Code.UNREACHABLE)
