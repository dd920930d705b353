"""Programs on a node, as root: begun by whatever login shell there is, and by sudo where that takes it.

The login shell is given one line that every shell takes (bash, dash, csh, fish), and that is always the same. It starts
/bin/sh, which marks where its own output begins, whatever the login shell or sudo printed before, and reads one line:
the program, with its arguments.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import paramiko

from bootstrap.errors import Problem
from bootstrap.ssh.client import ANSWER, BROKEN, Client, Connection, problem_of
from bootstrap.ssh.faults import problem
from bootstrap.ssh.login import Login
from bootstrap.ssh.secret import Refused

MARK = b"bootstrap-begins\n"
PROMPT = "bootstrap-asks:"  # how sudo asks: no other text is one
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
# No "!" and no newline: csh reads both even between quotes. Stdin is read byte by byte: what comes after the line is
# the program's.
SHELL = (
    f"echo {MARK.decode().strip()}; echo {MARK.decode().strip()} >&2; {PATH}; export PATH; "
    'IFS= read -r it; eval "$(printf %b "$it")"'
)
SUDO = f'LC_ALL=C {PATH}; export LC_ALL PATH; exec sudo %s -- /bin/sh -c "$1"'
CHUNK = 1 << 17  # bytes that are sent at once: paramiko copies what is left after each packet
LET_IN = 30.0  # seconds sudo may take until it starts the program: PAM may ask others, and waits after a wrong password

# (what sudo says, the fault that it is)
SAYS = (
    (r"password is required|authentication is required|terminal is required to (read|authenticate)", "SudoPassword"),
    (r"must have a tty", "SudoTerminal"),
    (r"not in the sudoers|not allowed to (execute|run)|may not run sudo|user NOT in sudoers", "NotInSudoers"),
    (r"sudo\S*: (command )?not found", "NoSudo"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


class Broken(Problem):
    """The line broke: what was asked may have been done, or not."""


class Silent(Problem):
    """It took too long; the line may be well."""


@dataclass(slots=True)
class Stream:
    """A program that runs: its channel is its stdin and stdout; what it complains of is listened to."""

    connection: Connection
    channel: paramiko.Channel
    said: bytearray = field(default_factory=bytearray)  # on stderr
    listener: threading.Thread | None = None

    def listen(self, heard: Callable[[bytes], None] = lambda _: None) -> None:
        """From now on; `heard` is told all of it whenever there is more."""

        def drain() -> None:
            with contextlib.suppress(*BROKEN):  # the reader of stdout reports it
                while more := self.channel.recv_stderr(65536):
                    self.said += more
                    heard(bytes(self.said))

        self.listener = threading.Thread(target=drain, daemon=True)
        self.listener.start()

    def send(self, stdin: bytes) -> None:
        """All of it, and its end, without waiting for it."""

        def pour() -> None:
            with contextlib.suppress(*BROKEN):  # the command ended before it read everything: its status tells
                for start in range(0, len(stdin), CHUNK):
                    self.channel.sendall(stdin[start : start + CHUNK])
                self.channel.shutdown_write()

        threading.Thread(target=pour, daemon=True).start()

    def status(self) -> int:
        """How it ended; -1: by a signal. EOFError where its line did."""
        status: int = self.channel.recv_exit_status()
        if status == -1 and not self.connection.alive:
            raise EOFError("the line was cut")
        return status

    def complaints(self, seconds: float) -> str:
        """What it said on stderr after it had begun, once it has ended."""
        if self.listener:
            self.listener.join(seconds)
        before, mark, after = bytes(self.said).partition(MARK)
        return (after if mark else before).decode(errors="replace")


class Answer:
    """Gives sudo the password when it asks, once: a second wrong one might lock the user out."""

    def __init__(self, channel: paramiko.Channel, password: str) -> None:
        """Nobody has asked yet."""
        self._channel, self._password = channel, password
        self._asked = 0

    @property
    def wrong(self) -> bool:
        """Whether it asked again."""
        return self._asked > 1

    def __call__(self, said: bytes) -> None:
        """All that it has said is this."""
        if said.partition(MARK)[0].count(PROMPT.encode()) > self._asked:
            self._asked += 1
            if self.wrong:
                self._channel.shutdown_write()
            else:
                self._channel.sendall(f"{self._password}\n".encode())


class Programs:
    """Runs programs on one host, over a connection that is opened again when it has broken."""

    def __init__(self, node: str, login: Login, client: Client) -> None:
        """Nothing is opened yet."""
        self.node, self.login, self._client = node, login, client
        self._opening = threading.Lock()
        self._connection: Connection | None = None
        self._asks = False  # whether sudo wants a password here
        self._refused: Problem | None = None  # the password was: it is not tried again

    def connection(self) -> Connection:
        """An open one."""
        with self._opening:
            if self._connection is None or not self._connection.alive:
                self._connection = self._client.open(self.node, self.login)
            return self._connection

    def drop(self, connection: Connection) -> None:
        """It is of no use any more."""
        with self._opening:
            connection.close()
            if self._connection is connection:
                self._connection = None

    def close(self) -> None:
        """Whatever is open ends, under whoever uses it; nobody is waited for who is about to open something."""
        if connection := self._connection:
            connection.close()

    def run(self, words: Sequence[str], stdin: bytes = b"", *, timeout: float) -> Reply:
        """The program to its end, as root. Broken, Silent (after so many seconds without a word), Problem."""
        stream = self.begin(words, stdin, timeout=timeout)
        with self._breaking(stream.connection, timeout):
            out = b"".join(iter(lambda: stream.channel.recv(65536), b""))
            return Reply(stream.status(), out.decode(errors="replace"), stream.complaints(timeout))

    def begin(self, words: Sequence[str], stdin: bytes | None = None, *, timeout: float, root: bool = True) -> Stream:
        """The program, begun: what it prints comes next. Without `stdin` its input stays open."""
        line = shlex.join(words).replace("\\", "\\\\").replace("\n", "\\n") + "\n"
        connection = self.connection()
        sudo = root and (self.login.sudo if self.login.sudo is not None else connection.route.user != "root")
        with self._breaking(connection, timeout):
            if not sudo:
                return self._begun(connection, shlex.join(["exec", "/bin/sh", "-c", SHELL]), line, stdin, timeout)
            if not self._asks:
                try:
                    return self._begun(connection, _sudo("-n"), line, stdin, timeout)
                except _Asks:
                    self._asks = True
            return self._with_password(connection, line, stdin, timeout)

    def _with_password(self, connection: Connection, line: str, stdin: bytes | None, timeout: float) -> Stream:
        if self._refused:
            raise self._refused
        words = self._words(connection)
        secret = self._client.secrets.of(
            self.login.password, f"Password of {connection.route.user} for sudo on the nodes"
        )

        def attempt(password: str) -> Stream:
            return self._begun(connection, _sudo(f"-S -p {PROMPT}"), line, stdin, timeout, password=password)

        try:
            return secret.use(attempt, problem("SudoPassword", words))
        except Refused as refused:
            self._refused = refused
            if not refused.what.startswith(f"{self.node}: "):
                self._refused = Refused(f"{self.node}: {refused.what}", why="it was not tried here", **_rest(refused))
            raise self._refused from refused
        except Problem as told:
            if told.what.startswith(f"{self.node}: "):
                raise
            raise problem_of(self.node, told) from told

    def _begun(
        self,
        connection: Connection,
        command: str,
        line: str,
        stdin: bytes | None,
        timeout: float,
        *,
        password: str | None = None,
    ) -> Stream:
        """The stream, once its program runs: whatever was printed before is dropped."""
        channel = connection.transport.open_session(timeout=ANSWER)
        channel.exec_command(command)
        stream = Stream(connection, channel)
        if password is None:
            stream.listen()
            self._pour(stream, line, stdin)
            channel.settimeout(timeout)
            self._wait(stream)
            return stream
        answer = Answer(channel, password)
        stream.listen(answer)
        channel.settimeout(LET_IN)
        try:
            self._wait(stream, answer)
        except TimeoutError:
            last = bytes(stream.said).decode(errors="replace").strip()[-400:]
            why = f"it has not begun within {LET_IN:.0f} s; it says: {last}"
            raise problem("SudoRefuses", self._words(connection), why) from None
        channel.settimeout(timeout)
        self._pour(stream, line, stdin)
        return stream

    def _wait(self, stream: Stream, answer: Answer | None = None) -> None:
        """Until the program begins; Problem where it does not."""
        said = b""
        while not said.endswith(MARK):
            if not (more := stream.channel.recv(1)):
                raise self._unbegun(stream, said, wrong=bool(answer and answer.wrong))
            said += more

    def _pour(self, stream: Stream, line: str, stdin: bytes | None) -> None:
        if stdin is None:
            with contextlib.suppress(*BROKEN):  # it has ended already: what it said tells why
                stream.channel.sendall(line.encode())
        else:
            stream.send(line.encode() + stdin)

    def _unbegun(self, stream: Stream, said: bytes, *, wrong: bool) -> Problem:
        """Why the program did not begin, by what the login shell or sudo said."""
        status, complaints, words = stream.status(), stream.complaints(ANSWER), self._words(stream.connection)
        why = (complaints.replace(PROMPT, "").strip() or said.decode(errors="replace").strip())[-400:]
        if wrong:
            return problem("WrongSudoPassword", words, why, Refused)
        for pattern, fault in SAYS:
            if re.search(pattern, complaints):
                return problem(fault, words, why, _Asks if fault == "SudoPassword" else Problem)
        fault = "SudoRefuses" if "sudo" in complaints else "NoShell"
        return problem(fault, words, why or f"its shell ended with {status}")

    def _words(self, connection: Connection) -> dict[str, object]:
        return connection.route.words | {"node": self.node}

    @contextlib.contextmanager
    def _breaking(self, connection: Connection, timeout: float) -> Iterator[None]:
        """Every way in which a line can break is told as Broken, and it is not used again.

        What is only slow has a line that is well: a dead one is noticed before.
        """
        words = self._words(connection)
        try:
            yield
        except TimeoutError as error:
            raise problem("Silent", words | {"seconds": f"{timeout:.0f}"}, kind=Silent) from error
        except BROKEN as error:
            self.drop(connection)
            raise problem("Broken", words, str(error) or type(error).__name__, Broken) from error


class _Asks(Problem):
    """sudo wants a password."""


def _rest(told: Problem) -> dict[str, Any]:
    return {"next": told.next, "code": told.code}


def _sudo(how: str) -> str:
    return f"exec /bin/sh -c {shlex.quote(SUDO % how)} sh {shlex.quote(SHELL)}"
