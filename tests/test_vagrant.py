"""The virtual machines: as far as can be told without a provider, Vagrant, shellcheck and bootstrap accept them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from bootstrap import spec, versions

VAGRANT = Path(__file__).resolve().parent.parent / "vagrant"
HERE = ("Vagrantfile", "cluster.yaml", "provision.sh")


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """A copy of the directory, since Vagrant leaves traces where it runs; skipped without Vagrant, but not in CI."""
    if shutil.which("vagrant") is None and "CI" not in os.environ:
        pytest.skip("no vagrant here: apt-get install --no-install-recommends vagrant")
    (tmp_path / "here").mkdir()
    for name in HERE:
        shutil.copy(VAGRANT / name, tmp_path / "here" / name)
    return tmp_path / "here"


def validate(machines: Path) -> subprocess.CompletedProcess[str]:
    """What Vagrant says of the Vagrantfile; nothing is downloaded, and no provider is asked."""
    quiet = {"VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_HOME": str(machines.parent / "home")}
    return subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=machines,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        check=False,
    )


def test_vagrant_accepts_the_file_and_makes_a_machine_of_every_node(machines: Path) -> None:
    said = validate(machines)
    assert said.returncode == 0, said.stdout + said.stderr
    for node in spec.load(VAGRANT / "cluster.yaml").nodes:
        assert f"==> {node.name}:" in said.stdout


def test_vagrant_notices_a_script_that_is_not_there(machines: Path) -> None:
    (machines / "provision.sh").unlink()
    assert validate(machines).returncode != 0


def test_the_cluster_file_is_one_bootstrap_takes() -> None:
    cluster = spec.load(VAGRANT / "cluster.yaml")
    assert len(cluster.voters) == 3
    assert cluster.kubernetes_version == versions.DEFAULT
    allowed = ip_network("192.168.56.0/21")  # https://www.virtualbox.org/manual/ch06.html#network_hostonly
    for node in cluster.nodes:
        assert ip_address(node.address) in allowed
        assert f"/machines/{node.name}/" in (cluster.ssh_of(node).identity_file or "")


def test_the_script_passes_shellcheck() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, VAGRANT / "provision.sh"], check=True)


def test_the_scripts_pause_image_is_the_one_of_the_version_it_installs() -> None:
    pause = spec.load(VAGRANT / "cluster.yaml").release.pause
    assert f'sandbox_image = "registry.k8s.io/pause:{pause}"' in (VAGRANT / "provision.sh").read_text()
