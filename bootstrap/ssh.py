"""The only module that knows SSH: a Host, which tells its facts, takes a Turn, and dials its own loopback."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fabric
import paramiko

from bootstrap import archive, diagnosis, facts, paths, render, survey, trace
from bootstrap.diagnosis import Diagnosis
from bootstrap.errors import Code, Problem
from bootstrap.survey import Survey
from bootstrap.talk import Talk
from bootstrap.world import Facts, File, Former, Turn

# paramiko logs every refused channel to stderr; whoever dials is told by an exception anyway.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

BROKEN = (OSError, EOFError, paramiko.SSHException)  # every way a line can break
CONNECT = 15.0  # seconds, each for the TCP connection, the banner and the authentication
PROHIBITED = 1  # administratively; 2 is a refused connection, which is an answer
PULL = 900.0  # seconds until the next image has to be there


@dataclass(frozen=True, slots=True)
class Login:
    """How one node is reached; `host_key` is pinned ("ssh-ed25519 AAAA…"), else known_hosts decides."""

    host: str
    port: int = 22
    user: str = "root"
    identity: Path | None = None
    host_key: str = ""
    known_hosts: tuple[Path, ...] = ()
    jump: Login | None = None  # the host to go through
    sudo: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Read:
    """A file as it lies on a node, and since when it does, mode and owner included (seconds since 1970)."""

    content: bytes
    since: float


class Prompt(paramiko.Transport):
    """A transport without Nagle's delay: an exec takes 3 ms instead of 48 on a local network."""

    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        *paramiko.Transport._preferred_ciphers,  # type: ignore[attr-defined]  # a hook without a public name
    )

    def __init__(self, sock: socket.socket | paramiko.Channel, **options: object) -> None:
        """A channel (through a jump host) has no such option."""
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, **options)  # type: ignore[arg-type]


class Host:
    """A node that can be reached. One connection, opened when it is first used."""

    def __init__(self, name: str, login: Login) -> None:
        """Nothing is opened yet."""
        self.name, self._login = name, login
        self._connection: fabric.Connection | None = None
        self._opening = threading.Lock()

    def observe(self, etcd: str, manifests: str = "") -> Facts:
        """All that is known of the node; `manifests` is cluster.yaml's staticPodPath ("": the kubelet's own)."""
        script = render.text("scripts/observe.sh")
        with trace.span("asks for its facts", self.name, kind="ssh"):
            reply = self._exec(["sh", "-s", "--", etcd, manifests], script.encode(), timeout=60)
        if reply.status:
            raise self._refused(reply)
        self._forwards()
        return facts.parse(self.name, reply.out)

    def read(self, paths: Sequence[str], times: Sequence[str] = ()) -> dict[str, Read]:
        """Files that are no secrets, for showing what differs, never for deciding; of `times` only since when."""
        script = render.text("scripts/read.sh")
        reply = self._exec(["sh", "-s", "--", *paths, "--", *times], script.encode(), timeout=60)
        if reply.status:
            raise self._refused(reply)
        told = reply.out.split("\0")
        return {
            path: Read(content.encode(), float(since))
            for path, since, content in zip(told[0:-1:3], told[1:-1:3], told[2:-1:3], strict=True)
        }

    def turn(self, turn: Turn, was: Facts, etcd: str, leave: File, graces: Mapping[str, int], *, epoch: int) -> str:
        """Take the node from what it has to what it should have; returns when the script is through, not when healthy.

        What it has to say, mostly nothing.

        Problem: CHANGES when the node moved since the plan, SOME_FAILED when it is the node's own fault, LOCKED when it
        knows a newer epoch.
        """
        script = (
            f"umask 022; mkdir -p -m 700 {paths.OURS} && exec 9>{paths.OURS}/lock && flock -n 9 ||"
            " { echo another turn is at work on this node >&2; exit 3; }; "
            f"known=$(cat {paths.OURS}/epoch 2>/dev/null); "
            f'[ "${{known:-0}}" -le {epoch} ] ||'
            f' {{ echo "epoch $known was taken since, this is of epoch {epoch}" >&2; exit 4; }}; '
            f'[ "$known" = {epoch} ] || {{ echo {epoch} >{paths.OURS}/epoch.new &&'
            f" mv {paths.OURS}/epoch.new {paths.OURS}/epoch; }} || exit 3; "
            f'rm -rf {archive.STAGE}; for d in "$@"; do'
            f' [ -d "$d" ] || {{ mkdir "$d" && echo "$d" >>{paths.OURS}/directories; }} || exit 3; done; '
            'tar -xpf - -C / || { for d in "$@"; do rm -f "$d"/.bootstrap-*~; done; exit 3; }; '
            f"exec 9>&-; exec sh {archive.STAGE}/turn.sh begin go {epoch}"
        )
        packed = archive.pack(turn, was, etcd, leave, graces, epoch=epoch)
        words = ["sh", "-c", script, "turn", *archive.directories(turn)]
        with trace.span("takes the turn: pushes, swaps, starts the kubelet", self.name, kind="ssh"):
            return self._ended(self._exec(words, packed, timeout=330))

    def settle(self, epoch: int) -> None:
        """The probes have passed: the record says so."""
        with trace.span("settles", self.name, kind="ssh"):
            self._ended(self._exec(["sh", f"{archive.STAGE}/turn.sh", "settle", str(epoch)], timeout=60))

    def back(self, epoch: int) -> str:
        """Swap back to the former generation, if a turn has begun and did not settle; what there is to say."""
        words = ["sh", f"{archive.STAGE}/turn.sh", "begin", "back", str(epoch)]
        with trace.span("swaps back", self.name, kind="ssh"):
            return self._ended(self._exec(words, timeout=330))

    def former(self, was: Facts) -> Former | None:
        """The generation before the last turn, if there was one; Problem (REFUSED) where it can't be gone back to."""
        reply = self._exec(["sh", "-c", archive.FORMER, "former", was.machine.manifests], timeout=60)
        self._ended(reply)
        return archive.former(self.name, reply.out, was)

    def hold(self, holder: str) -> Talk:
        """The lock of this node, asked for; it is held for as long as the talk goes on, and lines come."""
        with trace.span("asks for the lock", self.name, kind="ssh"):
            return Talk(self.name, self._begin(["sh", "-c", render.text("scripts/lock.sh"), "lock", "hold", holder]))

    def holder(self, *, end: bool = False) -> str:
        """Who holds the lock of this node ("": nobody); they lose it where `end` says so."""
        script = render.text("scripts/lock.sh")
        with trace.span("asks who holds the lock", self.name, kind="ssh"):
            reply = self._exec(["sh", "-c", script, "lock", "end" if end else "show"], timeout=30)
        return reply.out.partition("\t")[2].strip()

    def diagnose(self, parts: Sequence[str], *, lines: int = 20, manifests: str = "") -> Diagnosis:
        """What it can tell of these parts and of the kubelet; of the files in `manifests` too, where that is named."""
        script = render.text("scripts/listeners.sh") + render.text("scripts/diagnose.sh")
        with trace.span("tells what is wrong", self.name, kind="ssh"):
            reply = self._exec(["sh", "-s", "--", str(lines), manifests, *parts], script.encode(), timeout=60)
        return diagnosis.parse(self.name, reply.out)

    def survey(self, etcd: str, was: Facts, name: str) -> Survey:
        """What the machine is like, beyond its facts; `name` is the node's in cluster.yaml."""
        script = render.text("scripts/listeners.sh") + render.text("scripts/preflight.sh")
        words = ["sh", "-s", "--", etcd, was.machine.manifests, was.machine.runtime, name]
        with trace.span("tells what the machine is like", self.name, kind="ssh"):
            began = time.time()
            reply = self._exec(words, script.encode(), timeout=60)
        return survey.parse(self.name, reply.out, began)

    @contextlib.contextmanager
    def listening(self, address: str, ports: Sequence[int]) -> Iterator[frozenset[int]]:
        """Which of these ports of the node somebody can connect to while the block lasts; nothing is written there."""
        words = ["sh", "-c", render.text("scripts/listen.sh"), "listen", address, *map(str, ports)]
        channel = self._begin(words)
        try:
            heard: list[str] = []
            with contextlib.suppress(*BROKEN), channel.makefile("r") as told:
                while (line := told.readline().strip()) and line != "ready":
                    heard.append(line)
            yield frozenset(int(port) for port in heard if port.isdigit())
        finally:
            channel.close()

    def pull(self, runtime: str, images: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """(image, "there" | "pulled" | "failed", why), one by one as the runtime has them.

        The one thing besides a Turn that changes a node: images are the runtime's cache, and no plan depends on it.
        """
        channel = self._begin(["sh", "-c", render.text("scripts/pull.sh"), "pull", runtime, *images])
        try:
            channel.settimeout(PULL)
            with channel.makefile("r") as told:
                for line in told:
                    image, what, *why = line.rstrip("\n").split("\t")
                    yield image, what, " ".join(why)
            if channel.recv_exit_status():
                raise Problem(
                    f"{self.name}: can't ask the runtime for images",
                    why=channel.recv_stderr(65536).decode(errors="replace").strip(),
                    next=f"install crictl on {self.name}, or import the images there",
                    code=Code.SOME_FAILED,
                )
        except BROKEN as error:
            raise Problem(
                f"{self.name}: the connection broke",
                why=str(error) or type(error).__name__,
                next="run the same command again: what is there is not pulled again",
                code=Code.UNREACHABLE,
            ) from error
        finally:
            channel.close()

    def dial(self, address: str, port: int, *, timeout: float = 10) -> paramiko.Channel:
        """A stream to what the node itself reaches at this address: its own loopback, mostly."""
        transport = self._open().transport
        channel: paramiko.Channel = transport.open_channel(
            "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout
        )
        return channel

    def unanswered(self, address: str, port: int, *, within: float) -> str:
        """Why nothing answers there, seen from this node, in so many seconds; "": it does, or sshd does not ask."""
        try:
            self.dial(address, port, timeout=within).close()
        except paramiko.ChannelException as error:
            return "" if error.code == PROHIBITED else "nobody answers"
        except BROKEN:
            return f"no answer in {within:.0f} s"
        return ""

    def close(self) -> None:
        """Ends the connection."""
        if self._connection:
            self._connection.close()

    def _forwards(self) -> None:
        """Problem when sshd refuses to reach its own loopback: nothing could be asked of etcd or the API."""
        try:
            self.dial("127.0.0.1", 22).close()
        except paramiko.ChannelException as error:
            if error.code == PROHIBITED:
                raise Problem(
                    f"{self.name}: sshd does not forward to its own node",
                    why="AllowTcpForwarding, or DisableForwarding, says so",
                    next="in sshd_config on the node: AllowTcpForwarding local; then: systemctl reload ssh",
                    code=Code.UNREACHABLE,
                ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Problem(f"{self.name}: the connection broke", why=str(error), code=Code.UNREACHABLE) from error

    def _ended(self, reply: Reply) -> str:
        if reply.status:
            codes = {1: Code.FAILED, 2: Code.CHANGES, 4: Code.LOCKED}
            what = f"{self.name}: {reply.err.strip() or 'the turn failed'}"
            next = "run the same command again: it looks at what was done meanwhile" if reply.status == 4 else ""
            raise Problem(what, next=next, code=codes.get(reply.status, Code.SOME_FAILED))
        return reply.out.strip()

    def _refused(self, reply: Reply) -> Problem:
        return Problem(
            f"{self.name}: can't look at the node as {self._login.user}",
            why=(reply.err or reply.out).strip()[-400:],
            next="log in as root, or give the user sudo without a password",
            code=Code.UNREACHABLE,
        )

    def _open(self) -> fabric.Connection:
        with self._opening:
            if self._connection is None or not self._connection.is_connected:
                with trace.span("connects", self.name, kind="ssh"):
                    self._connection = connect(self.name, self._login)
            return self._connection

    def _begin(self, words: Sequence[str]) -> paramiko.Channel:
        """A program that runs; its channel is its stdin and stdout."""
        command = shlex.join(["sudo", "-n", "--", *words] if self._login.sudo else words)
        channel: paramiko.Channel = self._open().transport.open_session(timeout=CONNECT)
        channel.settimeout(CONNECT)
        channel.exec_command(command)
        return channel

    def _exec(self, words: Sequence[str], stdin: bytes = b"", *, timeout: float) -> Reply:
        try:
            channel = self._begin(words)
            channel.settimeout(timeout)
            sender = threading.Thread(target=_send, args=(channel, stdin), daemon=True)
            sender.start()
            complaints: list[bytes] = []
            listener = threading.Thread(target=_drain, args=(channel, complaints), daemon=True)
            listener.start()
            out = b"".join(iter(lambda: channel.recv(65536), b""))
            listener.join(timeout)
            status = channel.recv_exit_status()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise Problem(
                f"{self.name}: the connection broke",
                why=str(error) or type(error).__name__,
                next="run the same command again: it goes on where this one ended",
                code=Code.UNREACHABLE,
            ) from error
        return Reply(status, out.decode(errors="replace"), b"".join(complaints).decode(errors="replace"))


def _send(channel: paramiko.Channel, stdin: bytes) -> None:
    with contextlib.suppress(*BROKEN):  # the command ended before it read everything: its status tells
        channel.sendall(stdin)
        channel.shutdown_write()


def _drain(channel: paramiko.Channel, into: list[bytes]) -> None:
    with contextlib.suppress(*BROKEN):  # the reader of stdout reports it
        into.extend(iter(lambda: channel.recv_stderr(65536), b""))


def connect(name: str, login: Login) -> fabric.Connection:
    """An open connection with a host key that was known before; Problem (UNREACHABLE) that says which step failed."""
    options: dict[str, object] = {
        "transport_factory": Prompt,
        "banner_timeout": CONNECT,
        "auth_timeout": CONNECT,
    }
    if login.identity:
        options |= {"key_filename": str(login.identity.expanduser()), "look_for_keys": False, "allow_agent": False}
    connection = fabric.Connection(
        login.host,
        gateway=connect(name, login.jump) if login.jump else None,
        user=login.user,
        port=login.port,
        config=fabric.Config(overrides={"load_ssh_configs": False}),
        connect_timeout=int(CONNECT),
        connect_kwargs=options,
    )
    try:
        trust(connection.client, login)
        connection.open()
    except paramiko.BadHostKeyException as error:
        raise Problem(
            f"{name}: {login.host} shows another host key than the one that is known",
            why=f"it shows {error.key.get_name()} {error.key.get_base64()}",
            next="if the machine was rebuilt, put its new key into cluster.yaml (ssh.hostKey); else see who answers",
            code=Code.UNREACHABLE,
        ) from error
    except paramiko.AuthenticationException as error:
        raise Problem(
            f"{name}: {login.user}@{login.host} does not accept our key",
            why=str(error),
            next=f"ssh-copy-id {login.user}@{login.host}, or name another ssh.identityFile in cluster.yaml",
            code=Code.UNREACHABLE,
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        unknown = "not found in known_hosts" in str(error)
        raise Problem(
            f"{name}: " + (f"the host key of {login.host} is not known" if unknown else f"can't reach {login.host}"),
            why=str(error) or type(error).__name__,
            next=f"pin it in cluster.yaml: ssh.hostKey of {name} (ssh-keyscan -t ed25519 {login.host} prints it)"
            if unknown
            else f"try: ssh -p {login.port} {login.user}@{login.host}",
            code=Code.UNREACHABLE,
        ) from error
    connection.transport.set_keepalive(15)
    return connection


def trust(client: paramiko.SSHClient, login: Login) -> None:
    """Only this pinned key, else what known_hosts says; paramiko's own loader stops at lines it does not know."""
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    place = login.host if login.port == 22 else f"[{login.host}]:{login.port}"
    known = client.get_host_keys()
    known.clear()
    lines = [f"{place} {login.host_key}"] if login.host_key else []
    if not lines:
        for path in login.known_hosts:
            if path.expanduser().is_file():
                lines += path.expanduser().read_text(errors="replace").splitlines()
    for line in lines:
        if not line.strip() or line.startswith(("#", "@")):
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
            continue
        if entry and entry.key:
            for name in entry.hostnames or ():
                known.add(name, entry.key.get_name(), entry.key)
