"""docs/automation.md, run: its blocks of shell one after the other, with a real Ansible; and what came of them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap import inventory, render, spec
from tests.cluster import environment

PAGE = Path(__file__).parent.parent / "docs" / "automation.md"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEvq3isjNDC5cYuqzs8P4FHLIqILbXmlqfxa2HOI4vc8"
CLUSTER: dict[str, Any] = {
    "apiVersion": "bootstrap/v1",
    "kind": "Cluster",
    "name": "demo",
    "endpoint": "api.demo.internal:6443",
    "ssh": {"user": "admin", "jump": "me@bastion.example:2222", "identityFile": "keys/id demo"},
    "nodes": [
        {"name": "cp1", "address": "10.77.0.11", "role": "control-plane", "ssh": {"hostKey": KEY}},
        {"name": "123", "address": "10.77.0.12", "role": "control-plane", "ssh": {"user": "root", "port": 2222}},
        {"name": "cp3", "address": "10.77.0.13", "role": "control-plane", "ssh": {"host": "cp3.example"}},
        {
            "name": "w1",
            "address": "10.77.0.21",
            "role": "worker",
            "ssh": {"sudo": False, "configFile": "ssh config", "hostKeyPolicy": "accept-new"},
        },
    ],
    "schedulers": [{"name": "batch", "nodes": ["cp1"]}, {"name": "gpu", "nodes": ["cp3"]}],
}


def blocks(language: str, where: str = "") -> list[str]:
    """What the page shows in this language, and says is for there."""
    found = re.findall(r"^(?:<!-- (.*) -->\n)?```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [text for place, spoken, text in found if (place, spoken) == (where, language)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which everything was done that the page says."""
    directory = tmp_path_factory.mktemp("automation")
    (directory / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER, sort_keys=False))
    (terraforms,) = blocks("json")
    (directory / "cluster.json").write_text(terraforms)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(directory / "home"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "PATH": path}
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(f"(\n{block}\n)" for block in blocks("sh"))],
        cwd=directory,
        env=environment() | home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    (directory / "said").write_text(done.stdout)
    return directory


def test_ansible_reads_every_form_of_the_inventory_as_the_same(here: Path) -> None:
    def read(name: str) -> dict[str, Any]:
        program = (str(Path(sys.executable).with_name("ansible-inventory")), "-i", name, "--list")
        clean = environment() | {"HOME": str(here / "home")}
        done = subprocess.run(program, cwd=here, env=clean, check=True, capture_output=True, text=True)
        tree: dict[str, Any] = json.loads(done.stdout)
        return {
            name: value if name == "_meta" else {key: sorted(each) for key, each in value.items()}
            for name, value in tree.items()
        }

    script = json.loads((here / "hosts.json").read_text())
    as_ini = read("hosts.ini")
    assert read("hosts.yaml") == as_ini
    assert script["_meta"] == as_ini["_meta"]
    assert {name: set(group.get("hosts", ())) for name, group in script.items() if name not in ("_meta", "all")} == {
        "control_plane": {"cp1", "123", "cp3"},
        "etcd": {"cp1", "123", "cp3"},
        "workers": {"w1"},
        "schedulers": {"cp1", "cp3"},
    }


def test_ansible_reaches_a_node_as_we_do(here: Path) -> None:
    hosts = json.loads((here / "hosts.json").read_text())["_meta"]["hostvars"]
    key = str(here / "keys/id demo")
    jump = "-o ProxyJump=me@bastion.example:2222"
    rows = {
        "cp1": ("10.77.0.11", None, "admin", True, "10.77.0.11", "control-plane"),
        "123": ("10.77.0.12", 2222, "root", False, "10.77.0.12", "control-plane"),
        "cp3": ("cp3.example", None, "admin", True, "10.77.0.13", "control-plane"),
        "w1": ("10.77.0.21", None, "admin", False, "10.77.0.21", "worker"),
    }
    fields = ("ansible_host", "ansible_port", "ansible_user", "ansible_become", "bootstrap_address", "bootstrap_role")
    assert {name: tuple(told.get(field) for field in fields) for name, told in hosts.items()} == rows
    assert {told["ansible_ssh_private_key_file"] for told in hosts.values()} == {key}
    assert {told["bootstrap_url"] for told in hosts.values()} == {"https://api.demo.internal:6443"}
    assert [hosts[name]["ansible_ssh_common_args"] for name in ("123", "cp3")] == [jump] * 2
    config = f"-F '{here / 'ssh config'}' -o StrictHostKeyChecking=accept-new"
    assert hosts["w1"]["ansible_ssh_common_args"] == f"{jump} {config}"
    assert KEY in hosts["cp1"]["ansible_ssh_common_args"]


def test_further_schedulers_that_run_everywhere_are_in_the_group_of_every_control_plane_node() -> None:
    cluster = spec.parse(yaml.safe_dump(CLUSTER | {"schedulers": [{"name": "batch"}]}), "cluster.yaml")
    assert inventory.groups(cluster)["schedulers"] == ["cp1", "123", "cp3"]
    without = spec.parse(yaml.safe_dump(CLUSTER | {"schedulers": []}), "cluster.yaml")
    assert inventory.groups(without)["schedulers"] == []


def disk(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory, with its mode."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.stat().st_mode & 0o777, path.read_bytes()) for path in found}


def test_ansible_puts_what_was_rendered_on_every_disk(here: Path) -> None:
    for node in ("cp1", "123", "cp3", "w1"):
        rendered = disk(here / "out/nodes" / node)
        assert "etc/kubernetes/kubelet.conf" in rendered
        assert disk(here / "disks" / node) == rendered


def test_a_template_says_the_same_in_a_play(here: Path) -> None:
    ours = render.render("kubelet/sysctl.conf.j2", {"settings": {"net.ipv4.ip_forward": "1"}})
    assert (here / "99-bootstrap.conf").read_text() == ours


def test_what_terraform_writes_is_a_cluster_file(here: Path) -> None:
    assert "cluster.json: cluster demo of 2 nodes" in (here / "said").read_text()


def test_a_machine_made_by_cloud_init_has_the_host_key_that_is_pinned(here: Path) -> None:
    tree = yaml.safe_load((here / "cp1.user-data").read_text())
    (pinned,) = re.findall(r"^hostKey: (.*)$", (here / "said").read_text(), re.MULTILINE)
    (here / "key").write_text(tree["ssh_keys"]["ed25519_private"])
    (here / "key").chmod(0o600)
    program = ("ssh-keygen", "-y", "-f", str(here / "key"))
    public = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert public.split()[:2] == pinned.split() == tree["ssh_keys"]["ed25519_public"].split()[:2]
    assert not (here / "cp1.key").exists()


def test_the_user_data_of_a_node_are_the_files_that_were_rendered(here: Path) -> None:
    text = (here / "w1.user-data").read_text()
    assert text.startswith("#cloud-config\n")
    assert (here / "w1.user-data").stat().st_mode & 0o077 == 0
    written = {
        each["path"].lstrip("/"): (int(each["permissions"], 8), base64.b64decode(each["content"]))
        for each in yaml.safe_load(text)["write_files"]
    }
    assert written == disk(here / "out/nodes/w1")
