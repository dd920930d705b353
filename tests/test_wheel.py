"""However `bootstrap` is installed, and when it is not installed at all, it finds its templates."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import yaml

from tests.cluster import environment

ROOT = Path(__file__).parent.parent
CLUSTER = {
    "apiVersion": "bootstrap/v1",
    "kind": "Cluster",
    "name": "anywhere",
    "nodes": [{"name": "a", "address": "10.0.0.1", "role": "control-plane"}],
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it."""
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(ROOT), at=ROOT)
    return target


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is installed here, less ourselves."""
    target = tmp_path_factory.mktemp("dependencies")
    for place in dict.fromkeys(path for path in sys.path if path.endswith("site-packages")):
        for entry in Path(place).iterdir():
            if "controlplane_bootstrap" not in entry.name and entry.suffix != ".pth":
                (target / entry.name).symlink_to(entry)
    return target


@pytest.fixture
def python(dependencies: Path, tmp_path: Path) -> Path:
    """The interpreter of a new virtual environment that has our dependencies, and not us."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return tmp_path / "venv/bin/python"


def run(*words: str, at: Path, **variables: str) -> str:
    """What a program prints; it must end well."""
    clean = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=at, env=clean | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(python: Path, *what: str) -> str:
    """The `bootstrap` program, once pip has installed that into an environment."""
    words = ("-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-build-isolation", *what)
    run(sys.executable, *words, at=python.parent)
    return str(python.with_name("bootstrap"))


def works(*program: str, at: Path, **variables: str) -> None:
    """Renders, prints an example, and tells its version."""
    at.mkdir()
    (at / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
    run(*program, "render", "-o", "out", at=at, **variables)
    assert (at / "out/nodes/a/etc/kubernetes/manifests/kube-apiserver.yaml").is_file()
    assert run(*program, "config", "example", at=at, **variables).startswith("# cluster.yaml")
    assert run(*program, "version", at=at, **variables).startswith("bootstrap ")


def test_a_wheel_works_outside_the_checkout(python: Path, dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    works(install(python, str(wheel)), at=tmp_path / "away")
    place = run(str(python), "-c", "import bootstrap; print(bootstrap.__file__)", at=tmp_path)
    assert Path(place).is_relative_to(tmp_path)


def test_an_sdist_works_outside_the_checkout(python: Path, dist: Path, tmp_path: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    works(install(python, str(sdist)), at=tmp_path / "away")


def test_an_editable_install_works_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    works(install(python, "--editable", str(ROOT)), at=tmp_path / "away")


def test_a_checkout_works_without_being_installed(python: Path, tmp_path: Path) -> None:
    works(str(python), "-m", "bootstrap", at=tmp_path / "away", PYTHONPATH=str(ROOT))


def test_a_wheel_holds_the_templates_as_they_are_and_nothing_of_the_tests(dist: Path) -> None:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        held = {name: wheel.read(name) for name in names if name.startswith("bootstrap/templates/")}
    assert {PurePosixPath(name).parts[0] for name in names} == {"bootstrap", "pki"}
    assert held == {f"bootstrap/{path.relative_to(ROOT)}": path.read_bytes() for path in files(ROOT / "templates")}


def test_an_sdist_holds_what_a_packager_needs(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "PKG-INFO", "tests/test_wheel.py"} <= names
    assert not [name for name in names if name.endswith(".pyc") or ".bootstrap" in name]


def files(directory: Path) -> list[Path]:
    """Every file below a directory."""
    return [Path(place) / name for place, _, names in os.walk(directory) for name in names]
