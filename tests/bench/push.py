"""Twenty files to each of many sshds: by our one channel and tar, and by Fabric as people use it, file by file."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fabric
import paramiko

from bootstrap.ssh import Client, Login
from bootstrap.ssh.programs import Programs
from tests.bench.stopwatch import Stopwatch
from tests.lab import Lab

HOSTS = 128  # sshds, each on a port of its own
FIRST = 2200  # the port of the first
AT_ONCE = 16  # as many as `bootstrap` asks at the same time
FILES = {f"file-{number:02}": bytes([number]) * 4096 for number in range(20)}  # a control-plane node gets about these

# Nothing of them stays: the node is gone afterwards.
DAEMONS = f"""
mkdir -p /run/sshd
for port in $(seq {FIRST} {FIRST + HOSTS - 1}); do
    mkdir -p /srv/$port
    /usr/sbin/sshd -p $port -o PidFile=none -o UsePAM=no
done
"""


@dataclass(frozen=True, slots=True)
class Push:
    """Measures on one node of a lab, which plays all the hosts."""

    lab: Lab
    directory: Path
    watch: Stopwatch

    def compare(self) -> None:
        """Each way in turn, to all of the hosts, connections included; then what arrived is looked at."""
        self.lab.fresh()
        self.lab.node("cp1").shell(DAEMONS)
        for name, content in FILES.items():
            (self.directory / name).write_bytes(content)
        self.watch.measure("push-install", lambda: self._all(self._installed))
        self.watch.measure("push-put", lambda: self._all(self._put))
        self.watch.measure("push", lambda: self._all(self._ours))

    def _all(self, way: Callable[[int], None]) -> float:
        node, whole = self.lab.node("cp1"), len(FILES) * 4096
        node.shell("rm -rf /srv/*/*")
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(way, range(FIRST, FIRST + HOSTS)))
        took = time.monotonic() - began
        arrived = node.shell("for d in /srv/*; do cat $d/file-* | wc -c; done").split()
        assert arrived == [str(whole)] * HOSTS, arrived
        return took

    def _ours(self, port: int) -> None:
        """As a Turn's files go: one tar, on the standard input of one command."""
        node = self.lab.node("cp1")
        host = Programs("push", Login(node.address, port, identity=self.lab.identity, host_key=node.host_key), Client())
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in FILES.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o600
                tar.addfile(entry, io.BytesIO(content))
        reply = host.run(["tar", "-xpf", "-", "-C", f"/srv/{port}"], buffer.getvalue(), timeout=60)
        host.close()
        assert reply.status == 0, reply

    def _put(self, port: int) -> None:
        """Fabric's `put` for each file, which arrives in its place unsafely: not at once, and with whatever mode."""
        with self._fabric(port) as connection:
            for name in FILES:
                connection.put(str(self.directory / name), f"/srv/{port}/{name}")

    def _installed(self, port: int) -> None:
        """Fabric's `put` beside the place, and `run` to install it there: safe, as ours is."""
        with self._fabric(port) as connection:
            for name in FILES:
                connection.put(str(self.directory / name), f"/srv/{port}/.{name}")
                connection.run(f"install -m 600 /srv/{port}/.{name} /srv/{port}/{name} && rm /srv/{port}/.{name}")

    def _fabric(self, port: int) -> fabric.Connection:
        node = self.lab.node("cp1")
        options = {"key_filename": str(self.lab.identity), "look_for_keys": False, "allow_agent": False}
        config = fabric.Config(overrides={"load_ssh_configs": False, "run": {"hide": True, "in_stream": False}})
        connection = fabric.Connection(
            node.address, user="root", port=port, config=config, connect_kwargs=options, connect_timeout=15
        )
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        key = paramiko.hostkeys.HostKeyEntry.from_line(f"[{node.address}]:{port} {node.host_key}")
        assert key and key.key
        connection.client.get_host_keys().add(f"[{node.address}]:{port}", key.key.get_name(), key.key)
        return connection
