"""A node that can be reached: what it tells, what it takes, and what it reaches for us."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import paramiko

from bootstrap import archive, diagnosis, facts, survey, template_files, trace
from bootstrap.diagnosis import Diagnosis
from bootstrap.errors import Code, Problem
from bootstrap.ssh.client import ANSWER, BROKEN, Client, Connection
from bootstrap.ssh.faults import problem
from bootstrap.ssh.login import Login
from bootstrap.ssh.programs import Broken, Programs, Reply
from bootstrap.survey import Survey
from bootstrap.talk import Talk
from bootstrap.world import Facts, File, Former, Turn

DIAL = 10.0  # seconds
PULL = 900.0  # seconds until the next image has to be there
TURN = 330.0  # seconds a turn may take on its node, which ends it after 300
PROHIBITED = 1  # of RFC 4254, 5.1; 2 is a connection that was refused, which is an answer


@dataclass(frozen=True, slots=True)
class Read:
    """A file as it lies on a node, and since when it does, mode and owner included (seconds since 1970)."""

    content: bytes
    since: float


class Host:
    """A node that can be reached. One connection, opened when it is first used, and again when it has broken."""

    def __init__(self, name: str, login: Login, client: Client) -> None:
        """Nothing is opened yet; `client` is what all hosts of a run share."""
        self.name, self._login = name, login
        self._programs = Programs(name, login, client)

    def open(self) -> None:
        """Connected from now on; Problem when it can't be reached."""
        self._programs.connection()

    def observe(self, etcd: str, manifests: str = "") -> Facts:
        """All that is known of the node; `manifests` is cluster.yaml's staticPodPath ("": the kubelet's own)."""
        script = template_files.text("scripts/observe.sh")
        with trace.span("asks for its facts", self.name, kind="ssh"):
            reply = self._asked(["sh", "-s", "--", etcd, manifests], script.encode(), timeout=60)
        if reply.status:
            raise self._refused(reply)
        if self._programs.connection().forwards is None:  # nothing could be asked of etcd or the API: nobody founds
            with contextlib.suppress(paramiko.ChannelException):  # nothing listens there, and sshd would have told
                self.dial("127.0.0.1", 22).close()
        return facts.parse(self.name, reply.out)

    def read(self, paths: Sequence[str], times: Sequence[str] = ()) -> dict[str, Read]:
        """Files that are no secrets, for showing what differs, never for deciding; of `times` only since when."""
        script = template_files.text("scripts/read.sh")
        reply = self._asked(["sh", "-s", "--", *paths, "--", *times], script.encode(), timeout=60)
        if reply.status:
            raise self._refused(reply)
        told = reply.out.split("\0")
        return {
            path: Read(content.encode(), float(since))
            for path, since, content in zip(told[0:-1:3], told[1:-1:3], told[2:-1:3], strict=True)
        }

    def turn(self, turn: Turn, was: Facts, etcd: str, leave: File, graces: Mapping[str, int], *, epoch: int) -> str:
        """Take the node from what it has to what it should have; returns when the script is through, not when healthy.

        What it has to say, mostly nothing. The turn outlives its connection: what became of it is then read on another.

        Problem: CHANGES when the node moved since the plan, SOME_FAILED when it is the node's own fault, LOCKED when it
        knows a newer epoch, UNREACHABLE where the line broke, and nobody can tell what became of it.
        """
        packed = archive.pack(turn, was, etcd, leave, graces, epoch=epoch)
        words = ["sh", "-c", archive.push(epoch), "turn", *archive.directories(turn)]
        with trace.span("takes the turn: pushes, swaps, starts the kubelet", self.name, kind="ssh"):
            return self._outcome(words, packed, leaves=turn.leaves)

    def settle(self, epoch: int) -> None:
        """The probes have passed: the record says so."""
        with trace.span("settles", self.name, kind="ssh"):
            self._ended(self._asked(["sh", f"{archive.STAGE}/turn.sh", "settle", str(epoch)], timeout=60))

    def back(self, epoch: int) -> str:
        """Swap back to the former generation, if a turn has begun and did not settle; what there is to say."""
        with trace.span("swaps back", self.name, kind="ssh"):
            return self._outcome(["sh", "-c", archive.BACK, "back", str(epoch)], b"", leaves=False)

    def former(self, was: Facts) -> Former | None:
        """The generation before the last turn, if there was one; Problem (REFUSED) where it can't be gone back to."""
        reply = self._asked(["sh", "-c", archive.FORMER, "former", was.machine.manifests], timeout=60)
        self._ended(reply)
        return archive.former(self.name, reply.out, was)

    def hold(self, holder: str) -> Talk:
        """The lock of this node, asked for; it is held for as long as the talk goes on, and lines come."""
        script = template_files.text("scripts/lock.sh")
        with trace.span("asks for the lock", self.name, kind="ssh"):
            stream = self._programs.begin(["sh", "-c", script, "lock", "hold", holder], timeout=30)
            return Talk(self.name, stream.channel, lambda: stream.complaints(1.0))

    def holder(self, *, end: bool = False) -> str:
        """Who holds the lock of this node ("": nobody); they lose it where `end` says so."""
        script = template_files.text("scripts/lock.sh")
        with trace.span("asks who holds the lock", self.name, kind="ssh"):
            reply = self._asked(["sh", "-c", script, "lock", "end" if end else "show"], timeout=30)
        return reply.out.partition("\t")[2].strip()

    def diagnose(self, parts: Sequence[str], *, lines: int = 20, manifests: str = "") -> Diagnosis:
        """What it can tell of these parts and of the kubelet; of the files in `manifests` too, where that is named."""
        script = template_files.text("scripts/listeners.sh") + template_files.text("scripts/diagnose.sh")
        with trace.span("tells what is wrong", self.name, kind="ssh"):
            reply = self._asked(["sh", "-s", "--", str(lines), manifests, *parts], script.encode(), timeout=60)
        return diagnosis.parse(self.name, reply.out)

    def survey(self, etcd: str, manifests: str, runtime: str, name: str) -> Survey:
        """What the machine is like, beyond its facts; `runtime` is a URL, `name` the node's in cluster.yaml."""
        script = template_files.text("scripts/listeners.sh") + template_files.text("scripts/preflight.sh")
        words = ["sh", "-s", "--", etcd, manifests, runtime, name]
        with trace.span("tells what the machine is like", self.name, kind="ssh"):
            began = time.time()
            reply = self._asked(words, script.encode(), timeout=60)
        return survey.parse(self.name, reply.out, began)

    @contextlib.contextmanager
    def listening(self, address: str, ports: Sequence[int]) -> Iterator[frozenset[int]]:
        """Which of these ports of the node somebody can connect to while the block lasts; nothing is written there."""
        words = ["sh", "-c", template_files.text("scripts/listen.sh"), "listen", address, *map(str, ports)]
        heard: set[int] = set()
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Problem, *BROKEN):  # nobody listens then, and nobody asks
                channel = self._programs.begin(words, timeout=ANSWER).channel
                stack.callback(channel.close)
                told = stack.enter_context(channel.makefile("r"))
                while (line := told.readline().strip()) and line != "ready":
                    heard.add(int(line))
            yield frozenset(heard)

    def pull(self, runtime: str, images: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """(image, "there" | "pulled" | "failed", why), one by one as the runtime has them.

        The one thing besides a Turn that changes a node: images are the runtime's cache, and no plan depends on it.
        """
        words = ["sh", "-c", template_files.text("scripts/pull.sh"), "pull", runtime, *images]
        stream = self._programs.begin(words, timeout=PULL)
        try:
            with stream.channel.makefile("r") as told:
                for line in told:
                    image, what, *why = line.rstrip("\n").split("\t")
                    yield image, what, " ".join(why)
            if stream.channel.recv_exit_status():
                raise Problem(
                    f"{self.name}: can't ask the runtime for images",
                    why=stream.complaints(ANSWER).strip(),
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
            stream.channel.close()

    def dial(self, address: str, port: int) -> paramiko.Channel:
        """A stream to what the node itself reaches at this address: its own loopback, mostly.

        Problem (UNREACHABLE), or what paramiko raises where nothing listens there.
        """
        try:
            return self._dialled(address, port)
        except Broken:
            return self._dialled(address, port)

    def unanswered(self, address: str, port: int, *, within: float) -> str:
        """Why nothing answers there, seen from this node, in so many seconds; "": it does, or nobody can tell."""
        try:
            connection = self._programs.connection()
            if connection.forwards is False:
                return ""
            forwarded(connection, address, port, within).close()
        except Problem:
            return ""
        except paramiko.ChannelException as error:
            return "" if error.code == PROHIBITED else "nobody answers"
        except BROKEN:
            return f"no answer in {within:.0f} s"
        return ""

    def close(self) -> None:
        """Ends the connection."""
        self._programs.close()

    def _dialled(self, address: str, port: int) -> paramiko.Channel:
        connection = self._programs.connection()
        if connection.forwards is False:
            return self._bridged(connection, address, port)
        try:
            channel = forwarded(connection, address, port, DIAL)
        except paramiko.ChannelException as error:
            if error.code != PROHIBITED:
                connection.forwards = True
                raise
            connection.forwards = False
            return self._bridged(connection, address, port)
        except BROKEN as error:
            self._programs.drop(connection)
            raise problem("Broken", self._words(connection), str(error), Broken) from error
        connection.forwards = True
        return channel

    def _bridged(self, connection: Connection, address: str, port: int) -> paramiko.Channel:
        """The stream through a program on the node, as the user who logs in: nobody has to be root to dial."""
        words = ["sh", "-c", template_files.text("scripts/dial.sh"), "dial", address, str(port)]
        channel = self._programs.begin(words, timeout=DIAL, root=False).channel
        by = b""
        while not by.endswith(b"\n") and (more := channel.recv(1)):
            by += more
        if by.strip() in (b"none", b""):
            channel.close()
            why = "AllowTcpForwarding, or DisableForwarding, says so"
            raise problem("NoForwarding", self._words(connection), why)
        return channel

    def _asked(self, words: Sequence[str], stdin: bytes = b"", *, timeout: float) -> Reply:
        """The reply of a program that may run twice: where the line breaks, it is asked again on a new one."""
        try:
            return self._programs.run(words, stdin, timeout=timeout)
        except Broken:
            return self._programs.run(words, stdin, timeout=timeout)

    def _outcome(self, words: Sequence[str], stdin: bytes, *, leaves: bool) -> str:
        """How a turn ended, or a swap back, which go on without us where the line breaks."""
        try:
            return self._ended(self._programs.run(words, stdin, timeout=TURN))
        except Broken:
            with trace.span("waits for what became of it, on a new connection", self.name, kind="ssh"):
                reply = self._asked(["sh", "-c", archive.OUTCOME], timeout=TURN)
            code, _, text = reply.out.strip().partition("\t")
            if leaves and code == "gone":
                return ""
            if not code.isdecimal():  # it had not begun, and won't: what was sent is half of it
                raise
            told = "" if code == "0" and text == "done" else text
            return self._ended(Reply(int(code), told, told))

    def _words(self, connection: Connection) -> dict[str, object]:
        return connection.route.words | {"node": self.name}

    def _ended(self, reply: Reply) -> str:
        if reply.status:
            codes = {1: Code.FAILED, 2: Code.CHANGES, 4: Code.LOCKED}
            what = f"{self.name}: {reply.err.strip() or 'the turn failed'}"
            next = "run the same command again: it looks at what was done meanwhile" if reply.status == 4 else ""
            raise Problem(what, next=next, code=codes.get(reply.status, Code.SOME_FAILED))
        return reply.out.strip()

    def _refused(self, reply: Reply) -> Problem:
        return Problem(
            f"{self.name}: can't look at the node as {self._login.user or 'root'}",
            why=(reply.err or reply.out).strip()[-400:],
            next="log in as root, or let the user become root by sudo: ssh.sudo in cluster.yaml",
            code=Code.UNREACHABLE,
        )


def forwarded(connection: Connection, address: str, port: int, seconds: float) -> paramiko.Channel:
    """A stream that sshd opens for us from its node."""
    channel: paramiko.Channel = connection.transport.open_channel(
        "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=seconds
    )
    return channel
