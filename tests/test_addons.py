"""The user's own manifests: what is read, in which order, and what is said of what can't be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bootstrap import addons, objects
from bootstrap.documents import Object
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster


def config_map(name: str, **metadata: Any) -> Object:
    """A small object."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name} | metadata}


def lay(directory: Path, **files: str) -> Path:
    """Writes files, whose names here have `_` for `.`, and gives their directory."""
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_text(content)
    return directory


def names(path: Path) -> list[str]:
    """The names of the objects read."""
    return [each["metadata"]["name"] for each in addons.read(path)]


def problem(path: Path) -> Problem:
    """What is said of a manifest that can't be applied."""
    with pytest.raises(Problem) as caught:
        list(addons.read(path))
    assert caught.value.code == Code.WRONG_FILE
    return caught.value


def test_a_file_may_hold_several_documents_and_empty_ones(tmp_path: Path) -> None:
    text = f"---\n# first\n---\n{json.dumps(config_map('a'))}\n---\n{json.dumps(config_map('b'))}\n---\n"
    assert names(lay(tmp_path, x_yaml=text) / "x.yaml") == ["a", "b"]


def test_a_directory_is_read_in_order_of_name_without_what_is_no_manifest(tmp_path: Path) -> None:
    files = {"20_yml": "b", "10_yaml": "a", "30_json": "c"}
    lay(tmp_path, **{name: json.dumps(config_map(value)) for name, value in files.items()}, README_md="# no: [yaml")
    (tmp_path / "05.yaml").mkdir()
    assert names(tmp_path) == ["a", "b", "c"]


def test_a_list_is_taken_apart_and_one_inside_it_too(tmp_path: Path) -> None:
    inner = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [config_map("b"), config_map("c")]}
    outer = {"apiVersion": "v1", "kind": "List", "items": [config_map("a"), inner]}
    assert names(lay(tmp_path, x_json=json.dumps(outer)) / "x.json") == ["a", "b", "c"]


def test_an_empty_file_and_an_empty_list_hold_nothing(tmp_path: Path) -> None:
    lay(tmp_path, a_yaml="# nothing yet\n", b_yaml="{apiVersion: v1, kind: List, items: []}\n")
    assert names(tmp_path) == []


def test_values_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    text = "{apiVersion: v1, kind: X, metadata: {name: '1e3'}, spec: {mode: 0644, on: on, time: 12:30, n: 1e3}}"
    (read,) = addons.read(lay(tmp_path, x_yaml=text) / "x.yaml")
    assert read["metadata"]["name"] == "1e3"
    assert read["spec"] == {"mode": 420, "on": True, "time": "12:30", "n": 1000}


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(config_map("a")).encode())
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("kind: A\nmetadata: {name: a}", "it has no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}", "it has no kind"),
        ("apiVersion: v1\nkind: A", "it has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {generateName: a-}", "it has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: a", "it has no metadata.name"),
        ("a: 1", "it has no apiVersion, it has no kind, it has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 123}", "its metadata.name is not text"),
        ("apiVersion: 1\nkind: A\nmetadata: {name: a}", "its apiVersion is not text"),
        ("- a", "it is not a mapping"),
        ("just text", "it is not a mapping"),
    ],
)
def test_a_document_that_is_no_object_is_told_with_its_file_number_and_line(
    tmp_path: Path, document: str, why: str
) -> None:
    path = lay(tmp_path, x_yaml=f"{json.dumps(config_map('a'))}\n---\n# comment\n{document}\n") / "x.yaml"
    said = problem(path)
    assert str(path) in said.what
    assert said.why == f"document 2 (line 4): {why}"
    assert "`addons`" in said.next


def test_an_item_of_a_list_that_is_no_object_is_told_with_its_number(tmp_path: Path) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [config_map("a"), {"kind": "A"}]})
    said = problem(lay(tmp_path, x_yaml=text) / "x.yaml")
    assert said.why == "document 1 (line 1), item 2: it has no apiVersion, it has no metadata.name"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x_yaml", "a: 1\nb: [\n", "line 3: did not find expected node content"),
        ("x_yaml", "a: 1\na: 2\n", "line 2: 'a' is given twice"),
        ("x_json", '{"a": 1,\n "b"}\n', "line 2: Expecting ':' delimiter"),
        ("x_yaml", "a: \x07\n", "control characters are not allowed"),
    ],
)
def test_text_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, name: str, text: str, why: str) -> None:
    assert why in problem(lay(tmp_path, **{name: text}) / name.replace("_", ".")).why


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\n")
    assert "can't decode byte" in problem(tmp_path / "x.yaml").why


def test_a_path_that_is_not_there_and_a_directory_without_manifests_are_told(tmp_path: Path) -> None:
    assert "No such file" in problem(tmp_path / "missing.yaml").why
    assert "*.yaml" in problem(lay(tmp_path, README_md="")).why


def test_addons_are_left_as_they_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    theirs = config_map("a", labels={"app": "x", "app.kubernetes.io/managed-by": "Helm"})
    plain = config_map("b", labels=None, namespace="n")
    lay(tmp_path, a_yaml=json.dumps(theirs), b_yaml=json.dumps(plain))
    raw = {
        "apiVersion": "bootstrap/v1",
        "kind": "Cluster",
        "name": "demo",
        "nodes": [{"name": "cp1", "address": "10.77.0.11", "role": "control-plane"}],
        "addons": [{"file": "b.yaml"}, {"file": "a.yaml"}],
    }
    assert objects.addons(Cluster.model_validate_json(json.dumps(raw)), tmp_path) == (plain, theirs)
