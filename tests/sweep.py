"""Every kill point on real nodes: `bootstrap` dies at each remote operation, is run again, and must end the same.

`python -m tests.sweep [init|apply|join|bring-ups …]`; long, and prints how many points held. A point is the moment
before or after one command over SSH, one change of etcd's list, one deletion through the API, or one look or change of
the inventory there. `bring-ups` kills nothing: it founds three nodes ten times in a row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

import bootstrap.etcd
import bootstrap.kube
import bootstrap.ssh.programs
import bootstrap.talk
from tests.lab import Lab, Node, down, up

NAME = "sweep"
BRING_UPS = "bring-ups"
DIED = 137  # what a shell says of a process that got SIGKILL
SCHEDULER = "schedulers:\n- name: batch-scheduler\n"


def die_at(point: int, arguments: list[str]) -> None:
    """Runs the command line and kills it at this point, as SIGKILL would; exits 0 when it ends before."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == point:
            os._exit(DIED)

    def dying(whole: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def cut(*words: Any, **options: Any) -> Any:
            if not writes(*words):
                return whole(*words, **options)
            tick()
            result = whole(*words, **options)
            tick()
            return result

        return cut

    programs = bootstrap.ssh.programs.Programs
    programs.run = dying(programs.run, lambda *_: True)  # type: ignore[method-assign]
    bootstrap.kube.Kube._ask = dying(  # type: ignore[method-assign]
        bootstrap.kube.Kube._ask, lambda _, method, path, *__: method == "DELETE" or path.endswith("bootstrap-objects")
    )
    bootstrap.etcd.Etcd._ask = dying(  # type: ignore[method-assign]
        bootstrap.etcd.Etcd._ask, lambda _, path, *__: path.rpartition("/")[2] in ("add", "promote", "remove")
    )
    bootstrap.talk.Talk.ask = dying(  # type: ignore[method-assign]
        bootstrap.talk.Talk.ask, lambda _, line, *__: line.startswith("epoch")
    )
    from bootstrap.cli import main

    sys.argv = ["bootstrap", *arguments]
    main()


def bootstrap_at(lab: Lab, point: int, *arguments: str) -> int:
    """The exit code of a run that dies at this point (0: at none)."""
    words = [sys.executable, "-m", "tests.sweep", "--die-at", str(point), arguments[0], "-f", str(lab.cluster_file)]
    ended = subprocess.run([*words, *arguments[1:]], capture_output=True, text=True, check=False)
    if ended.returncode not in (0, DIED):
        print(
            f"{' '.join(arguments)}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}", file=sys.stderr, flush=True
        )
    return ended.returncode


def end(lab: Lab) -> Any:
    """What the nodes' records say in the end, less what differs by nature, and whether nothing is left to do."""
    left = bootstrap_at(lab, 0, "plan")
    return left == 0, [_record(node) for node in lab.nodes if node.role != "load-balancer"]


def _record(node: Node) -> dict[str, Any]:
    record = json.loads(node.shell("cat /var/lib/bootstrap/record.json"))
    return {key: record[key] for key in ("birth", "settled")} | {
        "files": sorted(record["files"]),
        "runs": sorted(record["runs"]),
    }


def sweep(workflow: str, prepare: Callable[[Lab], None], arguments: tuple[str, ...], lab: Lab) -> tuple[int, int]:
    """Points that held, and points there are."""
    held = point = 0
    prepare(lab)
    whole = bootstrap_at(lab, 0, *arguments)
    assert whole == 0, f"{workflow} fails without being killed: {whole}"
    wanted = end(lab)
    while True:
        point += 1
        prepare(lab)
        began = time.monotonic()
        died = bootstrap_at(lab, point, *arguments)
        if died != DIED:
            return held, point - 1
        code = bootstrap_at(lab, 0, *arguments)
        same = code == 0 and end(lab) == wanted
        held += same
        took = time.monotonic() - began
        print(
            f"{workflow}: point {point}: {'holds' if same else f'DOES NOT HOLD (exit {code})'}, {took:.0f} s",
            flush=True,
        )


def fresh(lab: Lab) -> None:
    """A node nobody has touched; the workstation keeps its state, as it would."""
    lab.fresh()


def with_another_scheduler(lab: Lab) -> None:
    """A cluster that serves, and a file that asks for one scheduler less."""
    text = lab.cluster_file.read_text()
    plain = text.replace("- name: swept\n", "")
    lab.cluster_file.write_text(plain.replace(SCHEDULER, f"{SCHEDULER}- name: swept\n"))
    assert bootstrap_at(lab, 0, "apply", "--yes") == 0
    lab.cluster_file.write_text(plain)


def without_the_second(lab: Lab) -> None:
    """A cluster of the first node that serves, and a file that names the second too."""
    whole = yaml.safe_load(lab.cluster_file.read_text())
    first = whole | {"nodes": whole["nodes"][:1]}
    lab.cluster_file.write_text(yaml.safe_dump(first, sort_keys=False, width=1000))
    assert bootstrap_at(lab, 0, "init") in (0, 2)  # 2: the second is there, from the time before
    lab.cluster_file.write_text(yaml.safe_dump(whole, sort_keys=False, width=1000))
    assert bootstrap_at(lab, 0, "remove", "cp2", "--yes") == 0


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is run on a lab of so many nodes, after what is done before every kill."""

    nodes: int
    prepare: Callable[[Lab], None]
    arguments: tuple[str, ...]


WORKFLOWS = {
    "init": Workflow(1, fresh, ("init",)),
    "apply": Workflow(1, with_another_scheduler, ("apply", "--yes")),
    "join": Workflow(2, without_the_second, ("join",)),
}


def bring_ups(lab: Lab, times: int = 10) -> int:
    """How many times in a row, of so many, three fresh nodes came up."""
    came = 0
    for number in range(1, times + 1):
        lab.fresh()
        began = time.monotonic()
        code = bootstrap_at(lab, 0, "init")
        took = time.monotonic() - began
        well = code == 0 and bootstrap_at(lab, 0, "plan") == 0 and ready(lab)
        came += well
        print(f"bring-up {number}: {'came up' if well else f'DID NOT COME UP (exit {code})'}, {took:.1f} s", flush=True)
    return came


def ready(lab: Lab, seconds: float = 60) -> bool:
    """Whether all is well within so many seconds: a node is Ready a moment after it is there."""
    deadline = time.monotonic() + seconds
    while bootstrap_at(lab, 0, "status"):
        if time.monotonic() > deadline:
            return False
    return True


def main(arguments: list[str]) -> int:
    """The exit code: 0 when every point held, and every bring-up came up."""
    known = [*WORKFLOWS, BRING_UPS]
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description="Every kill point on real nodes.")
    parser.add_argument("names", nargs="*", metavar="WORK", help=f"{', '.join(known)}; all of them unless named")
    names = parser.parse_args(arguments).names
    if unknown := sorted({*names} - {*known}):
        parser.error(f"there is no {unknown[0]}")
    good = True
    for name in names or known:
        nodes = 3 if name == BRING_UPS else WORKFLOWS[name].nodes
        lab = up(NAME, nodes=nodes, load_balancer=nodes > 1)
        try:
            if name == BRING_UPS:
                done, of = bring_ups(lab), 10
                print(f"{done} of {of} bring-ups of three nodes came up", flush=True)
            else:
                workflow = WORKFLOWS[name]
                done, of = sweep(name, workflow.prepare, workflow.arguments, lab)
                print(f"{name}: {done} of {of} points held", flush=True)
            good &= done == of
        finally:
            down(NAME)
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--die-at"]:
        die_at(int(sys.argv[2]), sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
