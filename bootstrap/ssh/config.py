"""What the user's own configuration of ssh says of a host: `ssh -G` tells, with every Include, Match and Host in it."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootstrap.errors import Problem
from bootstrap.ssh.faults import problem
from bootstrap.ssh.login import KNOWN_HOSTS, Login, Route, hops

IDENTITIES = ("id_ed25519", "id_ecdsa", "id_rsa")  # in ~/.ssh, where nobody names one
PATIENCE = 15.0  # seconds
OURS = ("~/.ssh/config", "/etc/ssh/ssh_config")  # what ssh itself reads, in its order
Told = dict[str, list[str]]  # option, lower case -> its values


def route(login: Login) -> Route:
    """All that is needed to connect: cluster.yaml's fields first, then ssh's configuration, then defaults."""
    told = {} if login.plain else asked(login)

    def one(option: str, default: str = "") -> str:
        value = told.get(option, [default])[0]
        return default if value.lower() in ("none", "") else value

    host, port = one("hostname", login.host), login.port or int(one("port", "22"))
    user = login.user or one("user", login.usual)
    named = told.get("identityfile") or [f"~/.ssh/{name}" for name in IDENTITIES]
    identities = tuple(Path(path).expanduser() for path in named if path.lower() != "none")
    seen = [path for option in ("userknownhostsfile", "globalknownhostsfile") for path in told.get(option, ())]
    files = [Path(path) for line in seen for path in line.split() if path.lower() != "none"] if seen else KNOWN_HOSTS
    own = (login.known_hosts,) if login.known_hosts else ()
    agent = one("identityagent", "SSH_AUTH_SOCK")
    if agent == "SSH_AUTH_SOCK" or agent.startswith("$"):
        agent = os.environ.get(agent.removeprefix("$"), "")
    if told.get("identityagent", [""])[0].lower() == "none":
        agent = ""
    # Whoever names a way in cluster.yaml has all of it: no ProxyCommand either.
    jump = login.jump
    if jump is None:
        jump = tuple(hops(one("proxyjump"), _like(login))) if one("proxyjump") else ()
    return Route(
        host=host,
        port=port,
        user=user,
        identities=(login.identity,) if login.identity else identities,
        only=bool(login.identity) or one("identitiesonly") == "yes",
        agent=str(Path(agent).expanduser()) if agent else "",
        passphrase=login.passphrase,
        alias=one("hostkeyalias"),
        host_key=login.host_key,
        known_hosts=tuple(path.expanduser() for path in (*own, *files)),
        new_keys=login.known_hosts if login.accept_new else None,
        proxy=_expanded(one("proxycommand"), host, port, user) if login.jump is None else "",
        jump=jump,
        patience=float(one("connecttimeout", str(PATIENCE))),
    )


def asked(login: Login) -> Told:
    """The options of this host; {} where there is no ssh to ask. Problem where its configuration is wrong."""
    if login.config and not login.config.is_file():
        raise _wrong(login, f"there is no file {login.config}")
    fields = [("-p", str(login.port or "")), ("-l", login.user or "")]
    chosen = [word for option, value in fields if value for word in (option, value)]
    try:
        # Whatever the files say comes first; ssh's own default would be the user's name here. Not by /proc/self: ssh
        # closes what it did not open itself.
        with os.fdopen(os.memfd_create("ssh_config"), "w") as file:
            file.write(_configuration(login) + f"\nMatch all\n  User {login.usual}\n")
            file.flush()
            words = ["ssh", "-G", "-T", "-F", f"/proc/{os.getpid()}/fd/{file.fileno()}", *chosen, "--", login.host]
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=20
            )
    except FileNotFoundError:
        return {}
    except subprocess.TimeoutExpired as error:  # a `Match exec` that never ends
        raise _wrong(login, f"ssh -G {login.host} did not end within {error.timeout:.0f} s") from error
    if done.returncode:
        raise _wrong(login, done.stderr.strip()[-400:])
    told: Told = {}
    for line in done.stdout.splitlines():
        option, _, value = line.partition(" ")
        told.setdefault(option, []).append(value)
    return told


def _configuration(login: Login) -> str:
    files: Sequence[str | Path] = (login.config,) if login.config else OURS
    return "\n".join(f'Include "{Path(path).expanduser()}"' for path in files)


def _like(login: Login) -> Login:
    """A jump host of ssh's configuration: keys and user are those that ssh itself would take."""
    who = getpass.getuser()
    return Login("", known_hosts=login.known_hosts, accept_new=login.accept_new, config=login.config, usual=who)


def _expanded(command: str, host: str, port: int, user: str) -> str:
    values = {"h": host, "n": host, "p": str(port), "r": user, "%": "%"}
    return re.sub(r"%(.)", lambda token: values.get(token[1], token[0]), command)


def _wrong(login: Login, why: str) -> Problem:
    return problem("WrongSshConfiguration", {"place": login.host, "host": login.host}, why)
