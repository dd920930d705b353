"""What is remembered of nodes that left the file: how to reach them, and what of theirs nobody else may have yet."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap import documents, roster, state
from bootstrap.errors import Problem
from bootstrap.hosts import Hosts
from bootstrap.machines import Opened
from bootstrap.plan import plan
from bootstrap.pod_networks import pod_networks
from bootstrap.spec.model import Cluster
from bootstrap.world import Blocked, Facts, Record, World
from tests.room import WANTS, Room
from tests.stores import THREE, cluster

FEWER: dict[str, Any] = {"nodes": THREE["nodes"][:3]}


def noted(wanted: Cluster) -> dict[str, bytes]:
    """A store after a run with this file."""
    store: dict[str, bytes] = {}
    roster.note(store, wanted)
    return store


def test_a_node_that_left_the_file_is_reached_as_before() -> None:
    ssh = {"user": "ops", "identityFile": "~/.ssh/lab", "jump": "hop.internal"}
    store = noted(cluster({"ssh": ssh}))
    left = roster.gone(store, cluster(FEWER))
    assert left.keys() == {"w1"}
    node = left["w1"].node
    assert (node.address, node.role) == ("10.77.0.21", "worker")
    assert (node.ssh.host, node.ssh.user, node.ssh.jump) == ("10.77.0.21", "ops", "hop.internal")


def test_a_later_run_does_not_forget_it_and_remove_does() -> None:
    store = noted(cluster({}))
    roster.note(store, cluster(FEWER))
    assert "w1" in roster.gone(store, cluster(FEWER))
    roster.forget(store, ["w1"], {"w1"})
    assert roster.gone(store, cluster(FEWER)) == {}


def test_who_could_not_be_reached_when_it_was_removed_can_be_removed_again() -> None:
    store = noted(cluster({}))
    roster.forget(store, ["w1"], frozenset())
    assert roster.gone(store, cluster(FEWER))["w1"].removed


def test_nothing_is_written_where_nothing_changed() -> None:
    store = noted(cluster({}))
    before = store[roster.NAME]
    roster.note(store, cluster({}))
    assert store[roster.NAME] is before


@pytest.mark.parametrize("content", [b"", b"[]", b'{"w1": {"name": "w1"}}', b'{"w1": {"name": "w1", "new": 1}}'])
def test_what_can_not_be_read_is_as_if_it_were_not_there(content: bytes) -> None:
    assert roster.gone({roster.NAME: content}, cluster(FEWER)) == {}


def test_hosts_know_who_left_and_do_not_ask_it_unasked(tmp_path: Any) -> None:
    (tmp_path / "cluster.yaml").write_text(documents.dump({**THREE, **FEWER}))
    state.opened(state.directory(tmp_path / "cluster.yaml", cluster(FEWER).name)).update(noted(cluster({})))
    with Opened(tmp_path / "cluster.yaml") as opened:
        hosts = Hosts(opened, lambda _: None)
        assert hosts.former == {"w1"}
        assert "w1" in hosts.nodes
        assert "w1" not in hosts.addresses


# Pod networks

RECORDED = {"cp1": "10.244.0.0/24", "w1": "10.244.1.0/24"}
SEEN = {"cp1": Facts(Record(pods=RECORDED), {}, {})}
TWO: dict[str, Any] = {"nodes": [THREE["nodes"][0], {**THREE["nodes"][3], "name": "w2"}]}


def test_a_pod_network_is_free_once_its_node_was_removed() -> None:
    assert pod_networks(cluster(TWO), SEEN, kept={"cp1"}) == {"cp1": "10.244.0.0/24", "w2": "10.244.1.0/24"}


@pytest.mark.parametrize("kept", [None, {"cp1", "w1"}])
def test_it_is_not_free_while_its_node_is_there_or_nobody_can_tell(kept: set[str] | None) -> None:
    assert pod_networks(cluster(TWO), SEEN, kept) == RECORDED | {"w2": "10.244.2.0/24"}


def test_a_node_of_the_file_keeps_its_own_though_it_was_removed() -> None:
    one = {"nodes": [THREE["nodes"][0], THREE["nodes"][3]]}
    assert pod_networks(cluster(one), SEEN, kept={"cp1"}) == RECORDED


def test_when_none_is_free_people_are_told_how_one_gets() -> None:
    small = {"networking": {"podSubnet": "10.244.0.0/23"}, **TWO}
    with pytest.raises(Problem) as full:
        pod_networks(cluster(small), SEEN, None)
    assert "bootstrap remove" in full.value.next


# Leaving


def leaving(dead: str, names: str) -> World:
    """Three that founded, some of them dead, and these are to leave."""
    room = Room("abc")
    room.goal("abc")
    room.go()
    room.dead |= set(dead)
    room.goal("abc", leaving=names)
    return room.seen()


def test_who_would_take_the_quorum_away_stays_and_people_are_told_who_could_go() -> None:
    assert "c could" in plan(leaving("c", "a"), WANTS).blocked
    assert plan(leaving("c", "c"), WANTS).blocked == ""


def test_a_node_that_only_the_cluster_knows_is_taken_out_of_the_lists() -> None:
    room = Room("a")
    room.goal("a")
    room.go()
    world = room.seen()
    stranger = World(
        **{field: getattr(world, field) for field in World.__slots__}
        | {"nodes": {**world.nodes, "x": False}, "leaving": frozenset("x")}
    )
    made = plan(stranger, WANTS)
    assert [type(step).__name__ for wave in made.waves for step in wave] == ["Drain", "Apply"]
    assert not isinstance(made.blocked, Blocked)
