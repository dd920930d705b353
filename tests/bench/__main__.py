"""The command line of the benchmark: figures to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bootstrap.errors import Problem
from tests.bench.push import Push
from tests.bench.rows import Figures, table, tree
from tests.bench.stopwatch import Stopwatch
from tests.bench.thousand import NODES, measure
from tests.bench.works import Works
from tests.lab import down, up
from tests.lab.progress import say

NAME = "bench"
TOGETHER = "bench-ha"


def main(arguments: list[str]) -> int:
    """Measure what is asked for; 0 unless something failed, however slow it was."""
    asked = _parser().parse_args(arguments)
    figures = Figures()
    code = 0
    try:
        with tempfile.TemporaryDirectory(prefix="bootstrap-bench-") as directory:
            _measure(asked, Stopwatch(figures, patient=not asked.no_wait), Path(directory))
    except Problem as problem:
        say(f"error: {problem.what}\n  {problem.why}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    if asked.output == "json":
        print(json.dumps({"date": f"{datetime.now(UTC):%F}", "cpus": os.cpu_count(), "rows": tree(figures)}, indent=2))
    elif figures.samples:
        print(table(figures))
    return code


def _measure(asked: argparse.Namespace, watch: Stopwatch, directory: Path) -> None:
    if asked.ha:
        with_lab(TOGETHER, 3, asked, watch, directory)
    elif asked.many:
        many(asked, watch, directory)
    else:
        with_lab(NAME, 1, asked, watch, directory)


def many(asked: argparse.Namespace, watch: Stopwatch, directory: Path) -> None:
    """Measure what grows with the number of nodes."""
    try:
        push = Push(up(NAME, nodes=1), directory, watch)
        for number in range(asked.pairs):
            say(f"pair {number + 1} of {asked.pairs}")
            push.compare()
            watch.measure("thousand", thousand)
    finally:
        if not asked.keep:
            down(NAME)


def thousand() -> float:
    """Seconds; the memory is told."""
    seconds, megabytes, files = measure()
    say(f"{NODES} nodes: {files} files, {megabytes:.0f} MB")
    return seconds


def with_lab(name: str, nodes: int, asked: argparse.Namespace, watch: Stopwatch, directory: Path) -> None:
    """Measure on a lab that is gone afterwards."""
    try:
        lab = up(name, nodes=nodes, load_balancer=nodes > 1)
        works = Works(lab, directory, watch)
        if asked.where:
            works.where(asked.where)
            return
        for number in range(asked.pairs):
            say(f"pair {number + 1} of {asked.pairs}")
            if nodes > 1:
                works.together()
            else:
                works.pair()
                if asked.long:
                    works.left()
        if nodes == 1:
            works.schedulers()
    finally:
        if not asked.keep:
            down(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="how often each is measured, in turn [5]")
    parser.add_argument("--ha", action="store_true", help="three nodes behind a load balancer instead; long")
    parser.add_argument("--many", action="store_true", help="128 sshds and 1,000 nodes instead")
    parser.add_argument("--long", action="store_true", help="also what the kubelet does when it is left alone; long")
    parser.add_argument(
        "--where", choices=("init", "again", "change"), help="show where the seconds of one of these go instead"
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait until the machine is quiet")
    parser.add_argument("--keep", action="store_true", help="leave the lab's nodes there afterwards")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
