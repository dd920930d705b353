"""The only module that speaks to etcd: members and health, by its JSON gateway."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bootstrap.flags import peer_url
from bootstrap.world import Listed

Tree = Mapping[str, Any]

PATIENCE = 15.0  # seconds that a change of the list is asked for again where etcd says NOT_NOW
NOT_NOW = ("unhealthy cluster", "in sync with leader", "leader changed", "no leader", "timed out")


class Etcd:
    """One member, through its node."""

    def __init__(self, client: httpx2.Client) -> None:
        """The client knows where it is and who we are."""
        self._client = client

    def members(self, nodes: Mapping[str, str]) -> dict[str, Listed]:
        """The list, by node: looked up by peer address in `nodes` (node -> address), else by the member's own name.

        httpx2.HTTPError when it can't be asked, which includes a lost quorum: the list is read through it.
        """
        names = {address: node for node, address in nodes.items()}
        found = {}
        for member in self._ask("cluster/member/list", {"linearizable": True})["members"]:
            address = urlsplit(member["peerURLs"][0]).hostname or ""
            name = names.get(address) or member.get("name") or f"member {member['ID']}"
            found[name] = Listed(
                id=member["ID"],
                votes=not member.get("isLearner", False),
                started=bool(member.get("clientURLs")),
                address=address,
            )
        return found

    def alarms(self) -> dict[str, str]:
        """Member id -> what it complains of: NOSPACE, CORRUPT."""
        found = self._ask("maintenance/alarm", {"action": "GET"}).get("alarms", ())
        return {alarm["memberID"]: alarm["alarm"] for alarm in found}

    def leads(self) -> bool:
        """Whether this very member is the leader."""
        status = self._ask("maintenance/status", {})
        return bool(status["leader"] == status["header"]["member_id"])

    def hand_over(self, member: str) -> None:
        """That member leads from now on; to be asked of the leader."""
        self._ask("maintenance/transfer-leadership", {"targetID": member})

    def add_learner(self, address: str) -> None:
        """A member that does not vote yet; adding one that is listed changes nothing."""
        url = peer_url(address)
        new = {"peerURLs": [url], "isLearner": True}
        self._change("add", new, lambda members: all(url not in member["peerURLs"] for member in members))

    def promote(self, member: str, *, seconds: float) -> None:
        """A learner votes from now on, as soon as it has caught up: etcd refuses before."""
        learns = {"ID": member, "isLearner": True}.items()
        self._change("promote", {"ID": member}, lambda members: any(learns <= m.items() for m in members), seconds)

    def remove(self, member: str) -> None:
        """Out of the list; who is not there any more is no fault."""
        self._change("remove", {"ID": member}, lambda members: any(m["ID"] == member for m in members))

    def _change(
        self, verb: str, question: Tree, needed: Callable[[Sequence[Tree]], bool], seconds: float = PATIENCE
    ) -> None:
        """Ask for a change of the list while it is `needed`: so a reply that was lost does no harm.

        etcd refuses for a few seconds after members have met, or have chosen another leader.
        """
        deadline = time.monotonic() + seconds
        while needed(self._ask("cluster/member/list", {"linearizable": True})["members"]):
            try:
                self._ask(f"cluster/member/{verb}", question)
            except httpx2.HTTPStatusError as error:
                if not any(words in error.args[0] for words in NOT_NOW) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def delete(self, key: str) -> None:
        """What is stored under a key goes; nothing is fine too."""
        self._ask("kv/deleterange", {"key": b64encode(key.encode()).decode()})

    def status(self) -> dict[str, Any]:
        """What this member says of itself: `leader`, `version`, `dbSize`, its own id in `header`."""
        return self._ask("maintenance/status", {})

    def _ask(self, path: str, question: Mapping[str, object]) -> dict[str, Any]:
        response = self._client.post(f"/v3/{path}", json=dict(question))
        if response.status_code != 200:
            raise httpx2.HTTPStatusError(response.text[:200], request=response.request, response=response)
        answer: dict[str, Any] = response.json()
        return answer
