"""A cluster of a thousand nodes that never were: every file rendered and planned, as `bootstrap plan` does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NODES = 1000

# In a process of its own, whose memory is that of nothing else.
SCRIPT = """
import json, sys, tempfile, time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bootstrap import credentials
from bootstrap.pod_networks import pod_networks
from bootstrap.machines import Opened
from bootstrap.workflow import Session
from bootstrap.world import Facts, Machine, Record, World

count = int(sys.argv[1])
with tempfile.TemporaryDirectory() as place:
    file = Path(place) / "cluster.yaml"
    addresses = [f"10.{n >> 8}.{n & 255}.1" for n in range(count)]
    nodes = [
        {"name": f"n{n:04}", "address": address, "role": "control-plane" if n < 3 else "worker"}
        for n, address in enumerate(addresses)
    ]
    networking = {"podSubnet": "172.16.0.0/12", "serviceSubnet": "192.168.0.0/16"}
    file.write_text(yaml.safe_dump({"apiVersion": "bootstrap/v1", "kind": "Cluster", "name": "large",
        "endpoint": "api.test:6443", "networking": networking, "nodes": nodes}))
    session = Session(Opened(file))
    credentials.issue(session.cluster, session.store, datetime.now(UTC))
    facts = {node.name: Facts(Record(), {}, {}, machine=Machine(systemd="x")) for node in session.cluster.nodes}
    began = time.perf_counter()
    world = World(
        wanted=session.hosts.addresses,
        voters=frozenset(node.name for node in session.cluster.voters),
        facts=facts,
        members={},
        pods=pod_networks(session.cluster, facts),
    )
    made = session.plan(world)
    took = time.perf_counter() - began
    turns = sum(len(step.put) for wave in made.waves for step in wave if hasattr(step, "put"))
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    assert turns > 5 * count, turns
    print(took, int(peak) / 1024, turns)
"""


def measure() -> tuple[float, float, int]:
    """Seconds to render and plan it, the most memory of the whole process in megabytes, and files in its turns."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(NODES)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    took, megabytes, files = done.stdout.split()
    return float(took), float(megabytes), int(files)
