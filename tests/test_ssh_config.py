"""The user's own configuration of ssh, and jump hosts that many nodes share; on real sshds of this machine."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import spec
from bootstrap.errors import Problem
from bootstrap.machines import login as login_of
from bootstrap.ssh import Login, hops
from bootstrap.ssh.config import route
from tests.conftest import NewSshd
from tests.sshd import Sshd, free_port, keygen, programs, refused

FILE = """\
apiVersion: bootstrap/v1
kind: Cluster
name: home
ssh: {SSH}
nodes:
- {name: cp1, address: 192.0.2.11, role: control-plane, ssh: {NODE}}
"""


@pytest.fixture(scope="module")
def sshd(new_sshd: NewSshd) -> Sshd:
    """A node's."""
    return new_sshd()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, without anything in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


def configured(home: Path, text: str) -> None:
    """This is what ~/.ssh/config says."""
    (home / ".ssh" / "config").write_text(text)


def works(*logins: Login) -> None:
    """All are let in, at once."""
    outs: list[str] = []
    with programs(*logins) as hosts:
        threads = [
            threading.Thread(target=lambda host=host: outs.append(host.run(["echo", "in"], timeout=60).out))
            for host in hosts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outs == ["in\n"] * len(logins)


# ~/.ssh/config


def test_what_nobody_says_is_roots_on_port_22(home: Path) -> None:
    told = route(Login("192.0.2.11"))
    assert (told.host, told.port, told.user, told.place) == ("192.0.2.11", 22, "root", "192.0.2.11")
    assert (told.jump, told.proxy, told.alias, told.only) == ((), "", "", False)
    assert Path("~/.ssh/id_ed25519").expanduser() in told.identities
    assert route(replace(Login("192.0.2.11"), plain=True)).user == "root"


def test_the_users_configuration_speaks_where_cluster_yaml_does_not(home: Path) -> None:
    (home / "more").write_text("Host *.lab\n  User ops\n  HostKeyAlias farm\n")
    configured(
        home,
        f"Include {home}/more\n"
        "Host cp1.lab\n  HostName 192.0.2.11\n  Port 2222\n  IdentityFile ~/.ssh/farm\n  IdentitiesOnly yes\n"
        "  UserKnownHostsFile /dev/null /srv/known\n  IdentityAgent /srv/agent\n  ConnectTimeout 3\n"
        "Match host 192.0.2.12 user root\n  ProxyJump me@one.lab:2200,two.lab\n"
        "Match final all\n  ProxyCommand gate %h:%p %r 100%%\n",
    )
    told = route(Login("cp1.lab"))
    assert (told.host, told.port, told.user, told.name) == ("192.0.2.11", 2222, "ops", "farm")
    assert [path.name for path in told.identities] == ["farm"]
    assert (told.only, told.agent, told.patience) == (True, "/srv/agent", 3)
    assert told.known_hosts[:2] == (Path("/dev/null"), Path("/srv/known"))
    assert told.proxy == "gate 192.0.2.11:2222 ops 100%"
    assert told.new_keys is None
    ours = route(Login("cp1.lab", 22, "root", Path("/srv/key"), jump=()))
    assert (ours.port, ours.user, ours.identities, ours.proxy) == (22, "root", (Path("/srv/key"),), "")
    jump = route(Login("192.0.2.12")).jump
    assert [(hop.host, hop.port, hop.user) for hop in jump] == [("one.lab", 2200, "me"), ("two.lab", None, None)]


def test_another_configuration_or_none_can_be_named(home: Path, tmp_path: Path) -> None:
    configured(home, "Host *\n  Port 2222\n")
    (tmp_path / "other").write_text("Host *\n  Port 2223\n")
    assert route(Login("192.0.2.11")).port == 2222
    assert route(Login("192.0.2.11", config=tmp_path / "other")).port == 2223
    assert route(Login("192.0.2.11", plain=True)).port == 22
    with pytest.raises(Problem, match="ssh can't read its configuration"):
        route(Login("192.0.2.11", config=tmp_path / "missing"))


def test_a_configuration_that_is_wrong_is_told_with_its_line(home: Path) -> None:
    configured(home, "Host *\n  Prot 2222\n")
    refused(Login("192.0.2.11"), "ssh can't read its configuration for 192.0.2.11", "line 2", "prot", "ssh.configFile")


def test_without_the_program_ssh_the_defaults_hold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(home, "Host *\n  Port 2222\n")
    monkeypatch.setenv("PATH", str(home))
    told = route(Login("192.0.2.11"))
    assert (told.port, told.user) == (22, "root")
    assert told.known_hosts == (home / ".ssh/known_hosts", Path("/etc/ssh/ssh_known_hosts"))
    assert [path.name for path in told.identities] == ["id_ed25519", "id_ecdsa", "id_rsa"]


def test_a_host_of_the_configuration_is_reached(home: Path, sshd: Sshd) -> None:
    (home / ".ssh/known_hosts").write_text(f"farm {sshd.shown()}\n")
    configured(
        home,
        f"Host cp1\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.identity}\n  HostKeyAlias farm\n"
        f"  UserKnownHostsFile {home}/.ssh/known_hosts\n",
    )
    works(Login("cp1"))
    configured(home, (home / ".ssh/config").read_text() + "  ProxyCommand socat - TCP4:%h:%p\n")
    works(Login("cp1"))
    refused(replace(Login("cp1"), jump=tuple(hops("none", Login("cp1"))), port=free_port()), "nothing listens")
    configured(home, (home / ".ssh/config").read_text().replace("socat - TCP4:%h:%p", "false"))
    refused(Login("cp1"), "the ProxyCommand for 127.0.0.1:", "leads to no SSH server")


def test_cluster_yaml_names_how_a_node_is_reached(tmp_path: Path) -> None:
    def told(ssh: str, node: str = "{}") -> Login:
        (tmp_path / "cluster.yaml").write_text(FILE.replace("{SSH}", ssh).replace("{NODE}", node))
        cluster = spec.load(tmp_path / "cluster.yaml")
        return login_of(cluster, cluster.nodes[0], tmp_path / "known_hosts")

    assert told("{}") == Login("192.0.2.11", known_hosts=tmp_path / "known_hosts")
    assert told("{identityFile: key}").identity == tmp_path / "key"
    assert told("{identityFile: ~/key}").identity == Path.home() / "key"
    assert told("{configFile: none}").plain
    assert told("{hostKeyPolicy: accept-new}").accept_new
    assert told("{jump: none}").jump == ()
    both = told("{sudoPasswordFile: secret, passphraseEnv: A}", "{sudoPasswordEnv: B}")
    assert (both.password.file, both.password.variable, both.passphrase.variable) == (None, "B", "A")
    jump = told("{user: ops, jump: 'me@one.lab:2200,two.lab'}").jump
    assert jump
    assert [(hop.host, hop.port, hop.user, hop.usual) for hop in jump] == [
        ("one.lab", 2200, "me", "ops"),
        ("two.lab", None, None, "ops"),
    ]


# Jump hosts


def test_jump_hosts_are_named_as_ssh_names_them() -> None:
    named = "me@one.lab:2200,two.lab,[2001:db8::1]:22,you@[2001:db8::2],2001:db8::3,ssh://three.lab:23"
    assert [(hop.user, hop.host, hop.port) for hop in hops(named, Login("cp1", 2222, "ops"))] == [
        ("me", "one.lab", 2200),
        (None, "two.lab", None),
        (None, "2001:db8::1", 22),
        ("you", "2001:db8::2", None),
        (None, "2001:db8::3", None),
        (None, "three.lab", 23),
    ]
    assert list(hops("none", Login("cp1"))) == []


def jumping(sshd: Sshd, known: Path, *jumps: Sshd) -> Login:
    """The way to a node over these hosts, which are all known."""
    known.write_text("".join(f"[127.0.0.1]:{each.port} {each.shown()}\n" for each in (sshd, *jumps)))
    login = sshd.login(host_key="", known_hosts=known)
    return replace(login, jump=tuple(hops(",".join(f"root@127.0.0.1:{each.port}" for each in jumps), login)))


def test_nodes_behind_a_jump_host_share_one_connection_to_it(new_sshd: NewSshd, sshd: Sshd, tmp_path: Path) -> None:
    first, second = new_sshd(), new_sshd()
    for each in (first, second):
        each.allow(sshd.identity)
    login, before = jumping(sshd, tmp_path / "known_hosts", first, second), sshd.connections()
    works(*[login] * 8)
    assert (first.connections(), second.connections(), sshd.connections() - before) == (1, 1, 8)


def test_a_jump_host_that_dropped_its_line_is_reached_again(new_sshd: NewSshd, sshd: Sshd, tmp_path: Path) -> None:
    first = new_sshd()
    first.allow(sshd.identity)
    with programs(*[jumping(sshd, tmp_path / "known_hosts", first)] * 2) as hosts:
        for host in hosts:
            host.run(["true"], timeout=60)
        hosts[0].close()
        assert hosts[1].run(["echo", "in"], timeout=60).out == "in\n"
        first.cut()
        with pytest.raises(Problem):
            hosts[1].run(["true"], timeout=60)
        assert [host.run(["echo", "in"], timeout=60).out for host in hosts] == ["in\n"] * 2
    assert first.connections() == 2


def test_the_hop_that_fails_is_named(new_sshd: NewSshd, sshd: Sshd, tmp_path: Path) -> None:
    first = new_sshd()
    login = jumping(sshd, tmp_path / "known_hosts", first)
    told = refused(login, f"root@127.0.0.1:{first.port} does not accept our key")
    assert f"the way to 127.0.0.1:{sshd.port} leads over it" in told.why
    first.allow(sshd.identity)
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.shown()}\n")
    refused(login, f"the host key of 127.0.0.1:{first.port} is not known")
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{first.port} {first.shown()}\n")
    refused(login, f"the host key of 127.0.0.1:{sshd.port} is not known")
    login = jumping(sshd, tmp_path / "known_hosts", first)
    nowhere = free_port()
    told = refused(replace(login, port=nowhere), f"the jump host root@127.0.0.1:{first.port} does not lead on")
    assert f"127.0.0.1:{nowhere}" in told.what
    assert "Connect failed" in told.why
    closed = new_sshd("AllowTcpForwarding no")
    closed.allow(sshd.identity)
    told = refused(jumping(sshd, tmp_path / "known_hosts", closed), "does not lead on", "AllowTcpForwarding yes")
    assert "prohibited" in told.why


def test_a_way_that_leads_over_itself_is_told(home: Path) -> None:
    configured(home, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    refused(Login("a"), "leads over itself", "ssh.jump")
    configured(home, "Host *\n  ProxyJump b\n")
    refused(Login("b"), "ssh can't read its configuration", "loop")  # ssh itself says so


def test_keys_with_certificates_are_let_in(new_sshd: NewSshd, tmp_path: Path) -> None:
    import subprocess

    authority, identity = keygen(tmp_path / "authority"), keygen(tmp_path / "key")
    words = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", "root", f"{identity}.pub"]
    subprocess.run(words, check=True, capture_output=True)
    works(new_sshd(f"TrustedUserCAKeys {authority}.pub").login(identity=identity))
