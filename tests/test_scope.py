"""What a command leaves alone: nodes that it is not about, and phases that are held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bootstrap.plan import Plan, plan
from bootstrap.run import run
from bootstrap.world import Apply, File, Turn, Wants, World
from tests.room import WANTS, Room, digest, files

PHASES = {"/m/etcd.yaml": "etcd", "/m/batch.yaml": "control-plane", "/m/kube-apiserver.yaml": "control-plane"}


def phased(world: World, node: str) -> Iterator[File]:
    """The toy's files, each of a phase, where its manifests lie in the manifest directory."""
    for file in files(world, node):
        path = file.path.replace("/m/", "/etc/kubernetes/manifests/").replace("/10.conf", "/50-bootstrap.conf")
        content = file.content + b" @generation@" * (file.part == "batch")
        yield replace(file, path=path, content=content, phase=PHASES.get(file.path, "others"))


FREE = replace(WANTS, files=phased)


def hold(*phases: str) -> Wants:
    """The same, with these phases held."""
    return replace(FREE, held=frozenset(phases))


def room(*goal: str) -> Room:
    """A room that has reached a goal."""
    made = Room("abcdwx")
    made.goal(*goal)
    go(made, FREE)
    return made


def go(made: Room, wants: Wants) -> None:
    """Plan and run, until nothing is left."""
    for _ in range(6):
        waves = plan(made.seen(), wants).waves
        if not waves:
            return
        run(made, made.seen(), wants, waves)
    raise AssertionError("no end")


def turns(made: Plan) -> dict[str, Turn]:
    """The turns of a plan."""
    return {step.node: step for wave in made.waves for step in wave if isinstance(step, Turn)}


def paths(turn: Turn) -> set[str]:
    """The names of what a turn puts."""
    return {file.path.rpartition("/")[2] for _, file in turn.put}


# Nodes


def test_only_the_named_nodes_are_touched_one_by_one_and_no_object() -> None:
    made = room("abc", "wx")
    made.goal("abc", "wx", "v2")
    within = plan(replace(made.seen(), within=frozenset("bcx")), FREE)
    assert [[step.node for step in wave if isinstance(step, Turn)] for wave in within.waves] == [["b"], ["c"], ["x"]]
    assert not any(isinstance(step, Apply) for wave in within.waves for step in wave)


def test_what_was_left_out_comes_with_the_next_run_and_ends_the_same() -> None:
    some, all_at_once = room("abc", "wx"), room("abc", "wx")
    for each in (some, all_at_once):
        each.goal("abc", "wx", "v2")
    world = replace(some.seen(), within=frozenset("b"))
    run(some, world, FREE, plan(world, FREE).waves)
    assert turns(plan(some.seen(), FREE)).keys() == {"a", "c", "w", "x"}
    go(some, FREE)
    go(all_at_once, FREE)
    assert some.end() == all_at_once.end()


def test_a_stranger_that_is_named_joins_alone() -> None:
    made = room("abc")
    made.goal("abcd", "w", "v2")
    within = plan(replace(made.seen(), within=frozenset("d")), FREE)
    assert {getattr(step, "node", None) for wave in within.waves for step in wave} == {"d"}
    assert not within.blocked


def test_founding_needs_every_control_plane_node() -> None:
    made = Room("abc")
    made.goal("abc")
    within = plan(replace(made.seen(), within=frozenset("a")), FREE)
    assert not within.waves
    assert within.blocked.startswith("b, c must not be touched")


def test_quorum_counts_those_that_must_not_be_touched() -> None:
    made = room("abc")
    made.stop("c")
    made.goal("abc", "", "v2")
    within = plan(replace(made.seen(), within=frozenset("a")), FREE)
    assert (within.waves, within.blocked) == ((), "a can't stop: no quorum without it")


# Phases


def test_a_held_phase_is_neither_put_nor_does_it_restart_anything() -> None:
    made = room("abc")
    made.goal("abc", "", "v2")
    for turn in turns(plan(made.seen(), hold("control-plane"))).values():
        assert "kube-apiserver.yaml" not in paths(turn)
        assert "etcd.yaml" in paths(turn)
        assert turn.record.runs["kube-apiserver"] == made.fact(turn.node).record.runs["kube-apiserver"]


def test_a_held_phase_is_not_dropped_either_and_goes_on_running() -> None:
    made = room("a", "", "v1sched")
    made.goal("a", "", "v2")
    (turn,) = turns(plan(made.seen(), hold("control-plane"))).values()
    assert not turn.drop
    assert "batch" not in turn.restart
    go(made, hold("control-plane"))
    assert "batch" in made.fact("a").running
    go(made, FREE)
    assert "batch" not in made.fact("a").running


def test_what_drifted_of_a_held_phase_is_left_as_it_is() -> None:
    made = room("a")
    facts, path = made.fact("a"), "/etc/kubernetes/manifests/kube-apiserver.yaml"
    made.put("a", replace(facts, seen={**facts.seen, path: digest("theirs")}))
    assert not plan(made.seen(), hold("control-plane")).waves
    assert paths(turns(plan(made.seen(), FREE))["a"]) == {"kube-apiserver.yaml"}


@pytest.mark.parametrize("phase", ["etcd", "control-plane", "others"])
def test_what_was_held_comes_later_and_ends_the_same(phase: str) -> None:
    held, whole = room("abc", "w", "v1sched"), room("abc", "w", "v1sched")
    for each in (held, whole):
        each.goal("abc", "w", "v2")
    go(held, hold(phase))
    assert not plan(held.seen(), hold(phase)).waves
    go(held, FREE)
    go(whole, FREE)
    assert held.end() == whole.end()


def test_everything_held_is_nothing_to_do() -> None:
    made = room("abc", "w", "v1sched")
    made.goal("abc", "w", "v2")
    wants = replace(hold("etcd", "control-plane", "others"), objects=lambda world: dict(world.objects or {}))
    assert not plan(made.seen(), wants).waves
