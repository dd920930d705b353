"""SSH as machines have it: host keys, our keys, login shells, lines that break; on real sshds of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap import asking
from bootstrap.errors import Code, Problem
from bootstrap.ssh import Client, Host, Login
from bootstrap.ssh.programs import Programs
from bootstrap.ssh.secret import Source
from tests.cluster import until
from tests.conftest import NewSshd
from tests.sshd import Person, Sshd, blackhole, free_port, keygen, programs, refused

LEFT = ["sh", "-c", 'printf "%s|" "$0" "$@"; cat', "a b", "c\\d\ne'f\"", "$HOME !x", "", "ä"]
TOLD = "a b|c\\d\ne'f\"|$HOME !x||ä|"


@pytest.fixture(scope="module")
def sshd(new_sshd: NewSshd) -> Sshd:
    """With a key of each kind, as machines have them."""
    return new_sshd(kinds=("ed25519", "rsa", "ecdsa"))


def works(login: Login) -> None:
    """It is let in."""
    with programs(login) as (opened,):
        assert opened.run(["echo", "in"], timeout=60).out == "in\n"


# Who it is


def test_only_the_pinned_key_is_accepted(sshd: Sshd) -> None:
    for kind in sshd.kinds:
        works(sshd.login(host_key=sshd.shown(kind)))
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEvq3isjNDC5cYuqzs8P4FHLIqILbXmlqfxa2HOI4vc8"
    print_ = subprocess.run(["ssh-keygen", "-lf", sshd.key()], check=True, capture_output=True, text=True).stdout
    refused(sshd.login(host_key=other), "shows another host key", print_.split()[1], "ssh.hostKey")


def test_a_host_key_that_nobody_knows_is_named_and_refused(sshd: Sshd, tmp_path: Path) -> None:
    print_ = subprocess.run(["ssh-keygen", "-lf", sshd.key()], check=True, capture_output=True, text=True).stdout
    known = tmp_path / "known_hosts"
    told = refused(sshd.login(host_key="", known_hosts=known), "is not known", print_.split()[1], "ssh-keyscan")
    assert str(known) in told.why
    assert not known.exists()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_key_of_any_kind_that_is_known_is_asked_for_first(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.shown(kind)}\n")
    works(sshd.login(host_key="", known_hosts=known))


def test_known_hosts_is_read_as_ssh_reads_it(sshd: Sshd, tmp_path: Path) -> None:
    known, name = tmp_path / "known_hosts", f"[127.0.0.1]:{sshd.port}"
    other = keygen(tmp_path / "other")
    unknown = " ".join(Path(f"{other}.pub").read_text().split()[:2])
    login = sshd.login(host_key="", known_hosts=known)
    noise = (
        f"# a comment\n\n@cert-authority *.example {unknown}\n@revoked other.example {unknown}\nnonsense\n|1|x|y a b\n"
    )
    known.write_text(f"{name} {sshd.shown()}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    known.write_text(noise + known.read_text())
    works(login)
    known.write_text(f"{noise}[127.0.0.?]:* {sshd.shown()}\n")
    works(login)
    known.write_text(f"[127.0.0.?]:*,!{name} {sshd.shown()}\n")
    refused(login, "is not known")
    known.write_text(f"@cert-authority {name} {unknown}\n")
    refused(login, "is not known", "@cert-authority")
    known.write_text(f"{name} {sshd.shown()}\n@revoked * {sshd.shown()}\n")
    refused(login, "is revoked")
    known.write_text(f"{name} {unknown}\n{name} {sshd.shown()}\n")
    works(login)
    known.write_bytes(b"\xff\xfe\n" + f"{name} {unknown}\n".encode())
    refused(login, "shows another host key")


def test_accept_new_writes_a_key_down_once_and_refuses_another(new_sshd: NewSshd, tmp_path: Path) -> None:
    sshd, known = new_sshd(), tmp_path / ".bootstrap" / "state" / "known_hosts"
    login = sshd.login(host_key="", known_hosts=known, accept_new=True)
    threads = [threading.Thread(target=works, args=(login,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {sshd.shown()}\n"
    assert [path.stat().st_mode & 0o777 for path in (known, *known.parents[:2])] == [0o600, 0o700, 0o700]
    sshd.stop()
    sshd.key().unlink()
    sshd.start()
    refused(login, "shows another host key", "ssh-keygen -R")
    assert len(known.read_text().splitlines()) == 1


# Who we are


def test_a_key_that_is_not_let_in_is_told(sshd: Sshd, tmp_path: Path) -> None:
    told = refused(sshd.login(identity=keygen(tmp_path / "other")), "root@127.0.0.1", "does not accept our key")
    assert "ssh-copy-id" in told.next


@pytest.mark.parametrize(("kind", "form"), [("ed25519", ""), ("rsa", ""), ("rsa", "PEM"), ("ecdsa", "")])
def test_keys_of_every_kind_are_let_in(sshd: Sshd, tmp_path: Path, kind: str, form: str) -> None:
    identity = keygen(tmp_path / "key", kind=kind, form=form)
    sshd.allow(identity)
    works(sshd.login(identity=identity))


def test_a_key_file_that_is_none_is_told(sshd: Sshd, tmp_path: Path) -> None:
    refused(sshd.login(identity=tmp_path / "missing"), "missing can't be read", "No such file", "ssh.identityFile")
    refused(sshd.login(identity=Path(f"{sshd.identity}.pub")), "is no private key")
    (tmp_path / "text").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n!!!\n-----END OPENSSH PRIVATE KEY-----\n")
    refused(sshd.login(identity=tmp_path / "text"), "is no private key")


@pytest.mark.parametrize(("kind", "form"), [("ed25519", ""), ("rsa", "PEM")])
def test_a_passphrase_comes_from_a_file_from_the_environment_or_from_a_person(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str
) -> None:
    identity = keygen(tmp_path / "key", kind=kind, passphrase="seven words", form=form)
    sshd.allow(identity)
    told = refused(sshd.login(identity=identity), "has a passphrase", "nobody to ask")
    assert f"ssh-add {identity}" in told.next
    (tmp_path / "phrase").write_text("seven words\n")
    works(sshd.login(identity=identity, passphrase=Source(tmp_path / "phrase")))
    monkeypatch.setenv("PHRASE", "seven words")
    works(sshd.login(identity=identity, passphrase=Source(variable="PHRASE")))
    refused(sshd.login(identity=identity, passphrase=Source(variable="NONE")), "NONE", "is not set")
    monkeypatch.setenv("PHRASE", "seven birds")
    wrong = refused(sshd.login(identity=identity, passphrase=Source(variable="PHRASE")), "passphrase", "is wrong")
    assert "birds" not in f"{wrong.what}{wrong.why}{wrong.next}"
    client, questions = Client(), list[str]()

    def answer(question: str) -> str:
        questions.append(question)
        return "seven words"

    with asking.by(answer):
        hosts = [Programs(name, sshd.login(identity=identity), client) for name in ("cp1", "cp2", "cp3")]
        assert [host.run(["echo", "in"], timeout=60).out for host in hosts] == ["in\n"] * 3
    for host in hosts:
        host.close()
    assert questions == [f"Passphrase of {identity}"]


def listens(path: Path) -> bool:
    """Whether somebody lets others in at this socket: it is there a moment before."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        return True


@contextmanager
def agent(directory: Path, *identities: Path, passphrase: str = "") -> Iterator[str]:
    """An ssh-agent that holds these keys, and its socket."""
    path = directory / "agent"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    answer = directory / "answer"
    answer.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    answer.chmod(0o700)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(path), "SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force"}
    try:
        until(lambda: running.poll() is not None or listens(path))
        assert running.poll() is None
        for identity in identities:
            subprocess.run(["ssh-add", "-q", identity], env=environment, check=True, stdin=subprocess.DEVNULL)
        yield str(path)
    finally:
        running.kill()
        running.wait()


def test_the_agent_logs_in_and_has_what_a_passphrase_would_unlock(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = keygen(tmp_path / "key", passphrase="seven words")
    sshd.allow(identity)
    with agent(tmp_path, identity, passphrase="seven words") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        monkeypatch.setenv("HOME", str(tmp_path))
        works(sshd.login(identity=identity))
        works(sshd.login(identity=None))
        Path(f"{identity}.pub").unlink()
        works(sshd.login(identity=identity))
        identity.unlink()
        works(sshd.login(identity=None))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    refused(sshd.login(identity=None), "there is no key to log in with")


def test_an_agent_with_too_many_keys_is_told(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [keygen(tmp_path / f"other{number}") for number in range(8)]
    with agent(tmp_path, *others) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        monkeypatch.setenv("HOME", str(tmp_path))
        refused(sshd.login(identity=None), "has heard enough keys", "ssh.identityFile")
        works(sshd.login())


# What it is like there


def test_words_and_input_arrive_as_they_are(sshd: Sshd) -> None:
    everything = bytes(range(1, 256)) * 4000
    with programs(sshd.login()) as (opened,):
        reply = opened.run([*LEFT], b"in\n", timeout=60)
        assert (reply.status, reply.out) == (0, f"{TOLD}in\n")
        digest = opened.run(["sha256sum"], everything, timeout=60).out
        assert (
            digest == subprocess.run(["sha256sum"], input=everything, capture_output=True, check=True).stdout.decode()
        )
        assert opened.run(["sh", "-c", "cat; echo why >&2; exit 7"], b"", timeout=60).err == "why\n"


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash", "/usr/bin/fish", "/usr/bin/bsd-csh", "/usr/bin/tcsh"])
def test_any_login_shell_will_do_whatever_it_prints(sshd: Sshd, somebody: Person, shell: str) -> None:

    noise = 'echo "Welcome to $HOST"; echo "do not panic" >/dev/stderr\n'
    rcs = {".bashrc": noise, ".cshrc": 'echo "Welcome"; echo "no newline at the end" | tr -d "\\n"\n'}
    rcs |= {".config/fish/config.fish": "echo Welcome\necho 'do not panic' >&2\n"}
    for name, text in rcs.items():
        (somebody.home / name).parent.mkdir(parents=True, exist_ok=True)
        (somebody.home / name).write_text(text)
    somebody.shell(shell)
    with programs(sshd.login(user=somebody.name, sudo=False)) as (opened,):
        opened.run(["true"], timeout=60)
        reply = opened.run([*LEFT], b"in\n", timeout=60)
        assert (reply.status, reply.out, reply.err) == (0, f"{TOLD}in\n", "")
    for name in rcs:
        (somebody.home / name).unlink()
    somebody.shell("/bin/bash")


def test_a_login_shell_that_runs_nothing_is_told(sshd: Sshd, somebody: Person) -> None:
    somebody.shell("/usr/sbin/nologin")
    refused(sshd.login(user=somebody.name, sudo=False), "runs no programs for us", "not available", "chsh")
    somebody.shell("/bin/bash")


def test_a_path_that_leads_nowhere_is_no_hindrance(new_sshd: NewSshd) -> None:
    with programs(new_sshd("SetEnv PATH=/nonexistent").login()) as (opened,):
        assert opened.run(["sh", "-c", "command -v sha256sum"], timeout=60).out == "/usr/bin/sha256sum\n"


# Lines that break


def test_a_program_that_is_asked_again_runs_on_a_new_line(new_sshd: NewSshd) -> None:
    sshd, client = new_sshd(), Client()
    host = Host("cp1", sshd.login(), client)
    assert host.holder() == ""
    sshd.cut()
    assert host.holder() == ""
    assert sshd.connections() == 2
    sshd.stop()
    with pytest.raises(Problem) as told:
        host.holder()
    assert "nothing listens" in told.value.what
    sshd.start()
    assert host.holder() == ""
    host.close()


def test_a_program_whose_line_is_cut_is_not_taken_for_one_that_failed(new_sshd: NewSshd, tmp_path: Path) -> None:
    sshd, begun = new_sshd(), tmp_path / "begun"
    with programs(sshd.login()) as (opened,):

        def cut() -> None:
            until(begun.exists)
            sshd.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(Problem) as told:
            opened.run(["sh", "-c", f": >{begun}; exec sleep 100"], timeout=90)
        thread.join()
        assert told.value.code is Code.UNREACHABLE
        assert "broke" in told.value.what
        assert "again" in told.value.next
        assert opened.run(["sh", "-c", "kill -9 $$"], timeout=60).status != 0


def test_what_never_ends_is_given_up(sshd: Sshd) -> None:
    with programs(sshd.login()) as (opened,):
        with pytest.raises(Problem) as told:
            opened.run(["sleep", "60"], timeout=1)
        assert "did not end within 1 s" in told.value.what
        assert opened.run(["echo", "in"], timeout=60).out == "in\n"


def test_a_place_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, sshd: Sshd) -> None:
    monkeypatch.setattr("bootstrap.ssh.config.PATIENCE", 1.0)
    monkeypatch.setattr("bootstrap.ssh.client.ANSWER", 1.0)
    with blackhole() as port:
        refused(sshd.login(port=port), f"127.0.0.1:{port} does not answer within 1 s", "firewalls")
    refused(sshd.login(port=free_port()), "nothing listens on 127.0.0.1:", "ssh.port")
    refused(sshd.login(host="no-such-name.invalid"), "the name no-such-name.invalid:", "leads nowhere")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refused(sshd.login(port=silent.getsockname()[1]), "does not come to terms")


# What it reaches for us

DIALLERS = {"socat": "/usr/bin/socat", "nc": "/usr/bin/nc.openbsd", "bash": "/usr/bin/bash"}


def everything(read: Callable[[int], bytes]) -> bytes:
    """Until it ends."""
    return b"".join(iter(lambda: read(65536), b""))


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something that listens on the loopback, for one who comes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            one, _ = listening.accept()
            with one:
                answer(one)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("program", ["sshd", *DIALLERS])
def test_a_stream_is_dialled_by_sshd_or_by_a_program_of_the_node(
    new_sshd: NewSshd, tmp_path: Path, program: str
) -> None:
    lines = ("AllowTcpForwarding no",)
    if program != "sshd":
        for name in ("sh", "cat", "echo", "printf"):
            (tmp_path / name).symlink_to(shutil.which(name) or "")
        (tmp_path / program).symlink_to(DIALLERS[program])
        lines = ("DisableForwarding yes",)
    sshd = new_sshd(*lines) if program != "sshd" else new_sshd()
    host = Host("cp1", sshd.login(), Client())
    if program != "sshd":
        monkey = pytest.MonkeyPatch()
        monkey.setattr("bootstrap.ssh.programs.PATH", f"PATH={tmp_path}")
        monkey.setattr("bootstrap.ssh.programs.SHELL", only(tmp_path))
    payload = bytes(range(256)) * 5000

    def answer(one: socket.socket) -> None:
        got = b""
        while len(got) < len(payload):
            got += one.recv(65536)
        one.sendall(got[::-1])

    with server(answer) as port:
        channel = host.dial("127.0.0.1", port)
        channel.settimeout(60)
        channel.sendall(payload)
        assert everything(channel.recv) == payload[::-1]
        channel.close()
    if program != "sshd":
        monkey.undo()
    host.close()


def only(directory: Path) -> str:
    """How a program begins on a node where nothing else is to be found."""
    from bootstrap.ssh import programs

    return programs.SHELL.replace(programs.PATH, f"PATH={directory}")


def test_a_node_without_any_way_to_dial_is_told(new_sshd: NewSshd, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr("bootstrap.ssh.programs.SHELL", only(tmp_path))
        host = Host("cp1", new_sshd("AllowTcpForwarding no").login(), Client())
        with pytest.raises(Problem) as told:
            host.dial("127.0.0.1", 22)
        assert "does not forward to its own node" in told.value.what
        assert "AllowTcpForwarding local" in told.value.next
        host.close()
