"""A plan that was kept: what is left of it is done, and nothing else ever is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import saved
from bootstrap.errors import Code, Problem
from bootstrap.plan import plan
from bootstrap.run import run
from bootstrap.world import File, World
from tests.room import WANTS, Crash, Room, digest

CANARY = "c4n4ry-7f3a"
CASES = {
    "init three with workers": ((), ("abc", "wx")),
    "change a flag": ((("abc",),), ("abc", "", "v2")),
    "add a part": ((("abc",),), ("abc", "", "v1sched")),
    "drop a part": ((("abc", "", "v1sched"),), ("abc",)),
    "join and flag": ((("abc",),), ("abcd", "", "v2")),
}


def staged(case: str) -> Room:
    """A room in which the last goal is still to reach."""
    before, goal = CASES[case]
    room = Room("abcdwx")
    for each in before:
        room.goal(*each)
        room.go()
    room.goal(*goal)
    return room


def tree(world: World) -> saved.Tree:
    """What would be done now."""
    return saved.tree(plan(world, WANTS), world, "toy")


def kept(room: Room, path: Path) -> saved.Tree:
    """The plan of now, as it comes back from a file."""
    saved.write(tree(room.seen()), path)
    return saved.read(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the plan is kept."""
    return tmp_path / "change.plan"


@pytest.mark.parametrize("case", CASES)
def test_a_plan_is_kept_and_comes_back_for_its_owner_alone(case: str, file: Path) -> None:
    room = staged(case)
    plan_kept, now = kept(room, file), tree(room.seen())
    assert plan_kept["waves"] == now["waves"]
    assert not list(saved.moves(plan_kept, now, room.seen()))
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("case", CASES)
def test_it_holds_no_content(case: str, file: Path) -> None:
    world = staged(case).seen()
    wants = replace(WANTS, files=lambda world, node: (marked(file) for file in WANTS.files(world, node)))
    saved.write(saved.tree(plan(world, wants), world, "toy"), file)
    assert "/m/etcd.yaml" in file.read_text()
    assert CANARY not in file.read_text()


def marked(file: File) -> File:
    """A file with something in it that must not get out."""
    return replace(file, content=file.content + CANARY.encode())


@pytest.mark.parametrize("case", CASES)
def test_killed_anywhere_what_is_left_is_of_the_plan(case: str, file: Path) -> None:
    whole = staged(case)
    whole.go()
    for k in range(1, whole.count + 1):
        room = staged(case)
        started = room.count
        plan_kept = kept(room, file)
        room.crash = started + k
        try:
            run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
        except Crash:
            room.crash = None
        else:
            break
        now = room.seen()
        if now.members is None and now.facts:  # etcd is down, and can't be asked: nothing of that was approved
            continue
        assert not list(saved.moves(plan_kept, tree(now), now)), (k, tree(now))


@pytest.mark.parametrize("case", CASES)
def test_once_it_is_done_nothing_is_left(case: str, file: Path) -> None:
    room = staged(case)
    plan_kept = kept(room, file)
    room.go()
    now = tree(room.seen())
    assert not now["waves"]
    assert not list(saved.moves(plan_kept, now, room.seen()))


def drift(room: Room) -> None:
    """Somebody writes into a file of ours."""
    facts = room.fact("b")
    room.put("b", replace(facts, seen={**facts.seen, "/pki/ca.crt": digest("theirs")}))


def overwrite(room: Room) -> None:
    """Somebody writes into a file that the plan replaces."""
    facts = room.fact("b")
    room.put("b", replace(facts, seen={**facts.seen, "/m/etcd.yaml": digest("theirs")}))


def again(room: Room) -> None:
    """Somebody changes cluster.yaml again."""
    room.goal("abc", "", "v3")


def undo(room: Room) -> None:
    """Somebody takes the change of cluster.yaml back."""
    room.goal("abc", "", "v1")


def more(room: Room) -> None:
    """Somebody adds a node."""
    room.goal("abcd", "", "v2")


@pytest.mark.parametrize("moved", [drift, overwrite, again, undo, more])
def test_it_is_refused_once_anything_moved_and_says_what(moved: Callable[[Room], None], file: Path) -> None:
    room = staged("change a flag")
    plan_kept = kept(room, file)
    moved(room)
    now = room.seen()
    with pytest.raises(Problem) as refused:
        saved.refuse(plan_kept, tree(now), now, file)
    assert refused.value.code is Code.CHANGES
    assert refused.value.why
    assert refused.value.next == f"bootstrap plan --out {file}"


def test_what_the_plan_starts_again_may_have_stopped_meanwhile(file: Path) -> None:
    room = staged("change a flag")
    plan_kept = kept(room, file)
    room.stop("b")
    now = room.seen()
    assert not list(saved.moves(plan_kept, tree(now), now))


def test_what_the_plan_does_not_stop_must_not_have_stopped(file: Path) -> None:
    room = staged("add a part")
    plan_kept = kept(room, file)
    room.stop("b", "etcd")
    now = room.seen()
    assert list(saved.moves(plan_kept, tree(now), now)) == [
        "b: turn: restarts: etcd is not what it was when the plan was made",
        "b: turn: restarts: kube-apiserver is not what it was when the plan was made",
    ]


def test_a_change_of_hand_after_it_was_done_is_not_of_the_plan(file: Path) -> None:
    room = staged("change a flag")
    plan_kept = kept(room, file)
    room.go()
    drift(room)
    now = room.seen()
    assert list(saved.moves(plan_kept, tree(now), now)) == ["b: turn: would be done now, and is not in the plan"]


def test_it_is_of_one_cluster(file: Path) -> None:
    room = staged("change a flag")
    plan_kept = kept(room, file)
    now = room.seen()
    (told,) = saved.moves(plan_kept, saved.tree(plan(now, WANTS), now, "another"), now)
    assert told == "it is for the cluster toy, this is another"


@pytest.mark.parametrize("content", ["", "{}", '{"apiVersion": "bootstrap/v1", "kind": "Status"}', "\0", '{"kind": 1}'])
def test_what_is_no_plan_is_refused_with_what_to_type(content: str, file: Path) -> None:
    file.write_text(content)
    with pytest.raises(Problem) as refused:
        saved.read(file)
    assert refused.value.code is Code.USAGE
    assert "plan --out" in refused.value.next
