"""What the state directory keeps of nodes: one that the file no longer names can still be reached, and removed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster, Node

NAME = "nodes.json"  # in the store
_REMOVED = "removed"


def entries(store: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """node -> its entry, how it is reached included; {} where nothing is kept, or what is kept can't be read."""
    try:
        tree = json.loads(store[NAME])
    except (KeyError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


@dataclass(frozen=True, slots=True)
class Gone:
    """A node that was in the file once; `removed`: the cluster let it go, but it could not be reached then."""

    node: Node
    removed: bool


def gone(store: Mapping[str, bytes], cluster: Cluster) -> dict[str, Gone]:
    """Who was in the file once, and may have something of ours still."""
    named = {node.name for node in cluster.nodes}
    found = {}
    for name, entry in entries(store).items():
        if name not in named:
            try:
                node = Node.model_validate({field: value for field, value in entry.items() if field != _REMOVED})
            except ValidationError:  # of another version: it is taken out of the lists, like a dead one
                continue
            found[name] = Gone(node, removed=_REMOVED in entry)
    return found


def note(store: MutableMapping[str, bytes], cluster: Cluster) -> None:
    """Keep every node of the file as it is there now."""
    now = {node.name: _entry(cluster, node) for node in cluster.nodes}
    _write(store, entries(store) | now)


def forget(store: MutableMapping[str, bytes], nodes: Iterable[str], reached: AbstractSet[str]) -> None:
    """These were removed: who was reached has nothing of ours any more, of others it is kept how to reach them."""
    known = entries(store)
    left = {name: known[name] | {_REMOVED: True} for name in nodes if name in known and name not in reached}
    _write(store, {name: entry for name, entry in known.items() if name not in set(nodes)} | left)


def _entry(cluster: Cluster, node: Node) -> dict[str, Any]:
    reached = cluster.ssh_of(node).model_dump(mode="json", by_alias=True, exclude_none=True)
    return node.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"ssh"}) | {"ssh": reached}


def _write(store: MutableMapping[str, bytes], wanted: Mapping[str, Mapping[str, Any]]) -> None:
    content = (json.dumps(wanted, sort_keys=True) + "\n").encode()
    if store.get(NAME) != content:
        store[NAME] = content


def unknown(asked: Iterable[str], known: Collection[str], next: str = "") -> None:
    """Problem (USAGE) when somebody names a node that the file does not."""
    if missing := sorted(set(asked) - set(known)):
        raise Problem(
            f"cluster.yaml names no node {missing[0]}",
            why=f"it names {', '.join(known)}",
            next=next,
            code=Code.USAGE,
        )
