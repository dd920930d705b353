"""Performs an approved plan, wave by wave: it looks again before each, and stops when the cluster moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

from bootstrap.after import after
from bootstrap.plan import Turns, lost, next_wave, update
from bootstrap.world import (
    Apply,
    Blocked,
    Facts,
    Listed,
    Member,
    Step,
    Wants,
    Wave,
    World,
    about,
    about_all,
    node_key,
)

MOVED = "the cluster moved since this plan was made"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a node did not get through its step."""

    why: str
    content: bool  # by what the turn brought, or nobody can tell; else by the node's own fault (disk, link, …)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: what was done, which nodes left it, and why it stopped before its end ("": it did not)."""

    done: tuple[Wave, ...]
    failed: Mapping[str, str]  # node -> why
    stopped: str = ""


class Site(Protocol):
    """All that a run needs of the outside."""

    def observe(self, nodes: AbstractSet[str]) -> tuple[Mapping[str, Facts], Mapping[str, Listed] | None]:
        """The facts of those that answer, and etcd's members."""

    def perform(self, wave: Wave) -> Mapping[str, Failure]:
        """Do it and wait until it is healthy; the nodes that failed."""

    def back(self, node: str) -> None:
        """Swap a node back to its former generation, if it can be reached."""


def look(site: Site, world: World, wants: Wants, turns: Turns) -> tuple[World, Turns, Wave | Blocked]:
    """The next wave, once everyone it touches, and every member of etcd, has just been seen."""
    fresh: frozenset[str] = frozenset()
    while True:
        wave = next_wave(world, wants, turns)
        steps = () if isinstance(wave, Blocked) else wave
        ask = (frozenset(world.members or ()) | about_all(steps)) & world.facts.keys() - fresh
        if not ask:
            return world, turns, wave
        facts, members = site.observe(ask)
        world = replace(world, facts={**world.facts, **facts}, members=members)
        world = leave_run(site, world, ask - facts.keys())
        turns, fresh = update(turns, world, wants, ask), fresh | ask


def run(site: Site, world: World, wants: Wants, approved: Sequence[Wave]) -> Outcome:
    """Perform what was approved; a saved plan, resume after a crash and the guard against drift are this comparison."""
    todo, everyone = tuple(step for wave in approved for step in wave), world.facts.keys()
    turns, done, stopped = update({}, world, wants, everyone), list[Wave](), ""
    why: dict[str, str] = {}
    while todo and not stopped:
        world, turns, wave = look(site, world, wants, turns)
        gone = everyone - world.facts.keys()
        api = bool(world.voters & world.facts.keys())  # else objects have nowhere to go
        todo = tuple(rest for step in todo if (api or about(step)) and (rest := without(step, gone)))
        if not todo:
            break
        if not isinstance(wave, Blocked):
            wave = tuple(rest for step in wave if (rest := without(step, gone)))
        if isinstance(wave, Blocked):
            stopped = wave.reason
        elif not wave or wave != todo[: len(wave)]:
            stopped = MOVED
        else:
            failures = site.perform(wave)
            for node in failures:
                site.back(node)
            why |= {node: failure.why for node, failure in failures.items()}
            good = tuple(step for step in wave if not about(step) & failures.keys())
            done, todo = [*done, good], todo[len(wave) :]
            world = leave_run(site, reduce(after, good, world), failures.keys())
            turns = update(turns, world, wants, about_all(wave))
            bad = sorted(node for node, failure in failures.items() if failure.content)
            stopped = f"{', '.join(bad)} did not get healthy: swapped back" if bad else ""
    return Outcome(
        tuple(done),
        {n: why.get(n, "can't be reached") for n in sorted(everyone - world.facts.keys())},
        stopped,
    )


def without(step: Step, gone: AbstractSet[str]) -> Step | None:
    """What is left of a step once these nodes have left the run: nobody registered them, or marks them now."""
    if isinstance(step, Apply):
        marks = {node_key(node) for node in gone}
        step = Apply(tuple(put for put in step.put if put[1] not in marks), step.drop)
        return None if about(step) & gone or not (step.put or step.drop) else step
    return None if step.node in gone else step


def leave_run(site: Site, world: World, nodes: AbstractSet[str]) -> World:
    """These nodes leave the run: nothing is known of them any more, and their learners leave etcd's list."""
    world = lost(world, nodes)
    for node in sorted(n for n, m in (world.members or {}).items() if n in nodes and not m.votes):
        site.perform((Member(node, None),))
        world = after(world, Member(node, None))
    return world
