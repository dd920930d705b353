"""One node of a lab: what tests do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.machine import wait
from tests.lab.podman import LABEL, answers, exists, inspect, podman
from tests.lab.programs import run


@dataclass(frozen=True, slots=True)
class Node:
    """A node, which may be down. `role`: "control-plane", "worker", or, not in cluster.yaml, "load-balancer"."""

    lab: str
    name: str
    role: str
    address: str
    host_key: str
    directory: Path

    @property
    def container(self) -> str:
        """The name of its container, and of the volume that is its /var."""
        return f"{LABEL}-{self.lab}-{self.name}"

    def exec(self, *argv: str, stdin: str = "") -> str:
        """Standard output of a program run on the node, as root and not over SSH; a Problem when it fails."""
        return podman("exec", "--interactive", self.container, *argv, stdin=stdin)

    def shell(self, script: str) -> str:
        """Standard output of a script, run by the node's sh with -e; a Problem when it fails."""
        return self.exec("sh", "-e", stdin=script)

    def ssh(self, command: str, *, user: str = "root") -> str:
        """Standard output of a command line run over SSH, the host key checked; a Problem when it fails."""
        return run([*self.ssh_argv(), "-l", user, "--", command])

    def ssh_argv(self) -> Sequence[str]:
        """The ssh command that leads to the node."""
        return ("ssh", "-F", str(self.directory / "ssh_config"), self.name)

    def put(self, source: Path, target: str) -> None:
        """Copy a file or directory of this machine onto the node."""
        podman("cp", source, f"{self.container}:{target}")

    def kill(self) -> None:
        """Take its power away."""
        podman("kill", "--signal", "KILL", self.container)
        podman("wait", "--interval", "20ms", self.container)

    def pause(self) -> None:
        """Freeze every one of its programs: it neither answers nor refuses."""
        podman("pause", self.container)

    def unpause(self) -> None:
        """Let it go on."""
        podman("unpause", self.container)

    def stop(self) -> None:
        """Shut it down in order."""
        podman("stop", "--time", "20", self.container)

    def start(self) -> None:
        """Boot it again, and wait until it has booted."""
        podman("start", self.container)
        wait(self.container)

    def state(self) -> str:
        """ "running", "paused", "exited", …; "absent" without a container; "stale" when podman calls it running and
        it runs nothing, as after a restart of the machine."""
        if not exists("container", self.container):
            return "absent"
        status = str(inspect("container", self.container)["State"]["Status"])
        if status == "running" and not answers(self.container):
            return "stale"
        return "exited" if status == "stopped" else status  # podman's own difference: whether it has cleaned up
