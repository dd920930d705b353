"""A cluster as people at a workstation meet it: `bootstrap` and `kubectl` as programs, waiting with deadlines."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml

from bootstrap.errors import Problem
from tests.lab import Lab, Node, binaries, up
from tests.lab.podman import inspect

T = TypeVar("T")

DIRECTORY = "/etc/kubernetes/manifests"
PARTS = ("batch-scheduler", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
MANIFESTS = frozenset(f"{part}.yaml" for part in PARTS)
TOLERATION = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
IMAGE = "registry.lab/toolbox:1"
# Who ends when the API has been away for ten seconds, since it can't renew its lease; the kubelet starts it again.
LEASED = {*PARTS} - {"etcd", "kube-apiserver"}
PATIENCE = 240.0  # seconds; what comes in two on a machine of its own may take long on one that stands still at times

MAIN = """
import sys
from bootstrap.cli import main
sys.argv[0] = "bootstrap"
main()
"""
PAUSING = """
import importlib, pathlib, time
owner, here = getattr(importlib.import_module({module!r}), {owner!r}), pathlib.Path({place!r})
whole, waited = owner.{name}, []
def pause():
    if not waited:
        waited.append(here.touch())
    while here.exists():
        time.sleep(0.02)
def paused(*words, **options):
    {before}
    told = whole(*words, **options)
    {after}
    return told
owner.{name} = paused
"""
WAITING = """#!/bin/sh
case " $* " in *" {words} "*) : >/run/waits; while [ -e {path} ]; do sleep 0.05; done ;; esac
exec /usr/bin/{program} "$@"
"""

_COMING = 0x100 | 0x80 | 0x2  # inotify(7): IN_CREATE | IN_MOVED_TO | IN_MODIFY


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A directory with a cluster.yaml for the nodes of a lab, and, once something was done, its state."""

    lab: Lab
    directory: Path

    @property
    def file(self) -> Path:
        """The cluster's description."""
        return self.directory / "cluster.yaml"

    @property
    def state(self) -> Path:
        """Where authorities, credentials and the epoch lie."""
        return self.directory / ".bootstrap" / self.lab.name

    @property
    def node(self) -> Node:
        """The first control-plane node."""
        return self.lab.node("cp1")

    def tree(self) -> dict[str, Any]:
        """The cluster's description."""
        tree: dict[str, Any] = yaml.safe_load(self.file.read_text())
        return tree

    def describe(self, **fields: object) -> None:
        """Set these fields of cluster.yaml; None takes one away."""
        tree = {name: value for name, value in (self.tree() | fields).items() if value is not None}
        self.file.write_text(yaml.safe_dump(tree, sort_keys=False, width=1000))

    @contextmanager
    def described(self) -> Iterator[None]:
        """The cluster's description may be changed in the block: it is put back."""
        before = self.file.read_text()
        try:
            yield
        finally:
            self.file.write_text(before)

    @property
    def paused(self) -> Path:
        """Is there while a `bootstrap` that was to pause does so; it goes on once this is gone."""
        return self.directory / "paused"

    def pausing(self, call: str, *, after: bool = False) -> str:
        """What makes a `bootstrap` pause when it first gets there, before the call or after: "module:Class.method"."""
        module, _, inner = call.partition(":")
        owner, _, name = inner.partition(".")
        before = "pass" if after else "pause()"
        place = str(self.paused)
        return PAUSING.format(
            module=module, owner=owner, name=name, place=place, before=before, after="pause()" if after else "pass"
        )

    def start(self, *words: str, log: Path, changed: str = "") -> subprocess.Popen[bytes]:
        """`bootstrap` with these words, begun; it writes to the log, and nobody answers its questions.

        `changed` is Python that runs before it, in the same process.
        """
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, *(("-c", changed + MAIN) if changed else ("-m", "bootstrap")), *words],
                cwd=self.directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def bootstrap(self, *words: str, stdin: str = "") -> Ended:
        """`bootstrap` with these words, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "bootstrap", *words],
            cwd=self.directory,
            env=environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def done(self, *words: str) -> Ended:
        """`bootstrap` with these words, which has to end well."""
        ended = self.bootstrap(*words)
        assert ended.status == 0, f"bootstrap {' '.join(words)}: {ended}"
        return ended

    def plan(self) -> dict[str, Any]:
        """What `bootstrap plan -o json` prints."""
        ended = self.bootstrap("plan", "-o", "json")
        assert ended.status in (0, 2), ended
        plan: dict[str, Any] = json.loads(ended.out)
        return plan

    def nothing_left(self) -> bool:
        """Whether a plan finds nothing to do; it never finds more than a part that lost its lease and comes again."""
        plan = self.plan()
        steps = [step for wave in plan["waves"] for step in wave]
        for step in steps:
            assert (step["step"], step.get("put"), step.get("drop")) == ("turn", [], []), step
            assert LEASED.issuperset(step["restart"]), step
        return not steps and not plan["blocked"]

    def well(self) -> bool:
        """Whether `bootstrap status` says that everything is healthy, and the nodes are Ready."""
        return self.bootstrap("status").status == 0

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Standard output of kubectl as the cluster's administrator; CalledProcessError when it fails."""
        program = binaries(self.lab.version) / "kubectl"
        words = (str(program), f"--kubeconfig={self.state / 'admin.conf'}", *words)
        return subprocess.run(words, input=stdin, check=True, capture_output=True, text=True, timeout=300).stdout

    def get(self, *words: str) -> dict[str, Any]:
        """What `kubectl get … -o json` prints."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "-o", "json", *words))
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Objects of a user, created or changed; a namespace that is new has no ServiceAccount at first."""
        until(lambda: self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects)))

    def ready(self) -> bool:
        """Whether the node is."""
        nodes = self.get("nodes")["items"]  # none until its kubelet has registered it
        assert len(nodes) <= 1
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for node in nodes
            for each in node["status"]["conditions"]
        )


def desk(lab: Lab, directory: Path) -> Desk:
    """A new workstation for a lab's nodes: its cluster.yaml, and no state."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(lab.cluster_file, directory)
    return Desk(lab, directory)


@contextmanager
def nodes_of_its_own(name: str, directory: Path, **shape: Any) -> Iterator[Desk]:
    """A workstation for a new lab of this shape (arguments of `tests.lab.up`), which is gone afterwards."""
    lab = up(name, **shape)
    try:
        yield desk(lab, directory)
    finally:
        lab.down()


def environment() -> dict[str, str]:
    """Ours, less what would change what `bootstrap` does."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("BOOTSTRAP_", "_BOOTSTRAP_"))}


def pod(name: str, command: list[str], **spec: object) -> dict[str, Any]:
    """A pod that may run on a control-plane node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "containers": [{"name": name, "image": IMAGE, "command": command}],
            "tolerations": [TOLERATION],
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }


def until(ask: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """What `ask` returns once that is true; a program that fails or an address that does not answer is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        found: object
        try:
            answer = ask()
            if answer:
                return answer
            found = answer
        except (OSError, subprocess.SubprocessError, httpx2.HTTPError, Problem) as error:
            found = getattr(error, "stderr", None) or error
        assert time.monotonic() < deadline, f"not within {seconds} s: {found!r}"
        time.sleep(0.05)


def root(node: Node) -> Path:
    """The node's disk, as this machine sees it."""
    return Path(f"/proc/{inspect('container', node.container)['State']['Pid']}/root")


def record(node: Node) -> dict[str, Any]:
    """What the node says is ours on it, less its epoch, which every command that changes something raises."""
    tree: dict[str, Any] = json.loads((root(node) / "var/lib/bootstrap/record.json").read_text())
    return {name: value for name, value in tree.items() if name != "epoch"}


def epoch(node: Node) -> int:
    """The epoch at which the node was changed last."""
    return int(json.loads((root(node) / "var/lib/bootstrap/record.json").read_text())["epoch"])


def running(node: Node) -> dict[str, int]:
    """part -> process id on the node of the program that runs in its container."""
    script = """
    for environ in $(grep -lsz '^BOOTSTRAP_GENERATION=' /proc/[0-9]*/environ); do
        pid=${environ#/proc/} pid=${pid%/environ}
        part=$(tr '\\0' '\\n' <"$environ" | sed -n 's/^BOOTSTRAP_PART=//p') || continue
        [ -z "$part" ] || echo "$part $pid"
    done
    """
    return {part: int(pid) for part, pid in (line.split() for line in node.shell(script).splitlines())}


@contextmanager
def waiting(node: Node, program: str, words: str) -> Iterator[Callable[[], bool]]:
    """A program of the node that is told these words waits, before it does them, until the block ends; whether it does.

    Only those that look into /usr/local/bin first, as our own scripts do. So nothing has to be caught in passing.
    """
    path = f"/usr/local/bin/{program}"
    script = WAITING.format(words=words, path=path, program=program)
    node.exec(
        "sh", "-c", f"cat >{path}.new && /usr/bin/chmod 755 {path}.new && /usr/bin/mv {path}.new {path}", stdin=script
    )
    try:
        yield (root(node) / "run/waits").exists
    finally:
        node.exec("/usr/bin/rm", "-f", path, "/run/waits")


@contextmanager
def names_in(directory: Path) -> Iterator[set[str]]:
    """The name of everything that is made, moved or written in a directory meanwhile, however short it stays.

    The set is filled when the block ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    seen: set[str] = set()
    try:
        assert libc.inotify_add_watch(watch, str(directory).encode(), _COMING) > 0, os.strerror(ctypes.get_errno())
        yield seen
        while events := _read(watch):
            while events:
                _, mask, _, length = struct.unpack_from("iIII", events)
                assert not mask & 0x4000, "the queue of events was too short"
                seen.add(events[16 : 16 + length].rstrip(b"\0").decode())
                events = events[16 + length :]
    finally:
        os.close(watch)


def _read(watch: int) -> bytes:
    try:
        return os.read(watch, 1 << 20)
    except BlockingIOError:
        return b""
