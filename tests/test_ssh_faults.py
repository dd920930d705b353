"""What can be wrong on the way to a node, as people at a workstation meet it: exit code, sentence, next step."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.ssh.faults import FAULTS
from tests.cluster import environment
from tests.commands import bootstrap
from tests.conftest import NewSshd
from tests.sshd import Person, Sshd, blackhole, free_port, keygen

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"


def shown(text: str) -> str:
    """As the page has it."""
    return re.sub(r"\{([a-z]+)\}", r"<\1>", text)


def test_every_fault_of_a_connection_is_in_the_page_word_for_word() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("<!-- connections -->\n")[2].partition("\n\n")[0].splitlines()
    rows = [f"| `{fault.name}` | {shown(fault.what)} | {shown(fault.next)} |" for fault in FAULTS]
    assert table[2:] == rows


# As commands end


@dataclass(frozen=True, slots=True)
class Desk:
    """A workstation with a cluster.yaml for one node, which is an sshd of this machine."""

    directory: Path
    sshd: Sshd

    def describe(self, **ssh: object) -> None:
        """How the node is reached: as root with a key that is let in, unless these fields say otherwise."""
        usual: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.sshd.port,
            "user": "root",
            "identityFile": str(self.sshd.identity),
            "hostKey": self.sshd.shown(),
            "configFile": "none",
        }
        reached = {name: value for name, value in (usual | ssh).items() if value is not None}
        node = {"name": "cp1", "address": "192.0.2.11", "role": "control-plane", "ssh": reached}
        tree = {"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "home", "nodes": [node]}
        (self.directory / "cluster.yaml").write_text(json.dumps(tree))

    def refused(self, *words: str, **more: str) -> None:
        """`plan` can't reach the node: exit code 5, these words, and what to type next; nothing was written."""
        ended = bootstrap("plan", at=self.directory, **more)
        assert ended.status == 5, ended
        assert [word for word in words if word not in ended.err] == [], ended.err
        assert "\nnext: " in ended.err
        assert "Traceback" not in ended.err
        assert not list(self.directory.rglob("*.key"))


@pytest.fixture(scope="module")
def sshd(new_sshd: NewSshd) -> Sshd:
    """A node's."""
    return new_sshd()


@pytest.fixture
def desk(sshd: Sshd, tmp_path: Path) -> Desk:
    """A workstation of its own."""
    return Desk(tmp_path, sshd)


def test_a_wrong_key_is_told(desk: Desk, tmp_path: Path) -> None:
    desk.describe(identityFile=str(keygen(tmp_path / "other")))
    desk.refused("error: cp1: root@127.0.0.1:", "does not accept our key", "next: ssh-copy-id")


def test_a_changed_host_key_is_told(desk: Desk, tmp_path: Path) -> None:
    other = " ".join(Path(f"{keygen(tmp_path / 'other')}.pub").read_text().split()[:2])
    desk.describe(hostKey=other)
    desk.refused("shows another host key than the one that is known: it shows SHA256:", "ssh.hostKey")


def test_an_unknown_host_key_is_told_and_accepted_when_asked_for(desk: Desk, tmp_path: Path) -> None:
    desk.describe(hostKey=None)
    known = tmp_path / ".bootstrap" / "home" / "known_hosts"
    desk.refused("the host key of 127.0.0.1:", "is not known: it shows SHA256:", "ssh-keyscan")
    assert not known.exists()
    desk.describe(hostKey=None, hostKeyPolicy="accept-new")
    assert "host key" not in bootstrap("plan", at=tmp_path).err
    assert known.read_text() == f"[127.0.0.1]:{desk.sshd.port} {desk.sshd.shown()}\n"
    other = " ".join(Path(f"{keygen(tmp_path / 'other')}.pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{desk.sshd.port} {other}\n")
    desk.refused("shows another host key")


def test_a_wrong_sudo_password_a_lecture_and_requiretty_are_told(desk: Desk, somebody: Person) -> None:
    somebody.sudoers("ME ALL=(ALL) ALL")
    desk.describe(user=somebody.name)
    desk.refused(f"sudo asks {somebody.name}@127.0.0.1:", "nobody to ask", "ssh.sudoPasswordEnv")
    desk.describe(user=somebody.name, sudoPasswordEnv="SUDO_PASSWORD")
    desk.refused("SUDO_PASSWORD, which cluster.yaml names for a secret, is not there")
    desk.refused(f"the sudo password of {somebody.name} is wrong", "the right one", SUDO_PASSWORD="wrong")
    somebody.sudoers("Defaults:ME lecture=always", "ME ALL=(ALL) ALL")
    lectured = bootstrap("plan", at=desk.directory, SUDO_PASSWORD=somebody.password)
    assert "sudo" not in lectured.err
    assert lectured.status != 5, lectured.err  # as root it was: what it found is another matter
    somebody.sudoers("Defaults:ME requiretty", "ME ALL=(ALL) NOPASSWD: ALL")
    desk.refused("wants a terminal", f"Defaults:{somebody.name} !requiretty", SUDO_PASSWORD="any")


def test_no_way_to_a_node_is_told_in_bounded_time(desk: Desk) -> None:
    with blackhole() as port:
        (desk.directory / "ssh_config").write_text("Host *\n  ConnectTimeout 1\n")
        desk.describe(port=port, configFile="ssh_config")
        desk.refused(f"127.0.0.1:{port} does not answer within 1 s", "firewalls")
    desk.describe(port=free_port())
    desk.refused("nothing listens on 127.0.0.1:", "ssh.port")
    desk.describe(host="240.0.0.1")  # of a class nobody has
    desk.refused("240.0.0.1")


def test_a_key_with_a_passphrase_is_told(desk: Desk, tmp_path: Path) -> None:
    identity = keygen(tmp_path / "key", passphrase="seven words")
    desk.sshd.allow(identity)
    desk.describe(identityFile="key")
    desk.refused(f"the private key {tmp_path}/key has a passphrase", f"next: ssh-add {tmp_path}/key")
    desk.describe(identityFile="key", passphraseFile="phrase")
    (tmp_path / "phrase").write_text("seven birds")
    desk.refused(f"the passphrase of {tmp_path}/key is wrong", "ssh-keygen -y -f")


def test_somebody_at_a_terminal_is_asked_and_not_seen(desk: Desk, somebody: Person) -> None:
    somebody.sudoers("ME ALL=(ALL) ALL")
    desk.describe(user=somebody.name)
    words = [sys.executable, "-m", "bootstrap", "plan"]
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(desk.directory)
        os.execve(sys.executable, words, environment() | {"PYTHONPATH": str(PAGE.parent.parent)})
    seen, typed = b"", False
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # it has ended
            break
        seen += more
        if b"for sudo on the nodes:" in seen and not typed:
            typed = True
            os.write(terminal, f"{somebody.password}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert typed, seen
    assert somebody.password.encode() not in seen
    assert os.waitstatus_to_exitcode(status) != 5, seen
