"""The lab: what it writes, and that its nodes come, come back, and go."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import select
import signal
import tarfile
import threading
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from bootstrap.errors import Problem
from bootstrap.versions import DEFAULT
from tests.conftest import NewLab
from tests.lab import Lab, build, cache, clusterfile, find, keys, programs, subnets, up
from tests.lab.__main__ import main
from tests.lab.archive import Content, Image, write
from tests.lab.machine import wait
from tests.lab.node import Node
from tests.lab.podman import LABEL, inspect, podman
from tests.lab.toolchain import require_room

IMAGE = Image(
    "registry.lab/thing:1", {"/usr/bin/thing": b"\x7fELF", "/bin/other": "../usr/bin/thing"}, entrypoint=("thing",)
)


def node(name: str, address: str, role: str = "control-plane") -> Node:
    return Node("demo", name, role, address, f"ssh-ed25519 {name}", Path("/lab"))


# Images


def test_an_image_names_its_layer_by_what_is_in_it(tmp_path: Path) -> None:
    write(IMAGE, tmp_path / "thing.tar")
    with tarfile.open(tmp_path / "thing.tar") as tar:
        files = {name: (tar.extractfile(name) or pytest.fail(name)).read() for name in tar.getnames()}
    (manifest,) = json.loads(files["manifest.json"])
    config = json.loads(files[manifest["Config"]])
    (layer,) = manifest["Layers"]
    assert manifest["RepoTags"] == ["registry.lab/thing:1"]
    assert manifest["Config"] == f"{hashlib.sha256(files[manifest['Config']]).hexdigest()}.json"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(files[layer]).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["thing"]


def test_an_images_layer_holds_the_folders_above_its_files_and_links(tmp_path: Path) -> None:
    write(IMAGE, tmp_path / "thing.tar")
    with tarfile.open(tmp_path / "thing.tar") as outer:
        layer = next(name for name in outer.getnames() if name.endswith("layer.tar"))
        with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
            found = {member.name: (member.type, member.linkname) for member in inner}
    assert found == {
        "bin": (tarfile.DIRTYPE, ""),
        "usr": (tarfile.DIRTYPE, ""),
        "usr/bin": (tarfile.DIRTYPE, ""),
        "usr/bin/thing": (tarfile.REGTYPE, ""),
        "bin/other": (tarfile.SYMTYPE, "../usr/bin/thing"),
    }


def test_the_same_files_make_the_same_image_whenever_and_in_whatever_order(tmp_path: Path) -> None:
    program = tmp_path / "program"
    digests = set()
    for age, turned in ((0, False), (1_000_000_000, True)):
        program.write_bytes(b"\x7fELF")
        os.utime(program, (age, age))
        files: dict[str, Content] = {"/a": program, "/b": b"2"}
        ordered = dict(reversed(files.items())) if turned else files
        write(dataclasses.replace(IMAGE, files=ordered), tmp_path / "image.tar")
        digests.add(hashlib.sha256((tmp_path / "image.tar").read_bytes()).hexdigest())
    assert len(digests) == 1


# Subnets and cluster.yaml


def test_a_lab_gets_the_lowest_subnet_that_nothing_touches() -> None:
    taken = [IPv4Network("10.77.0.0/24"), IPv4Network("10.77.2.0/23"), IPv4Network("10.77.1.128/25")]
    assert subnets.free(taken) == IPv4Network("10.77.4.0/24")


def test_no_free_subnet_is_a_problem_that_says_what_to_do() -> None:
    with pytest.raises(Problem) as caught:
        subnets.free([IPv4Network("10.0.0.0/8")])
    assert "down" in caught.value.next


def test_a_node_keeps_its_address_when_others_come() -> None:
    subnet = IPv4Network("10.77.3.0/24")
    few = subnets.addresses(subnet, control_plane=1, workers=1, load_balancer=False)
    many = subnets.addresses(subnet, control_plane=9, workers=200, load_balancer=True)
    assert few.items() <= many.items()
    assert len(set(many.values())) == len(many) == 210


def test_cluster_yaml_pins_the_host_key_of_every_node() -> None:
    text = clusterfile.text(
        "demo",
        DEFAULT,
        [node("cp1", "10.77.0.11"), node("w1", "10.77.0.21", "worker")],
        identity=Path("/lab/id"),
        containerd=1,
    )
    tree = yaml.safe_load(text)
    assert [(it["name"], it["role"], it["ssh"]["hostKey"]) for it in tree["nodes"]] == [
        ("cp1", "control-plane", "ssh-ed25519 cp1"),
        ("w1", "worker", "ssh-ed25519 w1"),
    ]
    assert "endpoint" not in tree


@pytest.mark.parametrize(("containerd", "driver"), [(1, "cgroupfs"), (2, "systemd")])
def test_cluster_yaml_has_the_cgroup_driver_of_the_labs_containerd(containerd: int, driver: str) -> None:
    text = clusterfile.text(
        "demo", DEFAULT, [], identity=Path("/id"), containerd=containerd, endpoint="10.77.0.10:6443"
    )
    assert yaml.safe_load(text)["kubelet"]["cgroupDriver"] == driver
    assert yaml.safe_load(text)["endpoint"] == "10.77.0.10:6443"


# What is built, and what is kept of it


def test_directories_that_upstream_replaces_become_the_modules_they_are_published_as() -> None:
    upstream = {
        "Go": "1.26.0",
        "Godebug": [{"Key": "default", "Value": "go1.26"}],
        "Require": [{"Path": "k8s.io/api", "Version": "v0.0.0"}],
        "Replace": [
            {"Old": {"Path": "example.org/forbidden"}, "New": {"Path": "./nowhere"}},
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {
                "Old": {"Path": "example.org/a", "Version": "v1.0.0"},
                "New": {"Path": "example.org/b", "Version": "v1.0.1"},
            },
        ],
    }
    lines = build.go_mod(build.kubernetes("v1.37.2"), upstream).splitlines()
    assert lines[1:6] == [
        "go 1.26.0",
        "godebug default=go1.26",
        "require k8s.io/kubernetes v1.37.2",
        "replace k8s.io/api => k8s.io/api v0.37.2",
        "replace example.org/a v1.0.0 => example.org/b v1.0.1",
    ]
    assert "tool k8s.io/kubernetes/cmd/kubelet" in lines


def test_modules_published_together_are_built_at_one_version() -> None:
    lines = build.go_mod(build.etcd("3.7.0"), {"Go": "1.26"}).splitlines()
    assert [line for line in lines if line.startswith("require ")] == [
        "require go.etcd.io/etcd/server/v3 v3.7.0",
        "require go.etcd.io/etcd/etcdctl/v3 v3.7.0",
        "require go.etcd.io/etcd/etcdutl/v3 v3.7.0",
    ]


def test_kubernetes_says_the_version_it_was_built_as() -> None:
    assert "k8s.io/component-base/version.gitVersion=v1.36.3" in build.kubernetes("v1.36.3").variables
    assert build.kubernetes("v1.36.3").staged == "v0.36.3"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_build_that_failed_is_never_taken_for_whole(empty_cache: Path) -> None:
    def killed(here: Path) -> None:
        (here / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("thing", ["recipe"], killed)
    made = cache.entry("thing", ["recipe"], lambda here: (here / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]


def test_another_recipe_makes_another_entry(empty_cache: Path) -> None:
    one, two = (cache.entry("thing", [flag], lambda here: None) for flag in ("-a", "-b"))
    assert one != two


def test_who_comes_second_waits_and_does_not_build_again(empty_cache: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    built: list[str] = []

    def slow(here: Path) -> None:
        built.append("slow")
        begun.set()
        assert go_on.wait(60)

    first = threading.Thread(target=cache.entry, args=("thing", [], slow))
    second = threading.Thread(target=cache.entry, args=("thing", [], lambda here: built.append("again")))
    first.start()
    assert begun.wait(60)
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert built == ["slow"]


def test_a_cleared_cache_builds_again(empty_cache: Path) -> None:
    first = cache.entry("thing", [], lambda here: (here / "old").touch())
    cache.clear()
    assert not first.exists()
    again = cache.entry("thing", [], lambda here: (here / "new").touch())
    assert [file.name for file in again.iterdir()] == ["new"]


def test_a_disk_without_room_is_told_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="GiB free"):
        require_room(tmp_path, gigabytes=1_000_000)


def test_a_key_whose_maker_was_killed_is_made_again_and_no_other(tmp_path: Path) -> None:
    made = keys.key(tmp_path / "id", "first")
    assert keys.key(tmp_path / "id", "second") == made
    (tmp_path / "id.pub").unlink()
    assert keys.key(tmp_path / "id", "third") != made


def test_a_program_that_is_not_there_does_not_work() -> None:
    assert not programs.works(["no-such-program"])


def test_a_program_that_is_not_there_is_a_problem_with_a_way_out() -> None:
    with pytest.raises(Problem) as caught:
        programs.run(["no-such-program"])
    assert caught.value.next == "python -m tests.lab deps"


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--version", "v1.2.3"],
        ["up", "--name", "No Name"],
        ["exec", "--name", "not-there", "cp1", "--", "true"],
    ],
)
def test_an_error_says_what_to_type_next(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "next: " in said


# Real nodes


def left(lab: Lab) -> list[str]:
    """Whatever podman and the disk still have of a lab."""
    chosen = ("--filter", f"name={LABEL}-{lab.name}")
    kinds = (("ps", "--all", "--quiet"), ("volume", "ls", "--quiet"), ("network", "ls", "--quiet"))
    return [
        *(name for words in kinds for name in podman(*words, *chosen).split()),
        *(str(path) for path in (lab.directory,) if path.exists()),
    ]


def test_a_fresh_node_boots_with_everything_but_a_cluster(fresh_node: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    cp1 = fresh_node.node("cp1")
    began = time.monotonic()
    fresh_node.fresh("cp1")
    with capsys.disabled():
        print(f" (a fresh node: {time.monotonic() - began:.1f} s)", end="")
    assert cp1.exec("systemctl", "is-system-running").strip() == "running"
    assert cp1.exec("systemctl", "is-enabled", "kubelet").strip() == "enabled"
    assert cp1.exec("kubelet", "--version").strip() == f"Kubernetes {DEFAULT}"
    assert cp1.shell("ls -A /etc/kubernetes /var/lib/etcd 2>/dev/null || true") == ""


def test_a_node_has_every_image_that_kubeadm_asks_for(lab: Lab) -> None:
    asked = lab.node("cp1").exec("kubeadm", "config", "images", "list", "--kubernetes-version", DEFAULT).split()
    there = lab.node("cp1").exec("ctr", "--namespace", "k8s.io", "images", "list", "--quiet").split()
    assert len(asked) == 7
    assert set(asked) <= set(there)


def test_ssh_leads_to_the_node_with_the_pinned_key_and_no_other(lab: Lab) -> None:
    assert lab.node("cp1").ssh("hostname") == "cp1\n"
    pinned = lab.directory / "known_hosts"
    right = pinned.read_text()
    pinned.write_text(right.replace(lab.node("cp1").host_key, (lab.directory / "id_ed25519.pub").read_text().strip()))
    try:
        with pytest.raises(Problem, match="255"):
            lab.node("cp1").ssh("hostname")
    finally:
        pinned.write_text(right)


def test_ops_becomes_root_by_nothing_and_guarded_by_a_password(lab: Lab) -> None:
    cp1 = lab.node("cp1")
    assert cp1.ssh("id -un", user="ops") == "ops\n"
    assert cp1.ssh("sudo -n id -un", user="ops") == "root\n"
    assert cp1.ssh("echo lab | sudo -S -p '' id -un", user="guarded") == "root\n"
    with pytest.raises(Problem, match="ended with 1"):
        cp1.ssh("sudo -n true", user="guarded")


def test_a_node_made_anew_forgets_everything_but_its_address_and_host_key(lab: Lab) -> None:
    cp1 = lab.node("cp1")
    cp1.shell("mkdir -p /var/lib/etcd && touch /var/lib/etcd/mark /etc/mark")
    before = cp1.exec("cat", "/etc/machine-id")
    lab.fresh("cp1")
    assert cp1.shell("ls /var/lib/etcd/mark /etc/mark 2>/dev/null || true") == ""
    assert cp1.exec("cat", "/etc/machine-id") != before
    assert cp1.ssh("hostname") == "cp1\n"


def test_nodes_come_back_after_a_stop_with_what_they_had(lab: Lab) -> None:
    cp1 = lab.node("cp1")
    cp1.shell("touch /etc/mark /var/lib/mark")
    for stop, state in ((cp1.stop, "exited"), (cp1.kill, "exited"), (cp1.pause, "paused")):
        stop()
        assert cp1.state() == state
        up(lab.name)
        assert cp1.exec("systemctl", "is-system-running").strip() == "running"
        assert cp1.exec("ls", "/etc/mark", "/var/lib/mark").split() == ["/etc/mark", "/var/lib/mark"]


def test_a_node_that_ended_is_not_waited_for(lab: Lab) -> None:
    cp1 = lab.node("cp1")
    cp1.kill()
    with pytest.raises(Problem, match="should have booted"):
        wait(cp1.container)
    cp1.start()


def test_a_node_that_podman_wrongly_calls_running_is_made_anew(lab: Lab) -> None:
    cp1 = lab.node("cp1")
    state = inspect("container", cp1.container)["State"]
    init = os.pidfd_open(state["Pid"])
    os.kill(state["ConmonPid"], signal.SIGKILL)  # nobody is left to tell podman that the node died
    os.kill(state["Pid"], signal.SIGKILL)
    select.select([init], [], [])
    os.close(init)
    assert cp1.state() == "stale"
    up(lab.name)
    assert cp1.ssh("systemctl is-system-running").strip() == "running"


def test_two_labs_live_side_by_side_and_down_takes_only_its_own(new_lab: NewLab, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    one, two = new_lab(), new_lab(directory=tmp_path)
    assert not one.subnet.overlaps(two.subnet)
    assert two.cluster_file.parent == tmp_path
    units = [lab.node("cp1").exec("cat", "/proc/1/cgroup") for lab in (one, two)]
    assert ".." not in "".join(units), "a node that sees other cgroups than its own breaks its neighbours"
    two.down()
    assert left(dataclasses.replace(two, directory=tmp_path / "nodes")) == []
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
    assert find(two.name) is None
    assert one.node("cp1").ssh("hostname") == "cp1\n"
    one.down()
    assert left(one) == []


def test_a_lab_grows_and_refuses_to_be_another(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.node("cp1").exec("touch", "/etc/mark")
    grown = up(lab.name, workers=1)
    assert list(grown.addresses) == ["cp1", "w1"]
    assert grown.node("w1").ssh("getent hosts cp1").split() == [lab.node("cp1").address, "cp1"]
    assert grown.node("cp1").ssh("getent hosts w1 && ls /etc/mark").split()[1] == "w1"
    with pytest.raises(Problem, match="Kubernetes"):
        up(lab.name, version="v1.35.4")
    with pytest.raises(Problem, match="w nodes"):
        up(lab.name, workers=0)
