"""The command line without a node: help, completion, exit codes, and that every command people read about exists."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from bootstrap import credentials, images, spec, state
from bootstrap.cli import cli
from tests.commands import bootstrap

ROOT = Path(__file__).parent.parent
HEAVY = ("cryptography", "fabric", "httpx2", "jinja2", "paramiko", "pydantic", "rich", "yaml")
NOBODY = {  # nothing listens on port 1
    "apiVersion": "bootstrap/v1",
    "kind": "Cluster",
    "name": "nobody",
    "nodes": [{"name": "cp1", "address": "10.0.0.1", "role": "control-plane", "ssh": {"host": "127.0.0.1", "port": 1}}],
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with the cluster.yaml of a node that nobody can reach."""
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(NOBODY))
    return tmp_path


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, as its words."""
    waiting: list[tuple[tuple[str, ...], click.Command]] = [((), cli)]
    while waiting:
        words, command = waiting.pop()
        yield words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found
                waiting.append(((*words, name), found))


def printed(*words: str) -> str:
    """The help of a command."""
    shown = CliRunner().invoke(cli, [*words, "--help"])
    assert shown.exit_code == 0
    return shown.output


# Help


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_help_of_every_command_says_what_it_does_and_shows_examples(words: tuple[str, ...]) -> None:
    text = printed(*words)
    assert re.search(r"^Usage: .*\n\n  [A-Z].*\.$", text, re.MULTILINE | re.DOTALL)
    _, _, examples = text.partition("  Examples:\n")
    assert " ".join(("bootstrap", *words)) in examples


def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with() -> None:
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", printed().split("Commands:")[1], re.MULTILINE))
    context = click.Context(cli)
    assert {"init", "plan", "apply", "reset"} <= listed.keys()
    assert listed.keys() == set(cli.list_commands(context))


def test_help_imports_nothing_heavy() -> None:
    script = f"""
import sys
from bootstrap.cli import main
sys.argv = ["bootstrap", "--help"]
try:
    main()
finally:
    print("heavy:", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("heavy:")


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")])
def test_the_completion_of_a_shell_is_printed(shell: str, sign: str, tmp_path: Path) -> None:
    assert sign in completion(tmp_path, f"{shell}_source")


def test_completion_knows_commands_and_options(tmp_path: Path) -> None:
    def completed(*words: str) -> set[str]:
        line = {"COMP_WORDS": " ".join(("bootstrap", *words)), "COMP_CWORD": str(len(words))}
        return {each.split(",")[1] for each in completion(tmp_path, "bash_complete", **line).split()}

    assert completed("ini") == {"init"}
    assert completed("config", "va") == {"validate"}
    assert "--timeout" in completed("init", "--")


def completion(at: Path, instruction: str, **variables: str) -> str:
    """What click's completion prints for our program."""
    return bootstrap(at=at, _BOOTSTRAP_COMPLETE=instruction, **variables).out


# Everything that people are told to type


def told() -> Iterator[tuple[str, str]]:
    """(where, command line) of every `bootstrap …` in shell blocks of the pages, and in the examples of the help."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "vagrant/README.md"):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                yield from ((page.name, found) for found in re.findall(r"^(?:\$ )?(bootstrap .*)", line.strip()))
    for words in commands():
        for line in printed(*words).partition("  Examples:\n")[2].splitlines():
            yield from ((" ".join(("help", *words)), found) for found in re.findall(r"\bbootstrap .*", line))


@pytest.mark.parametrize("line", sorted({line for _, line in told()}))
def test_every_command_people_are_told_to_type_exists(line: str) -> None:
    words = shlex.split(re.split(r"[|>)]", line, maxsplit=1)[0], comments=True)[1:]
    command: click.Command = cli
    context = cli.make_context("bootstrap", words)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found, line
        command = found
        with contextlib.suppress(click.exceptions.Exit):  # --help
            context = command.make_context(name, words, parent=context)


def test_pages_tell_people_what_to_type() -> None:
    assert {"README.md", "help init"} <= {where for where, _ in told()}


# How it ends


def test_a_command_that_does_not_exist_is_a_mistake_of_usage(here: Path) -> None:
    ended = bootstrap("aply", at=here)
    assert ended.status == 64
    assert "Did you mean 'apply'?" in ended.err


def test_an_option_that_does_not_exist_is_a_mistake_of_usage(here: Path) -> None:
    assert bootstrap("init", "--force", at=here).status == 64


def test_no_file_is_a_wrong_file(tmp_path: Path) -> None:
    ended = bootstrap("plan", at=tmp_path)
    assert ended.status == 3
    assert "cluster.yaml" in ended.err
    assert "next: " in ended.err


def test_every_error_of_a_file_is_told_at_once_with_its_line(here: Path) -> None:
    wrong = NOBODY | {"kubernetesVersion": "v9.9.9", "colour": "blue", "nodes": [{"name": "A_", "role": "boss"}]}
    (here / "cluster.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    ended = bootstrap("config", "validate", at=here)
    assert ended.status == 3
    assert ended.out == ""
    for path in ("kubernetesVersion", "colour", "nodes[0].address", "nodes[0].name", "nodes[0].role"):
        assert re.search(rf"cluster\.yaml:\d+:\d+: {re.escape(path)}\b", ended.err), ended.err


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("init",),
            ("plan",),
            ("apply", "--yes"),
            ("apply", "--dry-run"),
            ("verify",),
            ("reset", "--yes"),
            ("status",),
        ),
        *(("preflight",), ("images", "pull")),
    ],
)
def test_a_node_that_nobody_can_reach_is_told_with_what_to_type(here: Path, words: tuple[str, ...]) -> None:
    ended = bootstrap(*words, at=here)
    assert ended.status == 5
    assert "127.0.0.1" in ended.out + ended.err
    assert "Traceback" not in ended.err
    assert not list((here / ".bootstrap").rglob("*.key")), "keys are made once the nodes were read"


def test_status_is_for_programs_too_when_nobody_answers(here: Path) -> None:
    ended = bootstrap("status", "-o", "json", at=here)
    assert ended.status == 5
    (node,) = json.loads(ended.out)["nodes"]
    assert node["state"] == "unreachable"


def test_preflight_is_for_programs_too_when_nobody_answers(here: Path) -> None:
    ended = bootstrap("preflight", "-o", "json", at=here)
    assert ended.status == 5
    (node,) = json.loads(ended.out)["nodes"]
    assert (node["reached"], node["findings"]) == (False, [])
    assert "127.0.0.1" in node["why"]


@pytest.mark.parametrize("command", ["init", "join", "apply", "preflight"])
def test_a_finding_that_does_not_exist_is_a_mistake_of_usage(here: Path, command: str) -> None:
    ended = bootstrap(command, "--ignore-preflight-errors", "Swap,Prot-6443", at=here)
    assert ended.status == 64
    assert "did you mean Port?" in ended.err


def test_images_are_listed_by_node_without_asking_any(here: Path) -> None:
    cluster = spec.load(here / "cluster.yaml")
    ended = bootstrap("images", "list", at=here)
    assert ended.status == 0
    head, *lines = [line.split() for line in ended.out.splitlines()]
    assert head == ["IMAGE", "NODES"]
    assert [image for image, _ in lines] == list(images.needed(cluster))
    assert {nodes for _, nodes in lines} == {"cp1"}


def test_images_of_a_node_that_the_file_lacks_can_not_be_pulled(here: Path) -> None:
    ended = bootstrap("images", "pull", "--nodes", "cp9", at=here)
    assert ended.status == 64
    assert "cluster.yaml names no node cp9" in ended.err


def test_a_kubeconfig_of_a_cluster_that_was_not_founded_here_is_refused(here: Path) -> None:
    ended = bootstrap("kubeconfig", at=here)
    assert ended.status == 6
    assert "next: bootstrap init" in ended.err


# Rendering


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    found = (Path(place) / name for place, _, names in os.walk(directory) for name in names)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_render_needs_no_node_and_no_state_and_marks_throw_away_credentials(here: Path) -> None:
    ended = bootstrap("render", "-o", "out", at=here)
    assert ended.status == 0
    assert "throw-away" in ended.out
    rendered = tree(here / "out")
    assert "THROW-AWAY" in rendered
    assert "nodes/cp1/etc/kubernetes/manifests/etcd.yaml" in rendered
    assert not (here / ".bootstrap").exists()
    assert not (here / "out/nodes/cp1/etc/kubernetes/admin.conf").stat().st_mode & 0o077


def test_render_takes_the_credentials_there_are_and_writes_none(here: Path) -> None:
    cluster = spec.load(here / "cluster.yaml")
    directory = state.directory(here / "cluster.yaml", cluster.name)
    credentials.issue(cluster, state.Store(directory), datetime.now(UTC))
    before = tree(directory)
    bootstrap("render", "-o", "out", at=here)
    again = bootstrap("render", "-o", "again", at=here)
    assert "throw-away" not in again.out
    assert tree(here / "out") == tree(here / "again")
    assert tree(here / "out")["nodes/cp1/etc/kubernetes/pki/ca.crt"] == before["pki/ca.crt"]
    assert tree(directory) == before


def test_render_takes_the_mark_away_with_the_throw_away_credentials(here: Path) -> None:
    bootstrap("render", "-o", "out", at=here)
    cluster = spec.load(here / "cluster.yaml")
    credentials.issue(cluster, state.Store(state.directory(here / "cluster.yaml", "nobody")), datetime.now(UTC))
    bootstrap("render", "-o", "out", at=here)
    assert "THROW-AWAY" not in tree(here / "out")
