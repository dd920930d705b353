"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bootstrap.errors import Problem
from tests.lab import Lab, cache, down, find, names, rootfs, up
from tests.lab.podman import PODMAN
from tests.lab.progress import say
from tests.lab.toolchain import install_packages, require_root

COMMANDS = {
    "up": "make a lab, or bring it back: nodes, keys, cluster.yaml",
    "down": "remove a lab without a trace",
    "fresh": "make nodes anew: pristine disks, the same addresses and keys",
    "status": "the nodes of a lab, or of all of them",
    "ssh": "log in to a node, or run a command there, with the lab's key",
    "exec": "run a program on a node, not over SSH",
    "clean": "forget everything that was built: the next `up` takes minutes again",
    "deps": "install the Debian packages the lab needs",
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    asked = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "up": _up,
        "down": _down,
        "fresh": _fresh,
        "status": _status,
        "ssh": _ssh,
        "exec": _exec,
        "clean": _clean,
        "deps": _deps,
    }
    try:
        return commands[asked.command](asked)
    except Problem as problem:
        say(f"error: {problem.what}")
        for label, text in (("why", problem.why), ("next", problem.next)):
            if text:
                say(f"  {label}: {text}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=sys.modules["tests.lab"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in COMMANDS.items()}
    for name, command in made.items():
        if name == "status":
            command.add_argument("--name", help="only this lab")
            command.add_argument("-o", dest="output", choices=("table", "json"), default="table")
        elif name not in ("clean", "deps"):
            command.add_argument("--name", default="demo", help="the lab's name (demo)")
    wanted = made["up"]
    wanted.add_argument("--nodes", type=int, help="control-plane nodes (1)")
    wanted.add_argument("--workers", type=int, help="worker nodes (0)")
    wanted.add_argument("--version", help="Kubernetes, like v1.37.2")
    wanted.add_argument("--containerd", type=int, choices=(1, 2), help="1: Debian's, cgroupfs (default); 2: systemd")
    wanted.add_argument("--load-balancer", action="store_true", help="one more node, haproxy: the endpoint")
    wanted.add_argument("--also", action="append", default=[], help="one more version whose images nodes start with")
    wanted.add_argument("--dir", type=Path, help="where keys and cluster.yaml go (~/.local/state/bootstrap-lab/NAME)")
    made["fresh"].add_argument("nodes", nargs="*", metavar="NODE", help="all when none is named")
    for name in ("ssh", "exec"):
        made[name].add_argument("node", metavar="NODE")
        made[name].add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser


def _up(asked: argparse.Namespace) -> int:
    lab = up(
        asked.name,
        nodes=asked.nodes,
        workers=asked.workers,
        version=asked.version,
        containerd=asked.containerd,
        load_balancer=asked.load_balancer,
        also=tuple(asked.also),
        directory=asked.dir,
    )
    print(lab.cluster_file)
    return 0


def _down(asked: argparse.Namespace) -> int:
    require_root()
    down(asked.name)
    return 0


def _fresh(asked: argparse.Namespace) -> int:
    _found(asked.name).fresh(*asked.nodes)
    return 0


def _status(asked: argparse.Namespace) -> int:
    require_root()
    labs = [_found(name) for name in ([asked.name] if asked.name else names())]
    rows = [
        {
            "lab": lab.name,
            "node": node.name,
            "role": node.role,
            "address": node.address,
            "state": node.state(),
        }
        for lab in labs
        for node in lab.nodes
    ]
    if asked.output == "json":
        print(json.dumps(rows, indent=2))
        return 0
    head = ("lab", "node", "role", "address", "state")
    widths = [max(len(word) for word in (name, *(row[name] for row in rows))) for name in head]
    for words in (tuple(name.upper() for name in head), *(tuple(row[name] for name in head) for row in rows)):
        print("  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip())
    return 0


def _ssh(asked: argparse.Namespace) -> int:
    argv = [*_found(asked.name).node(asked.node).ssh_argv(), *_command(asked.words)]
    os.execvp(argv[0], argv)


def _exec(asked: argparse.Namespace) -> int:
    node, words = _found(asked.name).node(asked.node), _command(asked.words)
    terminal = ("--interactive", "--tty") if sys.stdin.isatty() and sys.stdout.isatty() else ("--interactive",)
    argv = [*PODMAN, "exec", *terminal, node.container, *(words or ["bash"])]
    os.execvp(argv[0], argv)


def _clean(asked: argparse.Namespace) -> int:
    require_root()
    cache.clear()
    rootfs.clear()
    return 0


def _deps(asked: argparse.Namespace) -> int:
    install_packages()
    return 0


def _command(words: list[str]) -> list[str]:
    """What stands after NODE, less the `--` that may stand first."""
    return words[1:] if words[:1] == ["--"] else words


def _found(name: str) -> Lab:
    require_root()
    lab = find(name)
    if lab is None:
        raise Problem(f"there is no lab {name}", next=f"python -m tests.lab up --name {name}")
    return lab


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
