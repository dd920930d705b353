"""Twenty files to each of many sshds: by our one channel and tar, and by Fabric as people use it, file by file."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import fabric
import paramiko

from bootstrap.ssh import Client, Login
from bootstrap.ssh.programs import Programs
from tests.bench.stopwatch import Stopwatch
from tests.lab import Lab

Line = TypeVar("Line")  # an open connection to a host
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
class Way(Generic[Line]):
    """How files get to a host: a line to it is opened, they are pushed through, and it is closed."""

    open: Callable[[int], Line]
    push: Callable[[Line, int], None]
    close: Callable[[Line], None]


@dataclass(frozen=True, slots=True)
class Push:
    """Measures on one node of a lab, which plays all the hosts."""

    lab: Lab
    directory: Path
    watch: Stopwatch

    def compare(self) -> None:
        """Each way in turn, to all of the hosts: connections included, then over connections that are open."""
        self.lab.fresh()
        self.lab.node("cp1").shell(DAEMONS)
        for name, content in FILES.items():
            (self.directory / name).write_bytes(content)
        fabrics = Way(self._fabric, self._install, fabric.Connection.close)
        puts = Way(self._fabric, self._put, fabric.Connection.close)
        ours = Way(self._programs, self._tar, Programs.close)
        for row, way in (("push-install", fabrics), ("push-put", puts), ("push", ours)):
            self.watch.measure(row, partial(self._whole, way))
        for row, way in (("pushed-install", fabrics), ("pushed-put", puts), ("pushed", ours)):
            self.watch.measure(row, partial(self._opened, way))

    def _whole(self, way: Way[Line]) -> float:
        """Seconds, from the first connection to the end of the last."""

        def whole(port: int) -> None:
            line = way.open(port)
            way.push(line, port)
            way.close(line)

        return self._all(whole)

    def _opened(self, way: Way[Line]) -> float:
        """Seconds that the push alone takes."""
        ports = range(FIRST, FIRST + HOSTS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            lines = dict(zip(ports, pool.map(way.open, ports), strict=True))
        took = self._all(lambda port: way.push(lines[port], port))
        for line in lines.values():
            way.close(line)
        return took

    def _all(self, way: Callable[[int], None]) -> float:
        """Seconds; what arrived is looked at afterwards."""
        node, whole = self.lab.node("cp1"), len(FILES) * 4096
        node.shell("rm -rf /srv/*/*")
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(way, range(FIRST, FIRST + HOSTS)))
        took = time.monotonic() - began
        arrived = node.shell("for d in /srv/*; do cat $d/file-* | wc -c; done").split()
        assert arrived == [str(whole)] * HOSTS, arrived
        return took

    def _programs(self, port: int) -> Programs:
        """As `bootstrap` reaches a node."""
        node = self.lab.node("cp1")
        login = Login(node.address, port, identity=self.lab.identity, host_key=node.host_key)
        host = Programs("push", login, Client())
        host.connection()
        return host

    def _tar(self, host: Programs, port: int) -> None:
        """As a Turn's files go: one tar, on the standard input of one command."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in FILES.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o600
                tar.addfile(entry, io.BytesIO(content))
        reply = host.run(["tar", "-xpf", "-", "-C", f"/srv/{port}"], buffer.getvalue(), timeout=60)
        assert reply.status == 0, reply

    def _put(self, connection: fabric.Connection, port: int) -> None:
        """Fabric's `put` for each file, which arrives in its place unsafely: not at once, and with whatever mode."""
        for name in FILES:
            connection.put(str(self.directory / name), f"/srv/{port}/{name}")

    def _install(self, connection: fabric.Connection, port: int) -> None:
        """Fabric's `put` beside the place, and `run` to install it there: safe, as ours is."""
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
        connection.open()
        return connection
