"""The only module that knows Fabric: opens connections, through jump hosts that all nodes behind them share."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import fabric
import paramiko

from bootstrap import trace
from bootstrap.errors import Problem
from bootstrap.ssh import config
from bootstrap.ssh.faults import problem
from bootstrap.ssh.keys import Keyring, Keys
from bootstrap.ssh.login import Login, Route
from bootstrap.ssh.secret import Secrets
from bootstrap.ssh.trust import Trust

# paramiko logs every refused channel to stderr; whoever dials is told by an exception anyway.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

BROKEN = (OSError, EOFError, paramiko.SSHException)  # every way a line can break
ANSWER = 15.0  # seconds, each for the banner, the key exchange, the authentication, and to open a channel
ALIVE = 15  # seconds between two signs of life
DEAD = 30  # seconds after which a line is dead whose other end confirms nothing of what was sent


class Prompt(paramiko.Transport):
    """A transport without Nagle's delay: an exec takes 3 ms instead of 48 on a local network. It notes a dead line."""

    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        *paramiko.Transport._preferred_ciphers,  # type: ignore[attr-defined]  # a hook without a public name
    )

    def __init__(self, sock: socket.socket | paramiko.Channel, **options: object) -> None:
        """A channel (through a jump host) has no such option, nor has the socket of a ProxyCommand."""
        if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD * 1000)
        super().__init__(sock, **options)  # type: ignore[arg-type]


class Connection:
    """An open line to a host: what Fabric opened, and what has to end with it."""

    def __init__(self, route: Route, line: fabric.Connection, proxy: subprocess.Popen[bytes] | None) -> None:
        """It is authenticated."""
        self.route, self.line, self._proxy = route, line, proxy
        self.forwards: bool | None = None  # whether sshd reaches its own loopback for us; None: nobody has tried
        self.transport.set_keepalive(ALIVE)

    @property
    def transport(self) -> paramiko.Transport:
        """What channels are opened on."""
        transport: paramiko.Transport = self.line.transport
        return transport

    @property
    def alive(self) -> bool:
        """As far as it has been noticed."""
        return self.transport.is_active()

    def close(self) -> None:
        """Whoever waits on a channel of it is told."""
        self.line.client.close()  # not Fabric's own: that would close the jump host under all the others
        if self._proxy:
            ended(self._proxy)


class Client:
    """What this side brings to every connection of one run: keys, passwords, and the jump hosts, each opened once."""

    def __init__(self) -> None:
        """Nothing is read or opened yet."""
        self.secrets = Secrets()
        self._keyring = Keyring(self.secrets)
        self._routes: dict[Login, Route] = {}
        self._jumps: dict[Login, tuple[threading.Lock, list[Connection]]] = {}
        self._looking = threading.Lock()

    def open(self, node: str, login: Login) -> Connection:
        """An open connection to a host that is the one it should be; Problem (UNREACHABLE): which step failed."""
        with trace.span("connects", node, kind="ssh"):
            try:
                self._ends(login)
            except Problem as told:
                raise problem_of(node, told) from told
            return self._open(node, login)

    def close(self) -> None:
        """Every jump host is left; what goes through them ends."""
        for _, opened in self._jumps.values():
            for connection in opened:
                connection.close()

    def _ends(self, login: Login) -> None:
        """Problem where the way there leads over itself, or can't be told; nothing is opened, no lock is held."""
        way = list[str]()
        while True:
            route = self._route(login)
            if route.place in way:
                raise problem("JumpsInCircles", {"place": way[0]}, " <- ".join((*way, route.place)))
            way.append(route.place)
            if not route.jump:
                return
            login = last(route.jump)

    def _route(self, login: Login) -> Route:
        if login not in self._routes:
            self._routes[login] = config.route(login)
        return self._routes[login]

    def _open(self, node: str, login: Login) -> Connection:
        route = self._route(login)
        hop = self._jump(node, route) if route.jump else None
        with _explained(node, route, hop):
            return self._connect(node, route, hop)

    def _jump(self, node: str, route: Route) -> Connection:
        """The connection to the last of its jump hosts, one for all who come this way; the others wait meanwhile."""
        through = last(route.jump)
        with self._looking:
            opening, opened = self._jumps.setdefault(through, (threading.Lock(), []))
        with opening:
            if not opened or not opened[-1].alive:
                with trace.span(f"connects to the jump host {through.host}", node, kind="ssh"):
                    try:
                        opened.append(self._open(node, through))
                    except Problem as told:
                        why = "\n".join(filter(None, (told.why, f"the way to {route.place} leads over it")))
                        raise Problem(told.what, why=why, next=told.next, code=told.code) from told
            return opened[-1]

    def _connect(self, node: str, route: Route, hop: Connection | None) -> Connection:
        trust, keys, proxy = Trust(node, route), Keys(route, self._keyring), None

        def transport(sock: socket.socket | paramiko.Channel, **options: object) -> Prompt:
            made = Prompt(sock, **options)
            choice = made.get_security_options()
            choice.key_types = trust.preferred(choice.key_types)
            return made

        options: dict[str, object] = {
            "transport_factory": transport,
            "auth_strategy": keys,
            "banner_timeout": ANSWER,
            "auth_timeout": ANSWER,
            "channel_timeout": ANSWER,
        }
        if route.proxy:
            options["sock"], proxy = proxied(route.proxy)
        line = fabric.Connection(
            route.host,
            gateway=hop.line if hop else None,
            user=route.user,
            port=route.port,
            config=fabric.Config(overrides={"load_ssh_configs": False}),
            connect_timeout=route.patience,
            connect_kwargs=options,
        )
        try:
            line.client.set_missing_host_key_policy(trust)
            line.open()
            return Connection(route, line, proxy)
        except paramiko.AuthenticationException as error:
            raise _unauthenticated(node, route, keys, error) from error
        finally:
            if line.transport is None:
                line.client.close()
                if proxy:
                    ended(proxy)


def last(jump: tuple[Login, ...]) -> Login:
    """How the last of these hosts is reached: over those before it."""
    *before, hop = jump
    return replace(hop, jump=tuple(before)) if before else hop


def proxied(command: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A ProxyCommand, begun, and the socket that is its stdin and stdout."""
    ours, its = socket.socketpair()
    with its:
        return ours, subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], stdin=its.fileno(), stdout=its.fileno())


def ended(program: subprocess.Popen[bytes]) -> None:
    """It has ended: by itself, since its line is closed, or not."""
    program.terminate()
    program.wait()


@contextmanager
def _explained(node: str, route: Route, hop: Connection | None) -> Iterator[None]:
    """Every way in which no connection comes about, in words."""
    words = route.words | {"node": node}
    try:
        yield
    except Problem as told:
        if not told.what.startswith(f"{node}: "):
            raise problem_of(node, told) from told
        raise
    except paramiko.ChannelException as error:
        name = f"{hop.route.user}@{hop.route.place}" if hop else ""
        raise problem("JumpRefuses", words | {"hop": name}, _words(error)) from error
    except socket.gaierror as error:
        raise problem("UnknownName", words, error.strerror or "") from error
    except ConnectionRefusedError as error:
        raise problem("NothingListens", words, _words(error)) from error
    except paramiko.ssh_exception.NoValidConnectionsError as error:
        refused = all(isinstance(each, ConnectionRefusedError) for each in error.errors.values())
        why = "; ".join(sorted({getattr(each, "strerror", "") or str(each) for each in error.errors.values()}))
        raise problem("NothingListens" if refused else "NoWay", words, why) from error
    except TimeoutError as error:
        raise problem("NoAnswer", words | {"seconds": f"{route.patience:.0f}"}, _words(error)) from error
    except (paramiko.SSHException, EOFError, ConnectionError) as error:
        raise problem("ProxyFails" if route.proxy else "NoSsh", words, _words(error)) from error
    except OSError as error:
        raise problem("NoWay", words, error.strerror or str(error)) from error


def _unauthenticated(node: str, route: Route, keys: Keys, error: paramiko.AuthenticationException) -> Problem:
    words = route.words | {"node": node}
    if not keys.tried:
        tried = ", ".join(str(path) for path in route.identities)
        return problem("NoKey", words, f"there is none in {tried}, and no agent has one")
    results = [each.result for each in getattr(error, "result", ())]
    methods = [each for each in results if isinstance(each, paramiko.BadAuthenticationType)]
    if methods:
        why = f"it takes {', '.join(methods[-1].allowed_types)} only"
    else:
        why = "; ".join(dict.fromkeys(_words(each) for each in results if isinstance(each, Exception)))
    many = keys.tried > 1 and any(word in why for word in ("oo many", "transport shut down", "No existing session"))
    return problem("TooManyKeys" if many else "KeyRefused", words, why)


def problem_of(node: str, told: Problem) -> Problem:
    """The same, with the node before it: what is shared does not know who needs it."""
    return Problem(f"{node}: {told.what}", why=told.why, next=told.next, code=told.code)


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().partition("\n")[0]
