"""sudo as machines have it: without a password, with one, a lecture, a terminal wanted, not allowed; tried once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import asking, trace
from bootstrap.errors import Code, Problem
from bootstrap.ssh import Login
from bootstrap.ssh.programs import Programs
from bootstrap.ssh.secret import Source
from tests.conftest import NewSshd
from tests.sshd import Person, Sshd, programs

FREELY, BY_PASSWORD = "ME ALL=(ALL) NOPASSWD: ALL", "ME ALL=(ALL) ALL"
WHO = ["sh", "-c", "id -u; cat"]


@pytest.fixture(scope="module")
def sshd(new_sshd: NewSshd) -> Sshd:
    """Whose HOME is nobody's: sudo's users have their own."""
    return new_sshd()


@pytest.fixture
def login(sshd: Sshd, somebody: Person) -> Login:
    """How they come in."""
    return sshd.login(user=somebody.name)


def refused(login: Login, *words: str) -> Problem:
    """Nobody becomes root, and this is said of it."""
    with programs(login) as (one,), pytest.raises(Problem) as told:
        one.run(WHO, timeout=60)
    problem = told.value
    assert problem.code is Code.UNREACHABLE
    assert problem.next
    said = f"{problem.what}\n{problem.why}\n{problem.next}"
    assert [word for word in words if word not in said] == [], said
    return problem


def failures(person: Person) -> int:
    """How many wrong passwords sudo has counted."""
    return Path(f"/tmp/{person.name}.sudo").read_text().count("incorrect password attempt")


def counted(person: Person) -> str:
    """A line of sudoers that writes them down."""
    Path(f"/tmp/{person.name}.sudo").write_text("")
    return f"Defaults:{person.name} logfile=/tmp/{person.name}.sudo"


@pytest.fixture(autouse=True)
def nothing_left(somebody: Person) -> Iterator[None]:
    """What sudo remembers of them is forgotten."""
    yield
    Path(f"/tmp/{somebody.name}.sudo").unlink(missing_ok=True)
    for place in ("/run/sudo/ts", "/var/lib/sudo/lectured"):
        Path(f"{place}/{somebody.name}").unlink(missing_ok=True)


@pytest.mark.parametrize("defaults", [(), ("Defaults:ME use_pty",)], ids=["plain", "use_pty"])
def test_without_a_password_nobody_is_asked(login: Login, somebody: Person, defaults: tuple[str, ...]) -> None:
    somebody.sudoers(*defaults, FREELY)
    with programs(login) as (one,):
        assert one.run(WHO, b"in\n", timeout=60).out == "0\nin\n"


@pytest.mark.parametrize(
    "defaults",
    [
        (),
        ("Defaults:ME use_pty",),
        ("Defaults:ME lecture=always",),
        ("Defaults:ME timestamp_type=global",),
        ("Defaults:ME insults",),
        ('Defaults:ME passprompt="Say it, %p: "',),
    ],
    ids=["plain", "use_pty", "lecture", "remembers", "insults", "prompt"],
)
def test_a_password_goes_to_sudo_and_the_input_to_the_program(
    login: Login, somebody: Person, tmp_path: Path, defaults: tuple[str, ...]
) -> None:
    somebody.sudoers(*defaults, BY_PASSWORD)
    (tmp_path / "password").write_text(f"{somebody.password}\n")
    everything = bytes(range(256)) * 20_000
    with programs(replace(login, password=Source(tmp_path / "password"))) as (one,):
        for _ in range(2):
            reply = one.run(WHO, b"in\n", timeout=60)
            assert (reply.status, reply.out, reply.err) == (0, "0\nin\n", "")
        digest = one.run(["sha256sum"], everything, timeout=60).out
        assert digest.split()[0] == hashlib.sha256(everything).hexdigest()
        stream = one.begin(["sh", "-c", 'while read -r it; do echo "$it!"; done'], timeout=60)
        stream.channel.sendall(b"one\n")
        told = b""
        while not told.endswith(b"\n") and (more := stream.channel.recv(100)):
            told += more
        assert told == b"one!\n"
        stream.channel.close()


def test_a_password_is_asked_for_once_for_all_nodes(login: Login, somebody: Person) -> None:
    somebody.sudoers(BY_PASSWORD)
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return somebody.password

    outs: list[str] = []
    with asking.by(answer), programs(*[login] * 6) as hosts:
        threads = [
            threading.Thread(target=lambda host=host: outs.append(host.run(WHO, timeout=60).out)) for host in hosts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outs == ["0\n"] * 6
    assert questions == [f"Password of {somebody.name} for sudo on the nodes"]


def test_a_wrong_password_is_tried_once_and_on_one_node(
    login: Login, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody.sudoers(counted(somebody), BY_PASSWORD)
    monkeypatch.setenv("SUDO_PASSWORD", "wrong-canary")
    told: list[Problem] = []

    def attempt(host: Programs) -> None:
        for _ in range(2):
            with pytest.raises(Problem) as refusal:
                host.run(WHO, timeout=60)
            told.append(refusal.value)

    with programs(*[replace(login, password=Source(variable="SUDO_PASSWORD"))] * 3) as hosts:
        threads = [threading.Thread(target=attempt, args=(host,)) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures(somebody) == 1
    assert len(told) == 6
    for problem in told:
        assert problem.code is Code.UNREACHABLE
        assert f"the sudo password of {somebody.name} is wrong" in problem.what
        assert "right one" in problem.next
        assert "canary" not in f"{problem.what}{problem.why}{problem.next}"


def test_an_empty_password_is_a_wrong_one(login: Login, somebody: Person, tmp_path: Path) -> None:
    somebody.sudoers(BY_PASSWORD)
    (tmp_path / "password").write_text("")
    refused(replace(login, password=Source(tmp_path / "password")), "is wrong")


def test_a_password_nobody_can_be_asked_for_is_told(login: Login, somebody: Person, tmp_path: Path) -> None:
    somebody.sudoers(BY_PASSWORD)
    told = refused(login, "sudo asks", somebody.name, "nobody to ask")
    assert "ssh.sudoPasswordFile" in told.next
    named = replace(login, password=Source(tmp_path / "missing"))
    refused(named, "missing", "is not there", "No such file")


def test_who_may_not_use_sudo_is_told(login: Login, somebody: Person, tmp_path: Path) -> None:
    somebody.sudoers("# nothing")
    (tmp_path / "password").write_text(somebody.password)
    named = replace(login, password=Source(tmp_path / "password"))
    told = refused(named, f"{somebody.name} may not become root by sudo", "not in the sudoers")
    assert "visudo" in told.next


def test_a_sudo_that_wants_a_terminal_is_told(login: Login, somebody: Person) -> None:
    somebody.sudoers("Defaults:ME requiretty", FREELY)
    refused(login, "wants a terminal", f"Defaults:{somebody.name} !requiretty")


def test_a_node_without_sudo_is_told(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    from bootstrap.ssh import programs as module

    monkeypatch.setattr(module, "SUDO", module.SUDO.replace("exec sudo", "exec sudo-that-is-not-there"))
    refused(login, "has no sudo", "not found")


def test_a_password_is_in_no_argument_and_in_no_trace(login: Login, somebody: Person, tmp_path: Path) -> None:
    somebody.sudoers(BY_PASSWORD)
    (tmp_path / "password").write_text(somebody.password)
    spans: list[trace.Span] = []
    with (
        trace.listening(spans.append),
        programs(replace(login, password=Source(tmp_path / "password"))) as (one,),
    ):
        stream = one.begin(
            ["sh", "-c", "echo begun; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"], timeout=60
        )
        stream.send(b"")
        seen = b"".join(iter(lambda: stream.channel.recv(65536), b""))
        assert b"begun" in seen
        assert somebody.password.encode() not in seen
        assert somebody.password not in f"{spans} {vars(one)} {one.login}"
