"""The only module that hands out subnets and addresses: a /24 of 10.77.0.0/16 for each lab."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
from collections.abc import Iterable
from ipaddress import IPv4Network

from bootstrap.errors import Problem
from tests.lab.podman import networks
from tests.lab.programs import run, works

RANGE = IPv4Network("10.77.0.0/16")
FENCE = ("unreachable", str(RANGE), "metric", "4096")
BALANCER, CONTROL_PLANE, WORKER = 10, 10, 20  # cp1 is .11, w1 is .21, the load balancer .10
MOST_CONTROL_PLANE, MOST_WORKERS = 9, 200


def free(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The lowest /24 of the range that touches none of `taken`; a Problem when there is none."""
    used = tuple(taken)
    for subnet in RANGE.subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in used):
            return subnet
    raise Problem(f"no /24 of {RANGE} is free", next="python -m tests.lab status, then `down` a lab")


def fence() -> None:
    """Nothing sent to a node that is gone, or not there yet, leaves this machine: its network's own route is nearer."""
    run(["ip", "route", "replace", *FENCE])


def unfence() -> None:
    """Take the fence away, where there is one: for when the last lab is gone."""
    works(["ip", "route", "del", *FENCE])


def taken() -> list[IPv4Network]:
    """Subnets of podman's networks and of this machine's routes."""
    used = [subnet["subnet"] for network in networks() for subnet in network.get("subnets") or ()]
    ours = ("default", str(RANGE))
    used += [route["dst"] for route in json.loads(run(["ip", "-json", "-4", "route"])) if route["dst"] not in ours]
    return [ipaddress.IPv4Network(subnet) for subnet in used if fnmatch.fnmatch(subnet, "*.*.*.*")]


def addresses(subnet: IPv4Network, *, control_plane: int, workers: int, load_balancer: bool) -> dict[str, str]:
    """Node name -> address; a node keeps its own when others come."""
    if control_plane > MOST_CONTROL_PLANE or workers > MOST_WORKERS:
        raise Problem(f"a lab has at most {MOST_CONTROL_PLANE} control-plane nodes and {MOST_WORKERS} workers")
    named = {f"cp{number}": CONTROL_PLANE + number for number in range(1, control_plane + 1)}
    named |= {f"w{number}": WORKER + number for number in range(1, workers + 1)}
    named |= {"lb": BALANCER} if load_balancer else {}
    return {name: str(subnet[number]) for name, number in named.items()}
