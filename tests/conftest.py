"""Fixtures: labs of real nodes, gone when the test is over; clusters; and throw-away sshds."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from bootstrap.spec.model import Cluster
from tests import sshd, stores
from tests.cluster import Desk, desk
from tests.lab import Lab, down, names, up
from tests.lab.toolchain import install_packages, require_root
from tests.sshd import Person, Sshd

# How long an example takes says nothing on a busy machine, and a run that nobody changed anything for ends as the one
# before. To look for more: pytest --hypothesis-profile=default
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

LABS = {"lab", "new_lab", "fresh_node"}  # fixtures that need real nodes


class NewLab(Protocol):
    """Makes a lab of one node that is removed after the test; keys and cluster.yaml go to the directory."""

    def __call__(self, *, directory: Path | None = None) -> Lab: ...


class NewSshd(Protocol):
    """Starts a throw-away sshd with these lines of sshd_config, and host keys of these kinds."""

    def __call__(self, *lines: str, kinds: tuple[str, ...] = ("ed25519",)) -> Sshd: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for real nodes, so that `-m "not lab"` leaves it out.

    Where a throw-away sshd needs something to be installed first, its tests belong to those.
    """
    needing = LABS if sshd.ready() else {*LABS, "loopback"}
    for item in items:
        if isinstance(item, pytest.Function) and needing.intersection(item.fixturenames):
            item.add_marker("lab")


@pytest.fixture(scope="session")
def lab_names() -> Iterator[Iterator[str]]:
    """Names for this session's labs; what sessions that were killed left behind is removed first."""
    for name in names():
        owner = re.match(r"test-(\d+)", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            down(name)
    yield (f"test-{os.getpid()}-{number}" for number in itertools.count(1))


@pytest.fixture
def new_lab(lab_names: Iterator[str]) -> Iterator[NewLab]:
    """Makes labs, each with its own node, network and cluster.yaml."""
    made: list[Lab] = []

    def make(*, directory: Path | None = None) -> Lab:
        made.append(up(next(lab_names), nodes=1, directory=directory))
        return made[-1]

    yield make
    for lab in made:
        lab.down()


@pytest.fixture
def fresh_node(new_lab: NewLab) -> Lab:
    """A lab of one pristine control-plane node, cp1, for this test alone."""
    return new_lab()


@pytest.fixture(scope="session")
def loopback() -> None:
    """This machine can run throw-away sshds, with sudo and login shells of several kinds."""
    require_root()
    install_packages(sshd.PACKAGES)


@pytest.fixture(scope="module")
def new_sshd(loopback: None) -> Iterator[NewSshd]:
    """Makes sshds on this machine's loopback, gone when the module's tests are over."""
    with tempfile.TemporaryDirectory(prefix="sshd-") as directory, ExitStack() as stack:
        Path(directory).chmod(0o755)  # those who log in read their keys themselves

        def make(*lines: str, kinds: tuple[str, ...] = ("ed25519",)) -> Sshd:
            place = Path(directory) / str(len(list(Path(directory).iterdir())))
            made = Sshd(place, (f"SetEnv HOME={place}", *lines), kinds)
            made.start()
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture(scope="module")
def somebody(loopback: None) -> Iterator[Person]:
    """An account of this machine that may do nothing, unless a test lets it."""
    with tempfile.TemporaryDirectory(prefix="home-") as directory:
        Path(directory).chmod(0o755)
        with sshd.person(f"lab{os.getpid()}", Path(directory) / "home") as one:
            yield one


@pytest.fixture(scope="session")
def lab(lab_names: Iterator[str]) -> Iterator[Lab]:
    """A lab of one control-plane node for the whole session: `lab.fresh()` makes it pristine again."""
    made = up(next(lab_names), nodes=1)
    yield made
    made.down()


@pytest.fixture(scope="module")
def untouched(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A workstation for the session's node, on which nothing of ours lies."""
    lab.fresh("cp1")
    return desk(lab, tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def cluster(untouched: Desk) -> Desk:
    """Founded on that node by `init`; every test leaves it as cluster.yaml says."""
    untouched.done("init")
    return untouched


@pytest.fixture(scope="session")
def demo() -> Cluster:
    """A cluster of four nodes, which needs none."""
    return stores.cluster({})


@pytest.fixture(scope="session")
def issued(demo: Cluster) -> Mapping[str, bytes]:
    """What is in its store, for those who only look."""
    return stores.issued_for(demo)
