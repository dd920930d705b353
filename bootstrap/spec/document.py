"""The only module that reads YAML by position: text becomes plain values, and every value knows its line.

It follows the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema), so that `no`, `on`, `12:30` and
`1_000` are text; PyYAML by itself follows YAML 1.1, where they are not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import yaml

from bootstrap.spec.faults import Fault, Finding, Invalid, Where, dotted, quoted

DEEPEST = 50  # levels: no cluster.yaml is that deep, and an anchor that holds itself would have no end
MOST_VALUES = 200_000  # with aliases followed: ten thousand nodes fit, an alias bomb does not

_TAG = "tag:yaml.org,2002:"
_CORE = re.compile(
    r"""(?P<null> ~|null|Null|NULL| )
      | (?P<bool> true|True|TRUE|false|False|FALSE )
      | (?P<int> [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ )
      | (?P<float> [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? | [-+]?\.(inf|Inf|INF)
                 | \.(nan|NaN|NAN) )""",
    re.VERBOSE,
)
_VALUES: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "null": lambda text: None,
        "bool": lambda text: {"true": True, "false": False}[text.lower()],
        "int": lambda text: int(text, 0 if text.startswith(("0o", "0x")) else 10),
        "float": lambda text: float(re.sub(r"\.(?=[iInN])", "", text)),
        "str": str,
    }
)
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TOO_DEEP = "too much is nested here"
_ONE_DOCUMENT = ("a second document begins here", "cluster.yaml is one document: remove it")
_EXPLANATIONS = (  # a part of what the parser says -> what it means, and what to do
    ("a tab character", ("a tab can't indent YAML", "use spaces")),
    ("cannot start any token", ("no value begins with this character", "put the value in double quotes")),
    (_TOO_DEEP, (_TOO_DEEP, "")),
    ("nesting depth", (_TOO_DEEP, "")),  # libyaml's own limit, since PyYAML 6.0.4
    ("another document", _ONE_DOCUMENT),
    ("document start", _ONE_DOCUMENT),
    ("mapping values", ("a second colon on this line", "put a value that holds a colon in double quotes")),
    ("undefined alias", ("there is no anchor of this name above", "write the value out")),
    ("end of stream", ("the file ends inside quotes", "close them")),
    ("',' or", ("a bracket above is not closed, or a comma is missing", "")),
    ("expected ':'", ("a colon is missing above", "a field is written name: value")),
    ("did not find expected", ("this does not line up with what is above", "check indentation and quotes")),
)


class _Loader(yaml.CBaseLoader):
    """PyYAML's parser with the tags of the core schema and a floor; it constructs nothing."""

    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        """Called before each node: deeper than a thread's stack, PyYAML's recursion in C ends the whole program."""
        self.depth += 1
        if parent is not None and self.depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, parent.start_mark)

    def ascend_resolver(self) -> None:
        """Called after each node."""
        self.depth -= 1

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """The tag of a node that carries none: a plain scalar's by the core schema, any other by its kind."""
        if kind is yaml.ScalarNode and implicit[0]:
            match = _CORE.fullmatch(value)
            return _TAG + (match.lastgroup if match and match.lastgroup else "str")
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, and where each part of it stands."""

    value: object
    findings: tuple[Finding, ...]  # what has no place in the value: keys given twice, unknown tags, …
    _root: yaml.Node = field(repr=False)

    def finding(self, fault: Fault) -> Finding:
        """The fault with its position; what is not there is shown where it should be: at what would hold it."""
        key, node = self._nodes(fault.where)
        return _finding(key if fault.on_key and key else node, fault.where, fault.problem, fault.hint)

    def written(self, where: Where) -> str:
        """A scalar as it stands in the file, before it became a number; "" for anything else."""
        _, node = self._nodes(where)
        return str(node.value) if isinstance(node, yaml.ScalarNode) else ""

    def _nodes(self, where: Where) -> tuple[yaml.Node | None, yaml.Node]:
        """The key and the value at `where`, or what is nearest above."""
        key, node = None, self._root
        for step in where:
            match node:
                case yaml.MappingNode():
                    pair = next((pair for pair in node.value if pair[0].value == step), None)
                    if pair is None:
                        return None, node
                    key, node = pair
                case yaml.SequenceNode() if isinstance(step, int) and step < len(node.value):
                    key, node = None, node.value[step]
                case _:
                    return None, node
        return key, node


def read(text: str, name: str) -> Document:
    """The one document in `text`; Invalid (`name` is the file's) where it is no YAML, empty, or several."""
    if strange := _NOT_TEXT.search(text):
        line, column = position(text[: strange.start()])
        problem = f"the character U+{ord(strange[0]):04X} is not allowed in YAML"
        raise Invalid(name, [Finding(line, column, "", problem, "remove it")])
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise Invalid(name, [_explained(error, text)]) from None
    if root is None or root.tag == f"{_TAG}null":
        hint = f"bootstrap config example > {shlex.quote(name)}"
        raise Invalid(name, [Finding(1, 1, "", "the file is empty", hint)])
    walk = _Walk(name)
    value = walk.value(root, ())
    return Document(value, tuple(walk.findings), root)


def position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what comes right after this text."""
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(lines), len(lines[-1]) + 1


@dataclass(slots=True)
class _Walk:
    """Turns nodes into values, and remembers what could not become one."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    count: int = 0

    def value(self, node: yaml.Node, where: Where) -> object:
        """The value of a node; aliases are followed, as far as they end."""
        self.count += 1
        if self.count > MOST_VALUES or len(where) > DEEPEST:
            raise Invalid(self.name, [_finding(node, where[:3], _TOO_DEEP, "")])  # the whole way is a long one
        match node:
            case yaml.MappingNode(tag=tag) if tag == f"{_TAG}map":
                return self._mapping(node, where)
            case yaml.SequenceNode(tag=tag) if tag == f"{_TAG}seq":
                return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode() if make := _VALUES.get(node.tag.removeprefix(_TAG)):
                try:
                    return make(node.value)
                except (ValueError, KeyError):  # an explicit tag on other text, or thousands of digits
                    self._note(node, where, f"{quoted(node.value)} is no {node.tag.removeprefix(_TAG)}")
            case _:
                self._note(node, where, f"the tag {quoted(node.tag)} is unknown", "remove it")
        return None

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, object]:
        """A mapping; of a key given twice the first counts."""
        mapping: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            match key:
                case yaml.ScalarNode(value="<<"):
                    self._note(key, where, "YAML 1.2 has no merge key", "write the fields out")
                case yaml.ScalarNode(tag=tag, value=word) if tag != f"{_TAG}str":
                    self._note(key, where, f"the name {word} is not text", f"write {quoted(word)}")
                case yaml.ScalarNode(value=word) if word in lines:
                    self._note(key, (*where, word), f"given twice, first on line {lines[word]}", "keep one")
                case yaml.ScalarNode(value=word):
                    lines[word] = key.start_mark.line + 1
                    mapping[word] = self.value(value, (*where, word))
                case _:
                    self._note(key, where, "a name has to be text, not a list or a mapping")
        return mapping

    def _note(self, node: yaml.Node, where: Where, problem: str, hint: str = "") -> None:
        self.findings.append(_finding(node, where, problem, hint))


def _finding(node: yaml.Node, where: Where, problem: str, hint: str) -> Finding:
    return Finding(node.start_mark.line + 1, node.start_mark.column + 1, dotted(where), problem, hint)


def _explained(error: yaml.MarkedYAMLError, text: str) -> Finding:
    """What the parser says, in words that help."""
    mark, said = error.problem_mark, error.problem or ""
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if text.split("\n")[line : line + 1] and text.split("\n")[line][column : column + 1] == "\t":
        said = "a tab character"
    found = (words for part, words in _EXPLANATIONS if part in said)
    problem, hint = next(found, (f"this is not YAML: {said}", ""))
    return Finding(line + 1, column + 1, "", problem, hint)
