"""cluster.yaml as a file: YAML 1.2, positions, everything wrong at once, the example, the schema, the reference."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from bootstrap import versions
from bootstrap.errors import Code
from bootstrap.spec import Cluster, Invalid, document, example, names, parse, schema, shape
from bootstrap.spec.faults import quoted
from bootstrap.spec.reference import markdown

MINIMAL = """\
apiVersion: bootstrap/v1
kind: Cluster
name: demo
nodes:
- {name: cp1, address: 10.77.0.11, role: control-plane}
"""
NINES = quoted("9" * 5000)  # more digits than Python makes an int of


def wrong(text: str) -> list[str]:
    """Everything that is wrong with a file, as `line:column: …`."""
    with pytest.raises(Invalid) as caught:
        parse(text, "cluster.yaml")
    return [str(finding) for finding in caught.value.findings]


def at_mark(marked: str) -> tuple[str, str]:
    """The text without its one mark ▸, and `line:column` of what stood after it."""
    before, mark, _ = marked.partition("▸")
    assert mark, "the case shows where"
    lines = before.split("\n")
    return marked.replace("▸", ""), f"{len(lines)}:{len(lines[-1]) + 1}"


def core(text: str) -> object:
    """What one value is in YAML's core schema."""
    value = document.read(f"x: {text}\n", "x.yaml").value
    assert isinstance(value, dict)
    return value["x"]


# --- YAML ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no", "No", "NO", "yes", "on", "off", "y", "n", "12:30:00", "1_000", "2026-11-23"])
def test_what_yaml_1_1_takes_for_something_else_is_text(word: str) -> None:
    assert core(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("0644", 644), ("0o14", 12)),
        *(("0x1F", 31), ("-7", -7), ("1.37", 1.37), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf"))),
        *(
            ("'1'", "1"),
            ('"on"', "on"),
            ("!!str 123", "123"),
            ("!!int 5", 5),
            ("[1, a]", [1, "a"]),
            ("{a: b}", {"a": "b"}),
        ),
    ],
)
def test_everything_else_is_as_the_core_schema_says(text: str, value: object) -> None:
    assert core(text) == value
    assert type(core(text)) is type(value)


@pytest.mark.parametrize(
    ("marked", "says"),
    [
        ("nodes:\n▸\t- x", "a tab can't indent YAML (use spaces)"),
        ("name: ▸@x", "no value begins with this character (put the value in double quotes)"),
        ("name: demo\n▸---\nname: other", "a second document begins here (cluster.yaml is one document: remove it)"),
        ("name: ▸*x", "there is no anchor of this name above (write the value out)"),
        ("name: a▸: b", "a second colon on this line (put a value that holds a colon in double quotes)"),
        ("name: [a, b\n▸", "a bracket above is not closed, or a comma is missing"),
        ("name: 'a▸", "the file ends inside quotes (close them)"),
        ("a:\n  b: 1\n ▸c: 2", "this does not line up with what is above (check indentation and quotes)"),
        ("name: a▸\x07b", "the character U+0007 is not allowed in YAML (remove it)"),
        ("▸- a\n- b", "the file must be a mapping of fields, not a list (bootstrap config example shows one)"),
        ("▸just words", "the file must be a mapping of fields, not one value (bootstrap config example shows one)"),
        ("▸", "the file is empty (bootstrap config example > cluster.yaml)"),
        ("▸# only a comment\n", "the file is empty (bootstrap config example > cluster.yaml)"),
    ],
)
def test_what_is_no_cluster_yaml_at_all_is_explained(marked: str, says: str) -> None:
    text, position = at_mark(marked)
    [finding] = wrong(text)
    assert finding == f"{position}: {says}"


@pytest.mark.parametrize(
    ("marked", "says"),
    [
        (f"{MINIMAL}▸name: other\n", "name: given twice, first on line 3 (keep one)"),
        (
            f"{MINIMAL}dns: {{disabled: true, ▸disabled: false}}\n",
            "dns.disabled: given twice, first on line 6 (keep one)",
        ),
        (f"{MINIMAL}▸5: x\n", 'the name 5 is not text (write "5")'),
        (f"{MINIMAL}▸[a]: x\n", "a name has to be text, not a list or a mapping"),
        (f"{MINIMAL}dns: ▸!secret x\n", 'dns: the tag "!secret" is unknown (remove it)'),
        (f"{MINIMAL}certificateValidityDays: ▸!!int x\n", 'certificateValidityDays: "x" is no int'),
        (
            f"{MINIMAL}certificateValidityDays: ▸{'9' * 5000}\n",
            f"certificateValidityDays: {quoted('9' * 5000)} is no int",
        ),
        (f"{MINIMAL}dns: &x {{}}\nproxy:\n  ▸<<: *x\n", "proxy: YAML 1.2 has no merge key (write the fields out)"),
    ],
)
def test_what_has_no_place_in_the_tree_is_told_once(marked: str, says: str) -> None:
    text, position = at_mark(marked)
    assert wrong(text) == [f"{position}: {says}"]


def test_anchors_and_aliases_work() -> None:
    shared = MINIMAL.replace("plane}", "plane, ssh: &reach {port: 2222}}") + "ssh: *reach\n"
    cluster = parse(shared, "x")
    assert cluster.ssh.port == cluster.nodes[0].ssh.port == 2222


def laughs() -> str:
    """Lists of lists of aliases: 9 to the power of 9 values in 300 bytes."""
    lines = [f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]" for below, name in pairwise("abcdefghi")]
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *lines])


@pytest.mark.parametrize("bomb", [laughs(), "a: &a [*a]", f"a: {'[' * 10**6}"], ids=["laughs", "loop", "deep"])
def test_what_would_never_end_is_refused_at_once(bomb: str) -> None:
    began = time.process_time()
    [finding] = wrong(bomb)
    assert finding.endswith("too much is nested here")
    assert time.process_time() - began < 10


# --- everything at once, where it is ------------------------------------------------------------------------------


def test_every_error_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
apiVersion: bootstrap/v2
kind: Cluster
name: 123
kubernetesVersion: 1.37
endpont: api:6443
nodes:
- name: cp1
  address: 10.0.0.300
  role: controlplane
- adress: 10.0.0.2
  role: worker
schedulers:
- name: etcd
  nodes: [cp2]
  extraArgs:
  - name: config
    value: 5
dns: {disabled: yes}
"""
    assert wrong(text) == [
        '1:13: apiVersion: must be "bootstrap/v1", not "bootstrap/v2"',
        '3:7: name: must be text, and 123 is not, in YAML (write "123")',
        '4:20: kubernetesVersion: must be v1.37.2, v1.36.3 or v1.35.4, not 1.37 (did you mean "v1.37.2"?)',
        '5:1: endpont: unknown field (did you mean "endpoint"?)',
        '8:12: nodes[0].address: "10.0.0.300" is not an IP address (a name to reach the node by goes into ssh.host)',
        '9:9: nodes[0].role: must be "control-plane" or "worker", not "controlplane" (did you mean "control-plane"?)',
        "10:3: nodes[1].address: is missing (IP address at which the other nodes reach it)",
        '10:3: nodes[1].adress: unknown field (did you mean "address"?)',
        "10:3: nodes[1].name: is missing (Name of the node, at most 52 characters)",
        '13:9: schedulers[0].name: "etcd" is a part of every control plane (choose a name such as batch-scheduler)',
        '14:11: schedulers[0].nodes[0]: there is no node cp2 (did you mean "cp1"?)',
        "16:11: schedulers[0].extraArgs[0].name: --config can't be set here (the tool writes it, from profiles)",
        '17:12: schedulers[0].extraArgs[0].value: must be text, and 5 is not, in YAML (write "5")',
        '18:17: dns.disabled: must be true or false, not "yes" (without quotes)',
    ]


def test_the_error_carries_file_lines_what_to_type_and_the_exit_code() -> None:
    with pytest.raises(Invalid) as caught:
        parse(f"{MINIMAL}dns: 5\nproxy: 5\n", "my cluster.yaml")
    problem = caught.value
    assert problem.what == "my cluster.yaml has 2 errors"
    assert problem.why.splitlines() == [
        "my cluster.yaml:6:6: dns: must be a mapping of fields, not 5 (field: value)",
        "my cluster.yaml:7:8: proxy: must be a mapping of fields, not 5 (field: value)",
    ]
    assert problem.next == "correct the file, then: bootstrap config validate -f 'my cluster.yaml'"
    assert problem.code == Code.WRONG_FILE


def test_empty_lists_and_mappings_say_to_remove_the_line() -> None:
    assert wrong(f"{MINIMAL}schedulers:\ndns:\n") == [
        "6:12: schedulers: must be a list, and is empty (remove the line, or write a value)",
        "7:5: dns: must be a mapping of fields, and is empty (remove the line, or write a value)",
    ]


def test_a_long_value_is_shown_shortened_on_one_line() -> None:
    [finding] = wrong(MINIMAL.replace("demo", "x" * 500))
    assert len(finding) < 250
    assert "…" in finding


NAMES = st.from_regex(names.SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= names.LONGEST)


@given(NAMES)
@given_example("123")
@given_example("on")
@given_example("1e3")
@given_example("0x1")
@given_example("null")
def test_any_name_survives_in_quotes_and_without_them_is_taken_or_told_to_be_quoted(name: str) -> None:
    assert parse(MINIMAL.replace("cp1", quoted(name)), "x").nodes[0].name == name
    plain = MINIMAL.replace("cp1", name)
    try:
        assert parse(plain, "x").nodes[0].name == name
    except Invalid as invalid:
        assert f"write {quoted(name)}" in invalid.why


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_any_text_survives_in_quotes(text: str) -> None:
    value = json.dumps(text)
    assert (
        parse(f"{MINIMAL}scheduler: {{extraArgs: [{{name: x, value: {value}}}]}}\n", "x").scheduler.extra_args[0].value
        == text
    )


@given(st.text() | st.lists(st.sampled_from(re.findall(r"\S+|\s+", example())), max_size=60).map("".join))
def test_nothing_one_can_write_is_answered_by_anything_but_a_cluster_or_all_its_errors(text: str) -> None:
    try:
        assert isinstance(parse(text, "x"), Cluster)
    except Invalid as invalid:
        assert invalid.findings


def test_a_thousand_nodes_take_well_under_a_second() -> None:
    workers = "".join(
        f"- name: w{i}\n  address: 10.78.{i // 250}.{i % 250}\n  role: worker\n  labels: {{rack: r{i % 40}}}\n"
        for i in range(1000)
    )
    text = f"networking: {{podSubnet: 10.240.0.0/12, serviceSubnet: 10.96.0.0/16}}\n{MINIMAL}{workers}"
    began = time.process_time()
    assert len(parse(text, "x").nodes) == 1001
    assert time.process_time() - began < 1


# --- the example, the schema, the reference -----------------------------------------------------------------------


def switched_on() -> str:
    """The example with every field that is switched off switched on."""
    return re.sub(r"(?m)^( *)#(?! |$)", r"\1", example())


def paths_of(value: object, path: str = "") -> Iterator[str]:
    """The fields of a tree: `nodes[].ssh.port`."""
    match value:
        case dict():
            for name, inner in value.items():
                yield f"{path}.{name}".lstrip(".")
                yield from paths_of(inner, f"{path}.{name}")
        case list():
            for inner in value:
                yield from paths_of(inner, f"{path}[]")


def fields_of(place: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The fields that the schema has, the same way."""
    place = shape.resolved(place)
    if "items" in place:
        yield from fields_of(place["items"], f"{path}[]")
    for name, inner in place.get("properties", {}).items():
        yield f"{path}.{name}".lstrip(".")
        yield from fields_of(inner, f"{path}.{name}")


def test_the_example_is_a_cluster_as_it_is() -> None:
    cluster = parse(example(), "cluster.yaml")
    assert cluster.kubernetes_version == versions.DEFAULT
    assert [node.role for node in cluster.nodes] == ["control-plane", "worker"]


def test_the_example_is_a_cluster_with_everything_switched_on_too() -> None:
    assert len(parse(switched_on(), "cluster.yaml").voters) == 3


def test_the_example_shows_every_field() -> None:
    shown = set(paths_of(document.read(switched_on(), "x").value))
    of_one_kind = re.compile(
        r"(controllerManager|scheduler|schedulers\[\]|etcd)\.extra|nodes\[\]\.ssh\.|^ssh\.(host|passphraseEnv|sudoPasswordFile)"
    )
    assert [field for field in fields_of(schema()) if field not in shown and not of_one_kind.search(field)] == []


def test_the_example_fits_its_own_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    for text in (example(), switched_on()):
        jsonschema.Draft202012Validator(schema()).validate(document.read(text, "x").value)


def test_the_schema_refuses_what_the_types_refuse() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    judge = jsonschema.Draft202012Validator(schema())
    for extra in (
        "dns: 5",
        "endpont: x",
        "kubernetesVersion: v1.2.3",
        "proxy: {mode: ipvs}",
        "certificateValidityDays: 0",
    ):
        text = f"{MINIMAL.partition('nodes')[0] if 'nodes' in extra else MINIMAL}{extra}\n"
        assert wrong(text)
        assert not judge.is_valid(document.read(text, "x").value)


def test_the_reference_is_what_the_types_say() -> None:
    written = (Path(__file__).parent.parent / "docs" / "cluster-yaml.md").read_text(encoding="utf-8")
    assert written == markdown(), "print bootstrap.spec.reference.markdown() into docs/cluster-yaml.md"


def test_the_reference_lists_every_field() -> None:
    page = markdown()
    for field in fields_of(schema()):
        assert f"`{field.rpartition('.')[2]}`" in page
