"""What is no longer as it was left, by a node's record; and what a change costs, by estimate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap import paths, planned, verify
from bootstrap.plan import plan
from bootstrap.ssh import Read
from bootstrap.verify import Finding
from bootstrap.world import Apply, Facts, Listed, Machine, Record, Turn, World
from tests.room import WANTS, Room, digest

LEFT, THEIRS = digest("left"), digest("theirs")
FACTS = Facts(
    record=Record(files={"/a": LEFT, "/m/b": LEFT}, runs={"etcd": "g1", "host": "h1"}, uid="x"),
    seen={"/a": LEFT, "/m/b": LEFT},
    running={"etcd": "g1", "host": "h1"},
    machine=Machine(manifests="/m"),
)


def told(facts: Facts) -> list[tuple[str, str]]:
    """Where and what, of a node alone."""
    return [(each.where, each.what) for each in (*verify.drift("n", facts), *verify.foreign("n", facts))]


def test_a_node_that_is_as_it_was_left_has_nothing_to_tell() -> None:
    assert told(FACTS) == []


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (THEIRS, "content was changed"),
        (LEFT.replace(":600", ":644"), "mode is 644, was left 600"),
        (LEFT + ":1000:0", "owner is 1000:0, was left 0:0"),
        (THEIRS.replace(":600", ":777") + ":5:5", "content was changed; mode is 777, was left 600; owner is 5:5, "),
        (None, "is missing"),
    ],
)
def test_content_mode_and_owner_are_told_apart(seen: str | None, what: str) -> None:
    files = {path: fingerprint for path, fingerprint in {**FACTS.seen, "/a": seen}.items() if fingerprint}
    ((where, said),) = told(replace(FACTS, seen=files))
    assert where == "/a"
    assert said.startswith(what)


def test_what_runs_is_compared_with_what_was_left() -> None:
    running = {"etcd": "g0", "old": "g9"}
    assert told(replace(FACTS, running=running, machine=replace(FACTS.machine, unset=("net.ipv4.ip_forward",)))) == [
        ("etcd", "runs generation g0, was left g1"),
        ("kernel", "settings do not hold: net.ipv4.ip_forward"),
        ("old", "runs, and no file of ours asks for it"),
    ]
    assert ("etcd", "does not run") in told(replace(FACTS, running={}))


def test_everything_in_the_manifest_directory_is_foreign_that_no_turn_put_there() -> None:
    theirs = {"/m/c": THEIRS, "/m/.hidden": THEIRS, "/m/below/d": THEIRS, "/elsewhere": THEIRS}
    facts = replace(FACTS, seen={**FACTS.seen, **theirs}, machine=replace(FACTS.machine, odd=("/m/link",)))
    found = list(verify.foreign("n", facts))
    assert [each.where for each in found] == ["/m/c", "/m/link"]
    assert not any(each.mended for each in found)


def test_a_turn_that_did_not_end_is_told_as_one_thing() -> None:
    facts = replace(FACTS, record=replace(FACTS.record, settled=False), running={})
    assert told(facts) == [("record", "a turn did not come to its end")]


def test_flags_of_the_kubelet_are_compared_with_our_unit() -> None:
    unit = b"[Service]\nExecStart=\nExecStart=/usr/bin/kubelet \\\n  --config=/c \\\n  --v=2\n"
    lie = {paths.KUBELET_DROPIN: Read(unit, 0)}

    def runs(*flags: str) -> list[Finding]:
        command = ("/usr/bin/kubelet", *flags)
        return list(verify.kubelet("n", replace(FACTS, machine=replace(FACTS.machine, command=command)), lie))

    assert runs("--v=2", "--config=/c") == []
    assert [each.what for each in runs("--config=/c", "--v=3", "--x=1")] == [
        "runs with --v=3, our unit says --v=2",
        "runs with --x=1, our unit says no --x",
    ]


# What a change costs


def away(goal: str, *restart: str) -> dict[str, int]:
    """The estimate for a turn on a, which restarts these parts, in a cluster of so many."""
    room = Room(goal)
    room.goal(goal)
    room.go()
    world = room.seen()
    facts = {name: replace(told, running={**told.running, "kube-scheduler": "g"}) for name, told in world.facts.items()}
    world = replace(world, facts=facts)
    return planned.away(Turn("a", (), (), restart, False, Record()), world)


@pytest.mark.parametrize(
    ("goal", "restart", "api", "controllers"),
    [
        ("a", ("kube-apiserver",), 6, 6),
        ("a", ("etcd", "kube-apiserver", "kube-scheduler"), 6, 6),
        ("a", ("kube-scheduler",), 0, 12),
        ("a", ("kubelet", "kube-scheduler"), 0, 6),
        ("a", ("kubelet",), 0, 0),
        ("abc", ("etcd", "kube-apiserver", "kube-scheduler"), 0, 0),
        ("ab", ("etcd", "kube-apiserver"), 6, 6),
        ("ab", ("kube-apiserver",), 0, 0),
    ],
)
def test_the_api_is_away_where_nobody_else_serves(
    goal: str, restart: tuple[str, ...], api: int, controllers: int
) -> None:
    assert away(goal, *restart) == {"api": api, "controllers": controllers}


@pytest.mark.parametrize(
    ("was", "now", "final"),
    [
        ("etcd:3.6.8-0", "etcd:3.7.0-0", "etcd goes from 3.6 to 3.7"),
        ("etcd:3.6.6-0", "etcd:3.6.8-0", ""),
        ("mirror:5000/etcd:3.7.0-0", "etcd:3.7.0-0", ""),
    ],
)
def test_a_change_of_etcds_minor_is_marked(was: str, now: str, final: str) -> None:
    put = {"path": "/m/etcd.yaml", "part": "etcd", "differs": [{"what": "image", "was": was, "now": now}]}
    assert planned.final({"put": [put]}).startswith(final)
    assert bool(planned.final({"put": [put]})) == bool(final)


# etcd's list


def test_members_and_nodes_that_the_file_does_not_name_are_told() -> None:
    listed = {name: Listed(name, True, True, address) for name, address in {"a": "10.0.0.1", "z": "10.0.0.9"}.items()}
    wanted = {"a": "10.0.0.2", "w": "10.0.0.3"}
    world = World(wanted, frozenset("a"), {}, {**listed, "w": Listed("w", True, True, "10.0.0.3")}, nodes={"y": False})
    assert [(each.where, each.next) for each in verify.seats(world, ["y", "z"])] == [
        ("etcd: a", "bootstrap plan"),
        ("etcd: w", "bootstrap remove w"),
        ("y", "bootstrap remove y"),
        ("z", "bootstrap remove z"),
    ]


def test_counts_are_of_all_waves() -> None:
    room = Room("abc")
    room.goal("abc")
    made = plan(room.seen(), WANTS)
    steps = [step for wave in made.waves for step in wave]
    files, objects = (sum(len(step.put) for step in steps if isinstance(step, kind)) for kind in (Turn, Apply))
    counts = planned.counts(made)
    assert (counts["nodes"], counts["created"], counts["changed"], counts["objectsPut"]) == (3, files, 0, objects)
