"""The lab: real nodes on one machine, as systemd in containers. `python -m tests.lab --help` says how to use it."""

from tests.lab.bringup import up
from tests.lab.build import binaries
from tests.lab.images import archives
from tests.lab.lab import Lab, down, find, names
from tests.lab.node import Node

__all__ = ["Lab", "Node", "archives", "binaries", "down", "find", "names", "up"]
