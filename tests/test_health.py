"""What a wait for health asks, in which order, over how many connections, and when it ends; of a real HTTP server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from bootstrap import health
from bootstrap.components import Probe
from bootstrap.world import Facts, Record


class Line(socket.socket):
    """A socket that can be asked what a channel of SSH can."""

    def recv_ready(self) -> bool:
        """Nothing comes unasked here."""
        return False

    closed = eof_received = False


@dataclass
class Node:
    """A server whose paths answer 500 so many times, and 200 then."""

    port: int = 0
    fails: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    dialled: int = 0

    def dial(self, address: str, port: int) -> Any:
        """A new connection."""
        self.dialled += 1
        line = Line(socket.AF_INET)
        line.connect((address, port))
        return line

    def probe(self, part: str, fails: int = 0) -> Probe:
        """One of a part that fails so many times."""
        self.fails[f"/{part}"] = fails
        return Probe(part, self.port, f"/{part}", "http", "127.0.0.1")

    def facts(self, **began: int) -> Facts:
        """These parts run since then, in the generation g."""
        return Facts(Record(), {}, dict.fromkeys(began, "g"), began=began)


@pytest.fixture
def node() -> Iterator[Node]:
    """It listens on this machine."""
    found = Node()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append(self.path)
            found.fails[self.path] -= 1
            status, words = (500, b"not yet") if found.fails[self.path] >= 0 else (200, b"ok")
            self.send_response(status)
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found.port = server.server_address[1]
        Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def wait(node: Node, *probes: Probe, told: list[Facts], **options: Any) -> dict[str, str]:
    """A wait for parts in the generation g; what the node tells is told in turn, the last again and again."""
    usual: dict[str, Any] = {"seconds": 60, "soak": False, "stopped": lambda: False, "hopeless": lambda _: False}
    runs = {probe.part: "g" for probe in probes}
    return health.wait(
        node.dial,
        lambda: told.pop(0) if len(told) > 1 else told[0],
        probes,
        runs,
        say=lambda _: None,
        known={},
        **usual | options,
    )


def test_parts_are_asked_in_order_and_none_before_the_one_it_needs_answers(node: Node) -> None:
    probes = node.probe("etcd", fails=2), node.probe("api", fails=1), node.probe("scheduler")
    assert wait(node, *probes, told=[node.facts(etcd=1, api=1, scheduler=1)]) == {}
    assert node.asked == ["/etcd", "/etcd", "/etcd", "/api", "/api", "/scheduler"]


def test_a_connection_is_kept_from_one_question_to_the_next(node: Node) -> None:
    assert wait(node, node.probe("etcd", fails=5), told=[node.facts(etcd=1)]) == {}
    assert (len(node.asked), node.dialled) == (6, 1)


def test_at_the_end_all_that_does_not_answer_is_told_with_what_it_said(node: Node) -> None:
    probes = node.probe("etcd", fails=10**6), node.probe("api", fails=10**6), node.probe("scheduler")
    found = wait(node, *probes, told=[node.facts(etcd=1)], seconds=0.3)
    assert found == {"etcd": "500 not yet", "api": "500 not yet"}


def test_a_part_that_answers_in_another_generation_is_waited_for(node: Node) -> None:
    other = Facts(Record(), {}, {"etcd": "former"}, began={"etcd": 1})
    assert wait(node, node.probe("etcd"), told=[other, other, node.facts(etcd=2)]) == {}
    assert len(node.asked) == 3
    assert wait(node, node.probe("etcd"), told=[other], seconds=0.2) == {"etcd": "still to come"}


def test_nobody_waits_for_what_is_hopeless(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK", 0.1)
    asked: list[list[str]] = []

    def hopeless(parts: Any) -> bool:
        asked.append(list(parts))
        return True

    probes = node.probe("etcd"), node.probe("api", fails=10**6)
    assert wait(node, *probes, told=[node.facts(etcd=1)], hopeless=hopeless) == {"api": "500 not yet"}
    assert asked == [["api"]]


def test_a_part_that_began_again_while_it_had_to_stay_is_waited_for_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SOAK", 0.01)
    told = [node.facts(etcd=1), node.facts(etcd=2), node.facts(etcd=2)]
    assert wait(node, node.probe("etcd"), told=told, soak=True) == {}
    assert len(told) == 1


def test_what_is_to_be_ready_in_the_end_is_waited_for_and_else_its_last_words_are_told(node: Node) -> None:
    def lasting(fails: int, seconds: float) -> str:
        return health.lasting(node.dial, node.probe("api", fails), seconds=seconds, stopped=lambda: False)

    assert lasting(3, seconds=60) == ""
    began = time.monotonic()
    assert lasting(10**6, seconds=0.2) == "500 not yet"
    assert time.monotonic() - began < 30
