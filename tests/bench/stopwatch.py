"""The only module that starts the clock: when the machine is quiet, or after a bounded wait, which it tells."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import Problem
from tests.bench.rows import Figures, Sample
from tests.lab.progress import say

QUIET = 1.5  # runnable programs, over a minute: what two cores do without keeping anyone waiting
PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Measures pieces of work, each on a machine as quiet as it gets, and notes them down."""

    figures: Figures
    patient: bool = True

    def measure(self, name: str, work: Callable[[], float]) -> float:
        """What `work` says it took, in seconds, noted in the row of this name."""
        load = self.quiet()
        seconds = work()
        self.figures.add(name, Sample(seconds, load))
        say(f"{name}: {seconds:.2f} s (load was {load:.2f})")
        return seconds

    def quiet(self) -> float:
        """The machine's load average, once what was written is on the disk and the load is low or waiting is over."""
        os.sync()
        began = time.monotonic()
        while (load := os.getloadavg()[0]) >= QUIET and self.patient:
            if time.monotonic() - began > PATIENCE:
                say(f"the machine is still busy after {PATIENCE:.0f} s: the next figure says little")
                break
            time.sleep(0.5)
        return load


def seconds_of(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> float:
    """How long a whole program took; a Problem with its last words when it ends with none of these codes."""
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500, check=False
    )
    took = time.monotonic() - began
    if done.returncode not in codes:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise Problem(f"{' '.join(map(str, argv))} ended with {done.returncode} after {took:.1f} s", why=words)
    return took
