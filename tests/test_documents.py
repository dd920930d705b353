"""YAML as Kubernetes reads and writes it: the dialect of kubectl, and text that no reader takes for anything else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.documents import dump, load, merged


def only(text: str) -> Any:
    """The one document of the text."""
    ((_, value),) = load(text)
    return value


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("-0x1F", -31),
        ("0b101", 5),
        ("1_000", 1000),
        ("0", 0),
        ("-3", -3),
        ("08", 8),
        ("1e3", 1000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("6.02e+23", 6.02e23),
        ("on", True),
        ("Yes", True),
        ("n", False),
        ("oN", "oN"),
        ("~", None),
        ("", None),
        ("null", None),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("0x", "0x"),
        ("0x_", "0x_"),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        ("'on'", "on"),
        ('"0644"', "0644"),
        ("!!str 0644", "0644"),
    ],
)
def test_a_plain_value_is_read_as_kubectl_reads_it(written: str, read: object) -> None:
    value = only(f"it: {written}")["it"]
    assert (type(value), value) == (type(read), read)


def test_a_key_is_text_whatever_it_looks_like() -> None:
    assert only("on: 1\n1: 2\n1e3: 3\n~: 4\n") == {"on": 1, "1": 2, "1e3": 3, "~": 4}


def test_merged_mappings_lie_below_what_stands_beside_them() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\none: {<<: *a, x: 0}\ntwo: {<<: [*a, *b]}\n"
    assert only(text)["one"] == {"x": 0, "y": 1}
    assert only(text)["two"] == {"x": 1, "y": 1, "z": 2}


def test_documents_come_with_the_line_they_begin_on_and_empty_ones_do_not_come() -> None:
    assert list(load("# nothing\n---\na: 1\n---\n---\n# comment\n- b\n")) == [(3, {"a": 1}), (7, ["b"])]


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "'c' is given twice", 3),
        ("a: 1\n? [b]\n: 1\n", "a key must be text", 1),
        ("a: !!binary aGk=\n", r"the tag '.*binary' is not known", 0),
        ("a: {<<: 3}\n", "`<<` takes a mapping", 0),
        ("a: [\n", "did not find expected node content", 1),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, problem: str, line: int) -> None:
    with pytest.raises(yaml.MarkedYAMLError, match=problem) as caught:
        list(load(text))
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == line


@pytest.mark.parametrize("odd", ["123", "on", "1e3", "y", "N", "null", "~", "", "0644", "12:30", ".5", "a: b", "a #b"])
def test_text_that_could_be_misread_is_in_quotes(odd: str) -> None:
    assert dump([odd]) == f'- "{odd}"\n'


@pytest.mark.parametrize(
    "plain", ["cluster.local", "unix:///run/x.sock", "/etc/kubernetes", "node-role.kubernetes.io/a"]
)
def test_plain_words_and_paths_stay_plain(plain: str) -> None:
    assert dump([plain]) == f"- {plain}\n"


def test_the_same_value_twice_makes_no_anchor_and_keys_are_sorted() -> None:
    shared = {"k": ["v"]}
    assert dump({"b": shared, "a": shared}) == "a:\n  k:\n  - v\nb:\n  k:\n  - v\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_whatever_is_written_reads_the_same_by_us_and_by_others(value: object) -> None:
    written = dump({"it": value})
    assert only(written) == {"it": value}
    assert yaml.safe_load(written) == {"it": value}


@pytest.mark.parametrize(
    ("below", "above", "whole"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 1, "b": 1}, {"a": None, "c": None}, {"b": 1}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"x": {"y": None, "z": 1}}}, {"a": {"x": {"z": 1}}}),
        ({"a": {"x": 1}}, {"a": 1}, {"a": 1}),
    ],
)
def test_layers_merge_as_json_merge_patches(below: Any, above: Any, whole: Any) -> None:
    before = dump(below)
    assert merged(below, above) == whole
    assert dump(below) == before
