"""Every kill point on a real node: `bootstrap` dies at each remote operation, is run again, and must end the same.

`python -m tests.sweep [init|apply …]`; long, and prints how many points held. A point is the moment before or after
one command over SSH, one deletion through the API, or one look or change of the inventory there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import bootstrap.kube
import bootstrap.ssh
from tests.lab import Lab, down, up

NAME = "sweep"
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

    bootstrap.ssh.Host._exec = dying(bootstrap.ssh.Host._exec, lambda *_: True)  # type: ignore[method-assign]
    bootstrap.kube.Kube._ask = dying(  # type: ignore[method-assign]
        bootstrap.kube.Kube._ask, lambda _, method, path, *__: method == "DELETE" or path.endswith("bootstrap-objects")
    )
    from bootstrap.cli import main

    sys.argv = ["bootstrap", *arguments]
    main()


def bootstrap_at(lab: Lab, point: int, *arguments: str) -> int:
    """The exit code of a run that dies at this point (0: at none)."""
    words = [sys.executable, "-m", "tests.sweep", "--die-at", str(point), arguments[0], "-f", str(lab.cluster_file)]
    return subprocess.run([*words, *arguments[1:]], capture_output=True, check=False).returncode


def end(lab: Lab) -> Any:
    """What the node's record says in the end, less what differs by nature; and that nothing is left to do."""
    assert bootstrap_at(lab, 0, "plan") == 0, "something is left to do"
    record = json.loads(lab.node("cp1").shell("cat /var/lib/bootstrap/record.json"))
    return {key: record[key] for key in ("files", "runs", "birth", "settled")} | {
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


WORKFLOWS: dict[str, tuple[Callable[[Lab], None], tuple[str, ...]]] = {
    "init": (fresh, ("init",)),
    "apply": (with_another_scheduler, ("apply", "--yes")),
}


def main(names: list[str]) -> int:
    """The exit code: 0 when every point held."""
    lab = up(NAME, nodes=1)
    good = True
    try:
        for name in names or list(WORKFLOWS):
            prepare, arguments = WORKFLOWS[name]
            held, points = sweep(name, prepare, arguments, lab)
            print(f"{name}: {held} of {points} points held", flush=True)
            good &= held == points
    finally:
        down(NAME)
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--die-at"]:
        die_at(int(sys.argv[2]), sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
