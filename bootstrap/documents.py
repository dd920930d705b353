"""The only module that reads, merges and writes YAML as Kubernetes does: its dialect is neither 1.1 nor 1.2.

`0644` is octal and `on` is true, as for kubectl; `12:30` and dates are text. A key given twice is refused.
https://github.com/kubernetes-sigs/yaml/blob/v1.6.0/yaml.go over go.yaml.in/yaml/v2 (resolve.go)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Object = dict[str, Any]

_TAG = "tag:yaml.org,2002:"
_TRUE = re.compile("y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile("n|N|no|No|NO|false|False|FALSE|off|Off|OFF")
_NULL = re.compile("~|null|Null|NULL|")
_INTEGER = re.compile(
    "[-+]?(0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[oO]_*[0-7][0-7_]*|0[bB]_*[01][01_]*|0[0-7_]*|[1-9][0-9_]*)"
)
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"0x": 16, "0o": 8, "0b": 2}
# Begins like a word or a path, and holds nothing that any reader of YAML could take for anything but text.
_WORD = re.compile("[A-Za-z/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*")


def load(text: str) -> Iterator[tuple[int, Any]]:
    """Each document that is not empty, with the line it begins on.

    yaml.MarkedYAMLError says what can't be read and where.
    """
    for node in yaml.compose_all(text, Loader=_Reader):
        if (value := _value(node)) is not None:
            yield node.start_mark.line + 1, value


def dump(value: object) -> str:
    """JSON values as YAML: keys sorted, no anchors, and in quotes what could be read as anything but text."""
    written: str = yaml.dump(value, Dumper=_Writer, allow_unicode=True, width=2**16)
    return written


def merged(*layers: Mapping[str, Any]) -> Object:
    """Each over those before it, as JSON merge patches (RFC 7386): null removes a field, a list replaces."""
    whole: Object = {}
    for layer in layers:
        for key, value in layer.items():
            if value is None:
                whole.pop(key, None)
            elif isinstance(value, Mapping):
                below = whole.get(key)
                whole[key] = merged(below if isinstance(below, Mapping) else {}, value)
            else:
                whole[key] = value
    return whole


class _Reader(yaml.CBaseLoader):
    """Marks what stands there plainly, without quotes or a tag: only that may be more than text."""


_Reader.add_implicit_resolver("plain", re.compile(""), None)


def _value(node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode(tag="plain"):
            return _plain(node.value)
        case yaml.ScalarNode(tag=tag) if tag == f"{_TAG}str":
            return node.value
        case yaml.SequenceNode():
            return [_value(item) for item in node.value]
        case yaml.MappingNode():
            return _mapping(node)
        case _:
            raise _wrong(node, f"the tag {node.tag!r} is not known")


def _mapping(node: yaml.MappingNode) -> Object:
    inherited: Object = {}
    own: Object = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(key, "a key must be text")
        if key.tag == "plain" and key.value == "<<":
            merged = _value(value)
            for mapping in reversed(merged if isinstance(merged, list) else [merged]):
                if not isinstance(mapping, dict):
                    raise _wrong(value, "`<<` takes a mapping")
                inherited |= mapping
        elif key.value in own:
            raise _wrong(key, f"{key.value!r} is given twice")
        else:
            own[key.value] = _value(value)
    return inherited | own


def _plain(text: str) -> str | int | float | bool | None:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    digits = text.replace("_", "").lower()
    if _INTEGER.fullmatch(text):
        unsigned = digits.lstrip("+-")
        base = _BASES.get(unsigned[:2], 8 if unsigned[0] == "0" else 10)
        return int(unsigned, base) * (-1 if digits[0] == "-" else 1)
    if _NUMBER.fullmatch(text):
        number = float(digits)
        # Go writes 1e3 into JSON as 1000, and a field that is an integer refuses 1000.0.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _wrong(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Writer(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(writer: _Writer, value: str) -> yaml.ScalarNode:
    if _WORD.fullmatch(value) and _plain(value.lower()) == value.lower():
        return writer.represent_scalar(f"{_TAG}str", value)
    return writer.represent_scalar(f"{_TAG}str", value, style="|" if "\n" in value else '"')


_Writer.add_representer(str, _text)
