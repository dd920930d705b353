"""The JSON Schema of cluster.yaml, for editors, for "did you mean" and for the reference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from bootstrap.spec.faults import Where
from bootstrap.spec.model import Cluster


def schema() -> dict[str, object]:
    """JSON Schema 2020-12 of one field each, with descriptions; rules over several fields are not in it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema()}


def fields(where: Where) -> tuple[str, ...]:
    """The names that may stand in the mapping at `where`; () where any may, or none."""
    return tuple(_at(where).get("properties", ()))


def choices(where: Where) -> tuple[str, ...]:
    """The values the field at `where` may have; () where it is no choice."""
    place = _at(where)
    return tuple(place.get("enum", [place["const"]] if "const" in place else ()))


def description(where: Where) -> str:
    """What the field at `where` is for, on one line without a full stop."""
    parent, name = _at(where[:-1]), where[-1]
    found = parent.get("properties", {}).get(name, {}).get("description", "")
    return " ".join(str(found).split()).rstrip(".")


def resolved(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the schema without its detours: references followed, "or null" left out."""
    if "$ref" in place:
        return resolved(_schema()["$defs"][place["$ref"].rpartition("/")[2]])
    if "anyOf" in place:
        return resolved(next(choice for choice in place["anyOf"] if choice.get("type") != "null"))
    return place


def _at(where: Where) -> Mapping[str, Any]:
    """The schema of the value at `where`; {} where nothing is said about it."""
    place: Mapping[str, Any] = _schema()
    for step in where:
        inside = place.get("items", {}) if isinstance(step, int) else place.get("properties", {}).get(step, {})
        place = resolved(inside)
    return place


@cache
def _schema() -> dict[str, Any]:
    return Cluster.model_json_schema(by_alias=True)
