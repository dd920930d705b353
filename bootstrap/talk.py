"""Lines to and from a program that runs on a node for as long as somebody listens."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import paramiko

from bootstrap.errors import Code, Problem

ANSWER = 10.0  # seconds


class Talk:
    """A program on a node that answers each line with a line; any thread may ask it."""

    def __init__(self, node: str, channel: paramiko.Channel, complaints: Callable[[], str]) -> None:
        """The program runs; `complaints` is what it has said on stderr."""
        self.node, self._channel, self._complaints = node, channel, complaints
        self._asking = threading.Lock()
        self._rest = b""

    def hear(self, seconds: float = ANSWER) -> str:
        """The next line; Problem when none comes in time, or the program or the line has ended."""
        try:
            self._channel.settimeout(seconds)
            while b"\n" not in self._rest:
                received = self._channel.recv(4096)
                if not received:
                    raise self._broken(self._complaints().strip())
                self._rest += received
        except TimeoutError as error:
            raise self._broken(f"it did not answer within {seconds:.0f} s") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._broken(str(error) or type(error).__name__) from error
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def ask(self, line: str, seconds: float = ANSWER) -> str:
        """What it answers."""
        with self._asking:
            try:
                self._channel.settimeout(seconds)
                self._channel.sendall(f"{line}\n".encode())
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise self._broken(str(error) or type(error).__name__) from error
            return self.hear(seconds)

    def end(self) -> None:
        """The program is told to end, and has ended where it still could be reached."""
        with contextlib.suppress(Problem):
            self.ask("end", 2.0)
        self.close()

    def close(self) -> None:
        """The program reads the end of its input."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()

    @property
    def unmeant(self) -> bool:
        """Whether it ended by nobody's will: its line broke, or it has heard nothing for too long."""
        transport = self._channel.get_transport()
        return not transport.is_active() or (
            self._channel.exit_status_ready() and self._channel.recv_exit_status() == 0
        )

    def _broken(self, why: str) -> Problem:
        return Problem(f"{self.node}: the program that holds the lock has ended", why=why, code=Code.UNREACHABLE)
