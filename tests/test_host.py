"""What every Host does: the same for a node of the Room, and for a real one, as root and through sudo with and without
a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from bootstrap.errors import Code, Problem
from bootstrap.ssh import Client, Host, Login
from bootstrap.ssh.secret import Source
from bootstrap.world import Facts, File, Origin, Record, Turn
from tests.fake_host import FakeHost
from tests.lab import Lab
from tests.room import Room

ETCD, LEAVE = "/var/lib/etcd", File("leave.yaml", b"{}\n", secret=False)
PATH, OTHER = "/etc/kubernetes/contract/one.conf", "/etc/kubernetes/contract/two.conf"


class Any(Protocol):
    """A Host, fake or real."""

    name: str

    def observe(self, etcd: str, manifests: str = "") -> Facts: ...
    def turn(self, turn: Turn, was: Facts, etcd: str, leave: File, graces: dict[str, int], *, epoch: int) -> str: ...
    def settle(self, epoch: int) -> None: ...
    def back(self, epoch: int) -> str: ...


@dataclass(slots=True)
class Node:
    """A host, and the epoch its next turn is of."""

    host: Any
    epoch: int = 1

    def facts(self) -> Facts:
        """As it is now."""
        return self.host.observe(ETCD)

    def wants(self, *files: File) -> Turn:
        """The turn to these files and no others."""
        was, wanted = self.facts(), {file.path: file for file in files}
        return Turn(
            self.host.name,
            tuple((was.seen.get(path), file) for path, file in sorted(wanted.items())),
            tuple(sorted(was.record.files.keys() - wanted.keys())),
            (),
            fresh=False,
            record=Record(
                uid="contract" if files else "",
                files={path: file.fingerprint for path, file in wanted.items()},
                origins={path: Origin("contract", "", secret=True) for path in wanted},
                manifests=was.machine.manifests if files else "",
            ),
        )

    def take(self, turn: Turn) -> None:
        """It is done, and not settled."""
        self.host.turn(turn, self.facts(), ETCD, LEAVE, {}, epoch=self.epoch)

    def has(self) -> dict[str, str]:
        """path -> fingerprint of what lies there of ours."""
        seen = self.facts().seen
        return {path: seen[path] for path in (PATH, OTHER) if path in seen}


def file(path: str, content: str, mode: int = 0o600) -> File:
    """One that nothing restarts for."""
    return File(path, content.encode(), mode)


def fake(_: ExitStack, __: Lab | None) -> Any:
    """A node of the Room."""
    room = Room("a")
    room.goal("a")
    return FakeHost(room, "a")


def real(user: str, password: str = "") -> Callable[[ExitStack, Lab | None], Any]:
    """A node of the lab, as this user."""

    def make(stack: ExitStack, lab: Lab | None) -> Any:
        assert lab
        node, client = lab.node("cp1"), Client()
        if password:
            monkey = stack.enter_context(pytest.MonkeyPatch.context())
            monkey.setenv("CONTRACT_PASSWORD", password)
        login = Login(node.address, 22, user, lab.identity, host_key=node.host_key, plain=True)
        login = replace(login, password=Source(variable="CONTRACT_PASSWORD" if password else ""))
        host = Host("cp1", login, client)
        stack.callback(client.close)
        stack.callback(host.close)
        return host

    return make


def held(make: Callable[[ExitStack, Lab | None], Any], lab: Lab | None) -> Iterator[Node]:
    """A host on which nothing of ours lies, before and after."""
    with ExitStack() as stack:
        node = Node(make(stack, lab))
        yield node
        node.epoch = 100
        if node.facts().record.files:
            node.take(node.wants())
        assert not node.facts().record.files


@pytest.fixture
def faked() -> Iterator[Node]:
    """Of the Room."""
    yield from held(fake, None)


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Lab:
    """One whom nobody has changed."""
    lab.fresh("cp1")
    return lab


@pytest.fixture(params=[real("root"), real("ops"), real("guarded", "lab")], ids=["root", "sudo", "password"])
def met(request: pytest.FixtureRequest, machine: Lab) -> Iterator[Node]:
    """Of the lab."""
    yield from held(request.param, machine)


# The contract


def a_stranger_has_nothing_of_ours(node: Node) -> None:
    assert not node.facts().record.files
    assert node.has() == {}


def a_turn_puts_files_and_is_not_settled_until_it_is(node: Node) -> None:
    one = file(PATH, "one", 0o640)
    node.take(node.wants(one))
    record = node.facts().record
    assert (node.has(), record.files, record.settled) == ({PATH: one.fingerprint}, {PATH: one.fingerprint}, False)
    node.host.settle(node.epoch)
    assert node.facts().record.settled
    assert node.has() == {PATH: one.fingerprint}


def a_turn_may_be_done_twice(node: Node) -> None:
    turn = node.wants(file(PATH, "one"), file(OTHER, "two"))
    node.take(turn)
    once = node.has()
    node.take(turn)
    assert node.has() == once
    node.host.settle(node.epoch)
    assert node.has() == once


def a_swap_back_gives_back_the_former_generation(node: Node) -> None:
    one = file(PATH, "one")
    node.take(node.wants(one))
    node.host.settle(node.epoch)
    node.take(node.wants(file(PATH, "another"), file(OTHER, "two")))
    assert node.has().keys() == {PATH, OTHER}
    node.host.back(node.epoch)
    record = node.facts().record
    assert (node.has(), record.files, record.settled) == ({PATH: one.fingerprint}, {PATH: one.fingerprint}, True)


def nothing_is_swapped_back_once_it_is_settled(node: Node) -> None:
    one = file(PATH, "one")
    node.take(node.wants(one))
    node.host.settle(node.epoch)
    assert node.host.back(node.epoch) == "keeps what it had"
    assert node.has() == {PATH: one.fingerprint}


def what_is_no_longer_wanted_goes(node: Node) -> None:
    node.take(node.wants(file(PATH, "one"), file(OTHER, "two")))
    node.host.settle(node.epoch)
    node.take(node.wants(file(OTHER, "two")))
    node.host.settle(node.epoch)
    assert node.has().keys() == {OTHER}


def what_moved_since_the_plan_is_refused_and_left_alone(node: Node) -> None:
    late = node.wants(file(PATH, "late"))
    one = file(PATH, "one")
    node.take(node.wants(one))
    node.host.settle(node.epoch)
    with pytest.raises(Problem) as told:
        node.take(late)
    assert told.value.code is Code.CHANGES
    assert PATH in told.value.what
    assert node.has() == {PATH: one.fingerprint}


def an_older_epoch_is_refused_by_everything_that_writes(node: Node) -> None:
    node.epoch = 7
    one = file(PATH, "one")
    node.take(node.wants(one))
    later: tuple[Callable[[], object], ...] = (
        lambda: node.take(node.wants(file(PATH, "another"))),
        lambda: node.host.settle(6),
        lambda: node.host.back(6),
    )
    node.epoch = 6
    for refused in later:
        with pytest.raises(Problem) as told:
            refused()
        assert told.value.code is Code.LOCKED
    assert node.has() == {PATH: one.fingerprint}
    assert not node.facts().record.settled


CONTRACT = (
    a_stranger_has_nothing_of_ours,
    a_turn_puts_files_and_is_not_settled_until_it_is,
    a_turn_may_be_done_twice,
    a_swap_back_gives_back_the_former_generation,
    nothing_is_swapped_back_once_it_is_settled,
    what_is_no_longer_wanted_goes,
    what_moved_since_the_plan_is_refused_and_left_alone,
    an_older_epoch_is_refused_by_everything_that_writes,
)


@pytest.mark.parametrize("does", CONTRACT, ids=lambda does: does.__name__)
def test_a_node_of_the_room(faked: Node, does: Callable[[Node], None]) -> None:
    does(faked)


@pytest.mark.parametrize("does", CONTRACT, ids=lambda does: does.__name__)
def test_a_node_of_the_lab(met: Node, does: Callable[[Node], None]) -> None:
    does(met)
