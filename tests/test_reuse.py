"""On real nodes: Ansible reaches one by our inventory, and what `render` wrote brings one up without us."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.cluster import PARTS, Desk, Ended, environment, root, running, until
from tests.test_automation import blocks
from tests.test_refused import OTHER


def ansible(here: Desk, *words: str) -> Ended:
    """`ansible` with these words, by the inventory we print."""
    (here.directory / "hosts.ini").write_text(here.done("inventory").out)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible")), "-i", "hosts.ini", *words],
        cwd=here.directory,
        # Without these words it would keep a connection for the next time, which is then not asked for its key.
        env=environment()
        | {"HOME": str(here.directory), "ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_ansible_reaches_a_node_by_the_key_that_is_pinned_and_by_no_other(untouched: Desk) -> None:
    reached = ansible(untouched, "control_plane", "-m", "raw", "-a", "id -un; hostname")
    assert (reached.status, re.findall(r"^\w+$", reached.out, re.MULTILINE)) == (0, ["root", "cp1"]), reached
    before = untouched.file.read_text()
    (node,) = untouched.tree()["nodes"]
    untouched.describe(nodes=[node | {"ssh": node["ssh"] | {"hostKey": OTHER}}])
    refused = ansible(untouched, "control_plane", "-m", "raw", "-a", "true")
    untouched.file.write_text(before)
    assert refused.status != 0
    assert "HOST IDENTIFICATION HAS CHANGED" in refused.out + refused.err


def test_what_was_rendered_brings_a_node_up_without_us(untouched: Desk) -> None:
    untouched.done("render", "-o", "out")
    out = untouched.directory / "out"
    tar = subprocess.run(
        ["tar", "-C", str(out / "nodes/cp1"), "--owner=0", "--group=0", "-c", "."], check=True, capture_output=True
    ).stdout
    disk = root(untouched.node)
    subprocess.run(["tar", "-C", str(disk), "-x", "--no-overwrite-dir"], input=tar, check=True)
    (script,) = blocks("sh", "on a node")
    untouched.node.shell(script)
    untouched.state.mkdir(parents=True)
    (untouched.state / "admin.conf").write_bytes((out / "nodes/cp1/etc/kubernetes/admin.conf").read_bytes())
    until(lambda: untouched.kubectl("get", "--raw", "/readyz") == "ok")
    until(lambda: running(untouched.node).keys() >= set(PARTS))
    put = ("apply", "--server-side", "-f", str(out / "objects.yaml"))
    until(lambda: untouched.kubectl("--kubeconfig", str(out / "super-admin.conf"), *put))
    until(untouched.ready)
