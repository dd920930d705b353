"""The pages people read: what they link to, name and promise is there."""

from __future__ import annotations

import ast
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.cli import COMMANDS

HERE = Path(__file__).parent.parent
ELSEWHERE = {"node_modules", "dist"}  # beside every directory whose name begins with a dot
PAGES = sorted(
    path.relative_to(HERE).as_posix()
    for path in HERE.rglob("*.md")
    if not any(part.startswith(".") or part in ELSEWHERE for part in path.relative_to(HERE).parts)
)
ADRS = sorted((HERE / "docs" / "adr").glob("*.md"))
MODULES = sorted(
    path.stem
    for path in (HERE / "bootstrap").iterdir()
    if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists())
)
SOURCES = sorted(
    path.relative_to(HERE).as_posix() for top in ("bootstrap", "pki", "tests") for path in (HERE / top).rglob("*.py")
)

FENCE = re.compile(r"^(?P<mark>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=mark)$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TREES = r"(?:bootstrap|pki|templates|tests|docs|vagrant|\.ci)/[\w./*-]*"


def text(page: str) -> str:
    """A page."""
    return (HERE / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page less its blocks of code."""
    return FENCE.sub("", text(page))


def code(page: str) -> Iterator[str]:
    """What a page shows as code: blocks of shell, and every word between backticks."""
    yield from (found["text"] for found in FENCE.finditer(text(page)) if found["language"] == "sh")
    yield from SPAN.findall(prose(page))


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads(text("pyproject.toml"))


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page, as GitHub names it."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_inside_the_project_leads_somewhere(page: str) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (HERE / page).parent / path if path else HERE / page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_is_there(page: str) -> None:
    for span in SPAN.findall(prose(page)):
        if re.fullmatch(TREES, span) and span != "bootstrap/v1":  # the file's apiVersion
            assert list(HERE.glob(span.rstrip("/"))), span


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for words in re.findall(r"(?:^|&& )make((?: [a-z-]+)+)", "\n".join(code(page)), re.MULTILINE):
        assert set(words.split()) <= targets, words


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_exists(page: str) -> None:
    for word in re.findall(r"(?:^|(?<!from)[ (])bootstrap ([a-z][a-z-]+)", "\n".join(code(page)), re.MULTILINE):
        assert word in COMMANDS, word


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in (HERE / "tests").glob("test_*.py"))
    for span in SPAN.findall(prose(page)):
        if re.fullmatch(r"test_\w+", span):
            assert f"def {span}(" in written, span


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_python_that_is_named_can_be_imported(page: str) -> None:
    names = [span for span in SPAN.findall(prose(page)) if re.fullmatch(r"bootstrap(\.\w+)+", span)]
    for block in FENCE.finditer(text(page)):
        if block["language"] == "python":
            names += imported(block["text"])
    for name in names:
        pkgutil.resolve_name(name)


def imported(program: str) -> list[str]:
    """Every name a program imports from us, and every attribute it takes of a name of theirs."""
    tree = ast.parse(program)
    names = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    ours = {name.rpartition(".")[2]: name for name in names if name.startswith("bootstrap")}
    used = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    return [
        *ours.values(),
        *(f"{ours[str(ast.unparse(it.value))]}.{it.attr}" for it in used if ast.unparse(it.value) in ours),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_directory_of_the_machine_it_was_written_on(page: str) -> None:
    assert not re.findall(r"(?<![\w~.])/(?:root|home|Users)/\w\S*", text(page))


def test_the_layers_of_the_architecture_are_those_that_are_enforced() -> None:
    (contract,) = (it for it in project()["tool"]["importlinter"]["contracts"] if it["type"] == "layers")
    shown = re.search(r"<!-- layers -->\n```text\n(.*?)```", text("docs/architecture.md"), re.DOTALL)
    assert shown
    assert shown[1].splitlines() == contract["layers"]


def test_the_architecture_names_every_module() -> None:
    cells = re.findall(r"^\| (`[^|]*) \|", prose("docs/architecture.md"), re.MULTILINE)
    named = {span.rstrip("/") for cell in cells for span in SPAN.findall(cell)}
    assert set(MODULES) - {"__main__"} - named == set()


@pytest.mark.parametrize("source", SOURCES)
def test_a_module_opens_with_a_sentence_that_says_what_it_is_for(source: str) -> None:
    if source.endswith("__main__.py") or (HERE / source).read_text(encoding="utf-8").strip():
        said = ast.get_docstring(ast.parse(text(source)))
        assert said
        assert re.match(r"\S.*[.?!:…]", said.split("\n\n")[0].replace("\n", " ")), said


def test_decisions_are_numbered_without_gaps_and_titled_with_their_number() -> None:
    assert [path.name[:5] for path in ADRS] == [f"{number:04}-" for number in range(1, len(ADRS) + 1)]
    for number, path in enumerate(ADRS, 1):
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. ")


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_a_decision_says_its_context_what_was_decided_and_what_follows_on_half_a_page(path: Path) -> None:
    heads = re.findall(r"^\*\*(\w+)[.,]", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert (heads[:2], heads[-1]) == (["Context", "Decision"], "Consequences")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 35


def test_the_changelog_has_the_version_of_the_package() -> None:
    versions = re.findall(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == project()["project"]["version"]


def test_every_page_the_package_is_shipped_with_is_there() -> None:
    for name in project()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (HERE / name.lstrip("/")).exists(), name
