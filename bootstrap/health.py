"""Waits until what a turn asked for runs and answers; dialled through SSH to the node's own loopback."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache

import httpx2

from bootstrap.components import Probe
from bootstrap.errors import Problem
from bootstrap.tunnel import Dial, client
from bootstrap.world import Facts

PAUSE = 0.05  # seconds between two rounds of probes
ANSWER = 1.5  # seconds a probe waits: a server that accepts, and does not speak yet, must not hold up the others
LOOK = 6.0  # seconds without a part that has come up, after which it is asked why
SOAK = 2.0  # seconds that a part which ran before has to stay healthy

Say = Callable[[str], None]


def asked(dial: Dial, probe: Probe) -> str:
    """Nothing ("") when it can do its work, else what it said instead."""
    with line(dial, probe) as kept:
        return answer(kept, probe)


def line(dial: Dial, probe: Probe, tls: ssl.SSLContext | None = None) -> httpx2.Client:
    """To what is probed; nothing is dialled yet, and a connection is kept from one question to the next.

    Without `tls` of its own nobody is known to the other.
    """
    return client(dial, probe.url, tls or (unverified() if probe.scheme == "https" else None), timeout=ANSWER)


def answer(kept: httpx2.Client, probe: Probe) -> str:
    """Like `asked`, on a line that stays open; a broken connection is an answer too."""
    try:
        response = kept.get(probe.url)
    except httpx2.HTTPError as error:
        return str(error) or type(error).__name__
    except Problem as problem:
        return problem.what
    return "" if response.status_code == 200 else f"{response.status_code} {response.text[-200:].strip()}"


@cache
def unverified() -> ssl.SSLContext:
    """TLS to anybody: a probe sends nothing secret, and the line ends on the node itself."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


def lasting(dial: Dial, probe: Probe, *, seconds: float, stopped: Callable[[], bool]) -> str:
    """Nothing ("") once it can do its work, else what it said last."""
    deadline = time.monotonic() + seconds
    with line(dial, probe) as kept:
        while (why := answer(kept, probe)) and time.monotonic() < deadline and not stopped():
            time.sleep(PAUSE)
        return why


def wait(
    dial: Dial,
    observe: Callable[[], Facts],
    probes: Sequence[Probe],
    runs: Mapping[str, str],
    *,
    seconds: float,
    soak: bool,
    stopped: Callable[[], bool],
    hopeless: Callable[[Sequence[str]], bool],
    say: Say,
    known: Mapping[str, ssl.SSLContext],
) -> dict[str, str]:
    """{} once every probe passes and every wanted generation runs; at the deadline: part -> what it lacks.

    The probes stand in the order in which parts need each other: nobody asks the next before one answers, except to
    tell what is wrong. Parts that are `known` are asked by who they know. With `soak` they also have to stay so: the
    same processes, and no others that came after them. Now and then it is asked whether the parts that lack something
    are `hopeless`: then nobody waits longer for them.
    """
    deadline, look = time.monotonic() + seconds, time.monotonic() + LOOK
    missing = {probe.part: "no answer" for probe in probes}
    lacks = list(missing)
    waiting, told = list(probes), set[str]()
    began: Mapping[str, int] = {}
    before: Mapping[str, int] | None = None  # what had begun when all was well, for the first time or again
    with ExitStack() as lines:
        kept = {probe: lines.enter_context(line(dial, probe, known.get(probe.part))) for probe in probes}
        while True:
            through = time.monotonic() > min(look, deadline)
            _ask(kept, waiting, missing, through=through)
            if not waiting:
                seen, waiting = observe(), list(probes)
                missing = {part: "still to come" for part, wanted in runs.items() if seen.running.get(part) != wanted}
                began = {part: seen.began[part] for part in sorted(runs.keys() & seen.began.keys())}
            lacks = [part for part, why in missing.items() if why]
            for part in sorted(runs.keys() - told - {*lacks, "host"}):
                told.add(part)
                say(f"{part} answers")
                look = time.monotonic() + LOOK  # it goes on: nobody needs to be asked why it does not
            if not lacks:
                if not soak or began == before:
                    return {}
                lacks = [part for part in began if before and began[part] != before.get(part)]
                missing, before = dict.fromkeys(lacks, "ended, and was started again"), began
                for part in lacks:
                    say(f"{part} {missing[part]}")
                time.sleep(SOAK)
            if (through and time.monotonic() > deadline) or stopped():
                break
            if through and lacks:
                if hopeless(lacks):
                    break
                look = time.monotonic() + LOOK
            if lacks:
                time.sleep(PAUSE)
    return {part: missing[part] for part in lacks}


def _ask(kept: Mapping[Probe, httpx2.Client], waiting: list[Probe], missing: dict[str, str], *, through: bool) -> None:
    """Those that wait, up to the first that does not answer, or all of them; who answers waits no longer."""
    for probe in list(waiting):
        missing[probe.part] = answer(kept[probe], probe)
        if not missing[probe.part]:
            waiting.remove(probe)
        elif not through:
            return
