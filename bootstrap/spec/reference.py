"""docs/cluster-yaml.md, written from the types, the rules and the tables themselves, so that it can't drift."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bootstrap.spec import owned, rules, shape

_HEAD = """\
# cluster.yaml

Everything `bootstrap` knows about a cluster is in this file. `bootstrap config example > cluster.yaml` writes one to
start from, `bootstrap config validate` finds everything that is wrong with yours at once, and
`bootstrap config schema` prints its JSON Schema, for editors.

The file is one document of YAML 1.2: `no`, `on` and `12:30` are text, `1.30` and `123` are numbers, and a number where
text is wanted has to be quoted. Unknown fields and fields given twice are errors; anchors work, merge keys (`<<`) do
not exist. Paths on the workstation start from the directory of the file. Field names are kubeadm's (v1beta4) where
kubeadm has them. **Bold** fields are needed.
"""
_COLUMNS = "| field | kind | default | meaning |\n|---|---|---|---|\n"
_RULES = """
## Rules over several fields

"""
_OWNED = """
## What the tool sets itself

These flags in `extraArgs`, and these fields of configurations, are refused; `*` stands for anything.

| in | name | instead, or because |
|---|---|---|
"""
_TAIL = """
## Static pods of your own

The kubelet starts a static pod before it can ask the API for anything, so its manifest can't refer to Secrets,
ConfigMaps, ServiceAccounts, PersistentVolumeClaims, CSI or ephemeral volumes, ResourceClaims or image pull secrets.
Each file is the manifest of one pod, whose name no other static pod of the node has. It is checked when `cluster.yaml`
is read.
"""


def markdown() -> str:
    """The whole page: every type with its fields, every rule, everything the tool owns."""
    schema = shape.schema()
    sections = [_section("Cluster", schema)]
    sections += [_section(name, definition) for name, definition in _definitions(schema).items()]
    all_rules = "".join(f"- {(rule.__doc__ or '').strip()}\n" for rule in rules.RULES)
    rows = "".join(
        f"| `{row.place}` | {', '.join(f'`{name}`' for name in row.names)} | {row.why} |\n"
        for row in (*owned.ARGUMENTS, *owned.FIELDS)
    )
    return "".join([_HEAD, *sections, _RULES, all_rules, _OWNED, rows, _TAIL])


def _definitions(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The types in the order in which the page first speaks of them."""
    ordered: dict[str, Mapping[str, Any]] = {}
    waiting = [*_references(schema["properties"])]
    while waiting:
        name = waiting.pop(0)
        if name not in ordered:
            ordered[name] = schema["$defs"][name]
            waiting += _references(ordered[name]["properties"])
    return ordered


def _references(part: object) -> Iterator[str]:
    match part:
        case {"$ref": str(reference)}:
            yield reference.rpartition("/")[2]
        case dict():
            for value in part.values():
                yield from _references(value)
        case list():
            for value in part:
                yield from _references(value)


def _section(name: str, definition: Mapping[str, Any]) -> str:
    needed = definition.get("required", ())
    rows = "".join(
        f"| {f'**`{field}`**' if field in needed else f'`{field}`'} | {_kind(value)} | {_default(value)} "
        f"| {_line(value['description'])} |\n"
        for field, value in definition["properties"].items()
    )
    return f"\n## {name}\n\n{_line(definition['description'])}\n\n{_COLUMNS}{rows}"


def _kind(value: Mapping[str, Any]) -> str:
    """What may stand there: `text`, `list of [Node](#node)`, and so on."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return _kind(value["anyOf"][0])
    if "const" in value or "enum" in value:
        return " or ".join(f"`{choice}`" if choice else "empty" for choice in value.get("enum", [value.get("const")]))
    match value["type"]:
        case "integer":
            return f"number, {value['minimum']} to {value['maximum']}"
        case "boolean":
            return "`true` or `false`"
        case "array":
            return f"list of {_kind(value['items'])}"
        case "object":
            return "mapping"
        case _:
            return "text"


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None or default == "" or isinstance(default, dict | list):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
