"""The static pods of one node, for the phases that share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bootstrap import components
from bootstrap.phases.phase import Setting
from bootstrap.spec.model import Node
from bootstrap.world import File, born


def static_pods(setting: Setting, node: Node, only: Callable[[str], bool]) -> Iterator[File]:
    """The manifests of a control-plane node, with what they mount, of the components that `only` says yes to."""
    if not node.control_plane:
        return iter(())
    machine, birth = setting.world.facts[node.name].machine, born(setting.world, node.name)
    place = components.Place(machine.manifests, machine.ca_directories, birth.members, birth.state)
    key = setting.credentials["encryption.key"].decode().strip()
    return components.files(setting.cluster, node, place, encryption_key=key, only=only)
