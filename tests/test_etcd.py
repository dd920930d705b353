"""What is asked of etcd to change its list, by an etcd of a few lines: one that is not ready yet, or can't be heard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from bootstrap.etcd import Etcd

LEARNER = {"ID": "2", "name": "b", "peerURLs": ["https://10.0.0.2:2380"], "isLearner": True}
UNHEALTHY = "etcdserver: unhealthy cluster"
BEHIND = "etcdserver: can only promote a learner member which is in sync with leader"


class Members:
    """etcd's list, behind answers that may be refusals, or be lost though what was asked is done."""

    def __init__(self, *answers: str) -> None:
        """What it says to the changes that it is asked for, one after the other; "" does it."""
        self.answers = list(answers)
        self.listed: list[dict[str, Any]] = [{"ID": "1", "name": "a", "peerURLs": ["https://10.0.0.1:2380"]}]
        self.asked = 0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """As the JSON gateway answers."""
        verb, question = request.url.path.rpartition("/")[2], json.loads(request.content)
        if verb != "list":
            self.asked += 1
            refusal = self.answers.pop(0) if self.answers else ""
            if refusal in ("", "etcdserver: request timed out"):
                self.change(verb, question)
            if refusal:
                return httpx2.Response(503, text=refusal)
        return httpx2.Response(200, json={"members": self.listed})

    def change(self, verb: str, question: dict[str, Any]) -> None:
        """The list, changed; etcd too refuses what has been done already."""
        match verb:
            case "add":
                assert all(each["peerURLs"] != question["peerURLs"] for each in self.listed), "Peer URLs already exist"
                self.listed.append(dict(LEARNER))
            case "promote":
                (learner,) = [each for each in self.listed if each["ID"] == question["ID"] and each.get("isLearner")]
                del learner["isLearner"]
            case "remove":
                (gone,) = [each for each in self.listed if each["ID"] == question["ID"]]
                self.listed.remove(gone)


Change = Callable[[Etcd], None]
CHANGES: dict[str, Change] = {
    "add": lambda it: it.add_learner("10.0.0.2"),
    "promote": lambda it: it.promote("2", seconds=10),
    "remove": lambda it: it.remove("2"),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr("bootstrap.etcd.time.sleep", lambda _: None)


def asked(members: Members, verb: str) -> list[dict[str, Any]]:
    """The list once this was asked of it; all but a new member learn at first."""
    if verb != "add":
        members.listed.append(dict(LEARNER))
    CHANGES[verb](Etcd(httpx2.Client(transport=httpx2.MockTransport(members.answer), base_url="https://etcd")))
    return members.listed


DONE = {"add": [("1", False), ("2", True)], "promote": [("1", False), ("2", False)], "remove": [("1", False)]}


def seats(listed: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """(id, whether it learns), of all who are listed."""
    return [(each["ID"], each.get("isLearner", False)) for each in listed]


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("refusal", [UNHEALTHY, BEHIND, "etcdserver: leader changed"])
def test_a_change_is_asked_for_again_while_etcd_can_not_do_it_yet(verb: str, refusal: str) -> None:
    members = Members(refusal, refusal)
    assert (seats(asked(members, verb)), members.asked) == (DONE[verb], 3)


@pytest.mark.parametrize("verb", CHANGES)
def test_a_reply_that_was_lost_is_no_failure_and_nothing_is_done_twice(verb: str) -> None:
    members = Members("etcdserver: request timed out")
    assert (seats(asked(members, verb)), members.asked) == (DONE[verb], 1)


@pytest.mark.parametrize("verb", CHANGES)
def test_what_is_so_already_is_not_asked_for(verb: str) -> None:
    members = Members()
    asked(members, verb)
    CHANGES[verb](Etcd(httpx2.Client(transport=httpx2.MockTransport(members.answer), base_url="https://etcd")))
    assert (seats(members.listed), members.asked) == (DONE[verb], 1)


@pytest.mark.parametrize("verb", CHANGES)
def test_what_etcd_refuses_for_good_is_told_at_once(verb: str) -> None:
    members = Members("etcdserver: re-configuration failed due to not enough started members")
    with pytest.raises(httpx2.HTTPStatusError, match="not enough started members"):
        asked(members, verb)
    assert members.asked == 1


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_that_can_not_be_done_is_not_asked_for_for_ever(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 4))
    monkeypatch.setattr("bootstrap.etcd.time.monotonic", lambda: next(clock))
    with pytest.raises(httpx2.HTTPStatusError, match="unhealthy"):
        asked(Members(*[UNHEALTHY] * 100), verb)
