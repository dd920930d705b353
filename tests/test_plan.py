"""Every workflow ends with nothing to do, and killed at any point and run again ends the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.plan import allowed, plan
from bootstrap.run import MOVED, run
from bootstrap.world import Apply, Drain, File, Member, Turn, World, born, stamped
from tests.bench import thousand
from tests.room import SPEC, WANTS, Crash, Refused, Room, digest

Goal = tuple[str, ...]  # voters, workers, spec, leaving
Event = Goal | Callable[[Room], None]


def cut(room: Room) -> None:
    """The power goes: nothing runs."""
    for node in room.world.facts:
        room.stop(node)


def kill_c(room: Room) -> None:
    """A node is gone."""
    room.dead.add("c")


def wipe_c(room: Room) -> None:
    """A node's disk is new."""
    room.wipe("c")


def erase_c(room: Room) -> None:
    """A node lost etcd's data only."""
    room.erase("c")


THREE: Goal = ("abc",)
CASES: dict[str, tuple[list[Event], Goal]] = {
    "init one": ([], ("a",)),
    "init three": ([], THREE),
    "init three with workers": ([], ("abc", "wx")),
    "change a flag": ([THREE], ("abc", "", "v2")),
    "change a flag on one": ([("a",)], ("a", "", "v2")),
    "add a part": ([THREE], ("abc", "", "v1sched")),
    "drop a part": ([("abc", "", "v1sched")], THREE),
    "join": ([THREE], ("abcd",)),
    "join and flag": ([THREE], ("abcd", "", "v2")),
    "remove": ([("abcd",)], ("abc", "", "v1", "d")),
    "remove the dead": ([THREE, kill_c], ("ab", "", "v1", "c")),
    "remove a worker": ([("abc", "wx")], ("abc", "w", "v1", "x")),
    "replace a wiped node": ([THREE, wipe_c], THREE),
    "replace a wiped node and flag": ([THREE, wipe_c], ("abc", "", "v2")),
    "etcd's data lost": ([THREE, erase_c], THREE),
    "join again after remove": ([("abcd",), ("abc", "", "v1", "d")], ("abcd",)),
    "one to three": ([("a",)], THREE),
    "one to three and flag": ([("a",)], ("abc", "", "v2")),
    "three to one": ([THREE], ("a", "", "v1", "bc")),
    "reset": ([("abc", "wx")], ("abc", "wx", "v1", "abcwx")),
    "init after reset": ([THREE, ("abc", "", "v1", "abc")], THREE),
    "cold start": ([THREE, cut], THREE),
    "cold start with a new node": ([THREE, cut], ("abcd",)),
    "cold start with a wiped node": ([THREE, cut, wipe_c], THREE),
    "change with one member dead": ([THREE, kill_c], ("abc", "", "v2")),
    "worker added": ([("abc", "w")], ("abc", "wx")),
    "workers changed": ([("abc", "wxyz")], ("abc", "wxyz", "v2")),
}


def staged(case: str) -> Room:
    """The room as the workflow finds it, its goal said."""
    room = Room("abcdwxyz")
    room.guard = False
    for event in CASES[case][0]:
        if callable(event):
            event(room)
        else:
            room.goal(*event)
            assert not room.go().waves
    room.goal(*CASES[case][1])
    room.count, room.moments, room.guard = 0, 0, case != "reset"
    return room


def show(world: World) -> list[str]:
    """A plan in short: one word per step, one string per wave."""
    made = plan(world, WANTS)
    words = []
    for wave in made.waves:
        parts = []
        for step in wave:
            match step:
                case Turn():
                    parts.append(f"turn {step.node}" + "!" * step.fresh)
                case Member():
                    parts.append(f"{ {None: 'out', False: 'learner', True: 'voter'}[step.votes] } {step.node}")
                case Drain():
                    parts.append(f"drain {step.node}")
                case Apply():
                    parts.append("drop " + ",".join(step.drop) if step.drop else "apply")
        words.append(" ".join(parts))
    return words + ([f"blocked: {made.blocked}"] if made.blocked else [])


@pytest.mark.parametrize("case", CASES)
def test_killed_anywhere_and_run_again_ends_the_same(case: str) -> None:
    whole = staged(case)
    waves = show(whole.seen())
    last = whole.go()
    assert bool(last.blocked) == (case == "change with one member dead")
    assert not plan(whole.seen(), WANTS).waves
    for k in range(1, whole.count + 1):
        room = staged(case)
        room.crash = k
        with pytest.raises(Crash):
            room.go()
        room.crash = None
        assert room.go() == last, k
        assert room.end() == whole.end(), k
    print(f"\n{case}: {whole.count} crash points: {' | '.join(waves)}", end="")


@pytest.mark.parametrize("case", CASES)
def test_who_sleeps_anywhere_while_another_does_it_all_is_refused_and_changes_nothing_more(case: str) -> None:
    whole = staged(case)
    whole.go()
    for k in range(1, whole.moments + 1):
        room = staged(case)
        room.sleeps = k
        with pytest.raises(Refused):
            room.go()
        assert room.end() == whole.end(), k


def test_a_swap_back_by_an_older_epoch_is_refused() -> None:
    room = staged("change a flag")
    room.fails, room.sleeps = {"a": True}, 3  # the wave, the turn, the swap back
    with pytest.raises(Refused):
        room.go()
    assert room.end() == (whole := staged("change a flag"), whole.go())[0].end()


def rolling(*goal: str) -> Room:
    """A cluster that was changed, and is to go back."""
    room = founded("abc", "w")
    room.goal(*goal)
    assert not room.go().waves
    room.rolls = True
    room.count = room.moments = 0
    return room


@pytest.mark.parametrize("goal", [("abc", "w", "v2"), ("abc", "w", "v1sched"), ("abc", "w", "v2sched")])
def test_a_rollback_is_a_turn_to_the_former_generation_one_by_one_and_the_file_asks_for_the_newer(
    goal: tuple[str, ...],
) -> None:
    before = founded("abc", "w")
    room = rolling(*goal)
    waves = show(room.seen())
    assert waves == ["turn a", "turn b", "turn c", *(["turn w"] if "v2" in goal[2] else [])]
    assert {
        c
        for c in ("init", "join", "apply", "remove", "reset")
        if allowed(c, plan(room.seen(), WANTS).waves[0], room.seen())
    } == set()
    assert not room.go().blocked
    for node in "abcw":
        assert room.fact(node).seen == before.fact(node).seen
        assert room.fact(node).running == before.fact(node).running
    assert show(room.seen()) == [], "who has gone back stays so"
    room.rolls = False
    assert show(room.seen())[:3] == ["turn a", "turn b", "turn c"]


def test_a_rollback_killed_anywhere_is_finished_by_the_next_or_undone_by_apply() -> None:
    whole = rolling("abc", "w", "v2sched")
    newest = rolling("abc", "w", "v2sched").end()
    whole.go()
    finished = undone = 0
    for k in range(1, whole.count + 1):
        room = rolling("abc", "w", "v2sched")
        room.crash = k
        with pytest.raises(Crash):
            room.go()
        room.crash = None
        try:
            room.go()
            assert room.end() == whole.end(), k
            finished += 1
        except KeyError:  # cut off among its renames: `Host.former` says so
            room.rolls = False
            assert not room.go().blocked
            assert room.end() == newest, k
            undone += 1
    assert finished and undone


def test_a_rollback_needs_the_quorum_too() -> None:
    room = rolling("abc", "w", "v2")
    room.dead.add("c")
    assert show(room.seen()) == ["blocked: a can't stop: no quorum without it"]


ORDER = {
    "init three with workers": ["turn a turn b turn c", "turn w turn x", "apply"],
    "join and flag": ["learner d", "turn d", "voter d", "turn a", "turn b", "turn c", "apply"],
    "replace a wiped node": ["out c", "learner c", "turn c", "voter c"],
    "join again after remove": ["learner d", "turn d", "voter d"],
    "remove": ["drain d", "out d", "turn d!", "drop |Node||d"],
    "remove the dead": ["drain c", "out c", "drop |Node||c"],
    "remove a worker": ["drain x", "turn x", "drop |Node||x"],
    "reset": ["turn a! turn b! turn c! turn w turn x"],
    "cold start with a new node": ["turn a turn b turn c", "blocked: d waits until etcd can be asked"],
    "cold start with a wiped node": ["turn a turn b", "blocked: c waits until etcd can be asked"],
    "change with one member dead": ["blocked: a can't stop: no quorum without it"],
    "worker added": ["turn x"],
}


@pytest.mark.parametrize("case", ORDER)
def test_the_plan_reads_like_this(case: str) -> None:
    assert show(staged(case).seen())[: len(ORDER[case])] == ORDER[case]


def test_the_waves_of_a_worker_change_are_a_tenth_and_never_more_than_parallel() -> None:
    room = Room("abc" + "".join(map(chr, range(0x4E00, 0x4E00 + 400))))
    names = frozenset(room.world.facts)
    room.world = replace(room.world, voters=frozenset("abc"), wanted=dict.fromkeys(sorted(names), "10.0.0.1"))
    room.go()
    for parallel, most, workers in ((16, 16, 400), (100, 40, 400), (16, 3, 39), (16, 1, 5)):
        chosen = sorted(names - set("abc"))[:workers]
        wanted = dict.fromkeys([*"abc", *chosen], "10.0.0.1")
        waves = plan(replace(room.seen(), pods={SPEC: "v2"}, wanted=wanted, parallel=parallel), WANTS).waves
        assert [len(wave) for wave in waves[:3]] == [1, 1, 1]
        assert max(len(wave) for wave in waves) == most


def test_workers_go_on_when_etcd_can_not_be_asked() -> None:
    room = Room("abcw")
    room.goal("abc", "w")
    room.go()
    room.dead |= {"a", "b", "c"}
    room.goal("abc", "w", "v2")
    assert room.seen().members is None
    assert show(room.seen())[0] == "turn w"


def test_a_node_the_file_no_longer_names_stays() -> None:
    room = Room("abcdw")
    room.goal("abcd", "w")
    room.go()
    room.goal("abc")
    assert show(room.seen()) == []


def test_founding_needs_every_control_plane_node() -> None:
    room = Room("abcw")
    room.goal("abc", "w")
    room.dead.add("c")
    blocked = ["blocked: c can't be reached: founding needs every control-plane node"]
    assert show(replace(room.seen(), members={})) == blocked
    assert show(replace(room.seen(), members=None)) == blocked


def test_no_birth_no_start_while_etcd_can_not_be_asked() -> None:
    room = Room("abc")
    room.goal("abc")
    world = replace(room.seen(), members=None)
    assert plan(world, WANTS).waves == ()


def test_a_wiped_member_does_not_leave_without_quorum() -> None:
    room = Room("abc")
    room.goal("abc")
    room.go()
    room.wipe("c")
    members = room.seen().members
    room.put("b", replace(room.fact("b"), healthy=False))
    assert show(replace(room.seen(), members=members))[0] == "blocked: c is wiped: no quorum without it"


def test_a_member_that_is_down_starts_before_the_others_change() -> None:
    room = Room("abc")
    room.goal("abc")
    room.go()
    room.stop("c")
    room.goal("abc", "", "v2")
    assert show(room.seen())[:3] == ["turn c", "turn a", "turn b"]


def test_a_birth_counts_only_with_its_data() -> None:
    room = Room("abcd")
    room.goal("abc")
    room.go()
    room.goal("abcd")
    room.go()
    assert born(room.seen(), "a").names == set("abc")
    assert born(room.seen(), "d").names == set("abcd")
    room.put("a", replace(room.fact("a"), etcd=""))
    assert born(room.seen(), "a").names == set("abcd")


def test_a_generation_is_the_digest_of_all_files_of_a_part() -> None:
    one, two, live = (File(f"/{n}", n.encode(), part=part) for n, part in (("1", "etcd"), ("2", "etcd"), ("3", "")))
    assert stamped([one, two, live]) == stamped([live, two, one])
    assert stamped([one, two])[1] == stamped([one, two, live])[1]
    others = [replace(two, content=content) for content in (b"y", b"z")]
    assert len({stamped([one, other])[1]["etcd"] for other in others}) == 2
    assert stamped([replace(one, mode=0o644), two])[1] != stamped([one, two])[1]


def test_a_generation_is_written_into_the_files_that_ask_for_it() -> None:
    files, generations = stamped([File("/1", b"runs @generation@", part="etcd"), File("/2", b"@generation@")])
    assert [file.content.decode() for file in files] == [f"runs {generations['etcd']}", "@generation@"]


def test_a_saved_plan_is_refused_when_its_node_moved() -> None:
    room = staged("change a flag")
    made = plan(room.seen(), WANTS)
    before = room.seen()
    room.put("a", replace(room.fact("a"), seen={**room.fact("a").seen, "/m/etcd.yaml": "edited"}))
    outcome = run(room, before, WANTS, made.waves)
    assert outcome.done == ()
    assert outcome.stopped == MOVED
    assert "edited" in room.world.facts["a"].seen.values()


def test_a_worker_that_can_not_be_reached_leaves_the_run_and_comes_with_the_next() -> None:
    room = staged("workers changed")
    made = plan(room.seen(), WANTS)
    room.dies = "x"
    outcome = run(room, room.seen(), WANTS, made.waves)
    assert (list(outcome.failed), outcome.stopped) == (["x"], "")
    assert {n for n in "wxyz" if digest("k:v2") not in room.fact(n).seen.values()} == {"x"}
    room.dead, room.dies = set(), ""
    assert not room.go().blocked
    assert room.end() == (whole := staged("workers changed"), whole.go())[0].end()


def test_a_worker_gone_before_its_wave_is_dropped_from_both_sides() -> None:
    room = staged("workers changed")
    before = room.seen()
    made = plan(before, WANTS)
    room.dead.add("w")
    outcome = run(room, before, WANTS, made.waves)
    assert (list(outcome.failed), outcome.stopped) == (["w"], "")
    assert [step.node for wave in outcome.done for step in wave if isinstance(step, Turn)] == list("abcxyz")


def test_a_member_that_dies_in_its_turn_stops_the_others() -> None:
    room = staged("change a flag")
    room.dies = "a"
    outcome = run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    assert (list(outcome.failed), outcome.stopped) == (["a"], "b can't stop: no quorum without it")
    assert room.serving() == 2


def test_content_that_does_not_get_healthy_is_swapped_back_and_stops_the_rollout() -> None:
    room = staged("change a flag")
    old = room.world.facts["a"]
    room.fails = {"a": True}
    outcome = run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    assert (outcome.done, list(outcome.failed)) == (((),), ["a"])
    assert outcome.stopped == "a did not get healthy: swapped back"
    assert room.world.facts["a"] == old
    assert not room.go().blocked


@pytest.mark.parametrize("content", [True, False])
def test_a_joining_turn_that_fails_is_swapped_back_and_its_learner_removed(content: bool) -> None:
    room = staged("join")
    room.fails = {"d": content}
    outcome = run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    assert list(outcome.failed) == ["d"]
    assert bool(outcome.stopped) == content
    assert room.world.members is not None
    assert "d" not in room.world.members
    assert room.world.facts["d"].running == {}
    assert show(room.seen()) == ["learner d", "turn d!", "voter d", "apply"]
    assert not room.go().blocked
    assert room.end() == (whole := staged("join"), whole.go())[0].end()


def test_who_left_the_run_is_not_marked_and_the_others_are() -> None:
    room = staged("init three with workers")
    room.dies = "c"
    outcome = run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    assert (list(outcome.failed), outcome.stopped) == (["c"], "")
    assert sorted(room.world.objects or {}) == ["ConfigMap/coredns", *(f"|Node||{node}" for node in "abwx")]
    room.dies, room.dead = "", set()
    assert not room.go().blocked
    assert room.end() == (whole := staged("init three with workers"), whole.go())[0].end()


def test_once_every_node_has_left_the_run_nothing_more_is_tried() -> None:
    room = founded("a")
    room.goal("a", "", "v2")
    room.fails = {"a": False}
    outcome = run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    assert (outcome.done, outcome.failed, outcome.stopped) == (((),), {"a": "unhealthy"}, "")


def test_founding_that_fails_can_be_tried_again() -> None:
    room = staged("init three")
    room.fails = {"a": True, "b": True, "c": True}
    run(room, room.seen(), WANTS, plan(room.seen(), WANTS).waves)
    room.goal("abc", "", "v2")
    assert not room.go().blocked
    assert room.serving() == 3


def test_a_run_asks_only_the_nodes_of_its_waves_and_the_members() -> None:
    room = staged("workers changed")
    before = room.seen()
    made = plan(before, WANTS)
    room.asked = 0
    run(room, before, WANTS, made.waves)
    assert room.asked == 3 * 3 + 4 * (1 + 3) + 3  # each control-plane wave, each worker's wave, the objects


def founded(voters: str, workers: str = "") -> Room:
    """A cluster that serves."""
    room = Room("abcdwxyz")
    room.goal(voters, workers)
    assert not room.go().waves
    return room


def test_one_of_two_that_leave_and_can_not_be_reached_does_not_hold_the_other() -> None:
    room = founded("abc", "wx")
    room.goal("abc", "", "v1", "wx")
    before = room.seen()
    room.dead.add("w")
    outcome = run(room, before, WANTS, plan(before, WANTS).waves)
    assert (list(outcome.failed), outcome.stopped) == (["w"], "")
    assert "x" not in room.world.nodes
    assert "w" in room.world.nodes


def test_serving_workers_and_objects_wait_for_a_control_plane_that_can_not_change() -> None:
    room = founded("abc", "w")
    room.dead.add("c")
    room.goal("abc", "wx", "v2")
    assert show(room.seen()) == ["turn x", "blocked: a can't stop: no quorum without it"]
    room.dead.clear()
    assert not room.go().blocked


def test_what_does_not_stop_etcd_needs_no_quorum() -> None:
    room = founded("abc")
    room.dead.add("c")
    room.goal("abc", "", "v1sched")
    assert show(room.seen()) == ["turn a", "turn b"]


def test_one_of_two_voters_does_not_stop_while_the_other_is_away() -> None:
    room = founded("ab")
    room.dead.add("b")
    room.goal("ab", "", "v2")
    assert show(room.seen()) == ["blocked: a can't stop: no quorum without it"]


def joining() -> Room:
    """A learner that has turned, killed before its vote."""
    room = staged("join")
    made = plan(room.seen(), WANTS)
    run(room, room.seen(), WANTS, made.waves[:2])
    return room


def test_a_learner_that_is_not_healthy_does_not_vote() -> None:
    room = joining()
    assert show(room.seen()) == ["voter d", "apply"]
    room.put("d", replace(room.fact("d"), healthy=False))
    assert show(room.seen()) == ["apply", "blocked: d is not ready to vote"]


def test_a_learner_whose_node_is_gone_leaves_the_list() -> None:
    room = joining()
    room.dead.add("d")
    assert show(room.seen()) == ["out d", "apply"]


def test_nobody_leaves_while_etcd_or_the_api_can_not_be_asked() -> None:
    room = founded("abc")
    cut(room)
    room.goal("ab", "", "v1", "c")
    assert show(room.seen()) == ["turn a turn b", "blocked: c can't leave: etcd or the API can't be asked"]
    assert show(replace(room.seen(), objects=room.world.objects, nodes=room.world.nodes)) == show(room.seen())


def test_a_member_outside_the_file_is_not_forgotten_when_all_of_the_file_leave() -> None:
    room = founded("abcd")
    cut(room)
    room.goal("", "", "v1", "abc")
    assert show(room.seen()) == ["blocked: a can't leave: etcd or the API can't be asked"]


def test_a_purge_is_of_those_who_leave_and_of_nobody_else() -> None:
    room = founded("abc", "w")
    room.goal("ab", "w", "v2", "c")
    for purge in (False, True):
        waves = plan(replace(room.seen(), purge=purge), WANTS).waves
        turns = {step.node: step.purge for wave in waves for step in wave if isinstance(step, Turn)}
        assert turns == {"a": False, "b": False, "w": False, "c": purge}


@pytest.mark.parametrize("lost", [Room.wipe, Room.erase])
def test_an_empty_directory_where_a_member_lived_never_founds(lost: Callable[[Room, str], None]) -> None:
    room = founded("a", "w")
    lost(room, "a")
    assert show(room.seen()) == ["blocked: a waits until etcd can be asked"]


COMMANDS = {
    "init three with workers": {"init", "apply"},
    "cold start": {"init", "join", "apply"},
    "join": {"join", "apply"},
    "replace a wiped node": {"join", "apply"},
    "worker added": {"init", "join", "apply"},
    "change a flag": {"apply"},
    "drop a part": {"apply"},
    "join and flag": {"apply"},
    "remove": {"remove", "reset"},
    "reset": {"remove", "reset"},
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_are_permissions(case: str) -> None:
    world = staged(case).seen()
    commands = ("init", "join", "apply", "remove", "reset", "verify", "plan")
    may = {c for c in commands if all(allowed(c, wave, world) for wave in plan(world, WANTS).waves)}
    assert may == COMMANDS[case]


@pytest.mark.parametrize("k", [3, 6, 9, 12])
def test_init_killed_may_be_finished_by_init(k: int) -> None:
    room = staged("init three")
    room.crash = k
    with pytest.raises(Crash):
        room.go()
    assert all(allowed("init", wave, room.seen()) for wave in plan(room.seen(), WANTS).waves)


BIG = """
import sys, time
from dataclasses import replace
from functools import reduce
from bootstrap.plan import plan
from bootstrap.run import run
from bootstrap.after import after
from bootstrap.world import *
def files(world, node):
    for i in range(19):
        yield File(f"/p/{i}", f"{world.pods['spec']}:{i}".encode(), 0o600, ("kubelet", "etcd", "")[i % 3])
wants = Wants(files, lambda world: {})
voters, workers = frozenset("abc"), [f"w{i:04}" for i in range(1000)]
birth = Birth(tuple((n, "10.0.0.1") for n in "abc"), "new")
def facts(node, world):
    made, runs = stamped(files(world, node))
    had = {f.path: f.fingerprint for f in made}
    votes = node in voters
    record = Record(files=had, runs=runs, birth=birth if votes else None)
    return Facts(record, dict(had), dict(runs), etcd=node * votes)
members = {v: Listed(v, True, True, "10.0.0.1") for v in voters}
world = World(dict.fromkeys([*sorted(voters), *workers], "10.0.0.1"), voters, {}, members, {}, pods={"spec": "v1"})
world = replace(world, facts={n: facts(n, world) for n in world.wanted})
began = time.perf_counter()
made = plan(replace(world, pods={"spec": "v2"}), wants)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.perf_counter() - began, int(peak) / 1024, len(made.waves))
class Yes:
    now = replace(world, pods={"spec": "v2"})
    def observe(self, nodes): return {n: self.now.facts[n] for n in nodes}, self.now.members
    def perform(self, wave): self.now = reduce(after, wave, self.now); return {}
    def back(self, node): raise AssertionError
began = time.perf_counter()
outcome = run(Yes(), Yes.now, wants, made.waves)
assert not outcome.stopped and outcome.done == made.waves
print(time.perf_counter() - began)
"""


def test_a_thousand_workers_are_planned_in_waves_of_sixteen_and_within_200_megabytes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BIG],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    took, megabytes, waves, ran = map(float, done.stdout.split())
    assert (megabytes < 200, waves) == (True, 3 + 63), done.stdout
    print(f"\nplan {took:.2f} s, {megabytes:.0f} MB, {waves:.0f} waves; the run's own share {ran:.2f} s", end="")


def test_a_thousand_nodes_are_rendered_and_planned_within_200_megabytes() -> None:
    seconds, megabytes, files = thousand.measure()
    print(f"\n{seconds:.2f} s, {megabytes:.0f} MB, {files} files", end="")
    assert megabytes < 200
