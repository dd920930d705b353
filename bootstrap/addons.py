"""The only module that reads the user's own manifests: files and directories of YAML or JSON become objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bootstrap import documents
from bootstrap.documents import Object
from bootstrap.errors import Code, Problem

_SUFFIXES = (".yaml", ".yml", ".json")


def read(path: Path) -> Iterator[Object]:
    """The objects of a manifest file, or of a directory's *.yaml, *.yml and *.json in order of name.

    Lists are taken apart; nothing is added. A Problem names the file, the document and its line.
    """
    if not path.is_dir():
        yield from _file(path)
        return
    names = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES and entry.is_file())
    if not names:
        raise _problem(path, f"the directory has no {', '.join(f'*{suffix}' for suffix in _SUFFIXES)}")
    for name in names:
        yield from _file(name)


def _file(path: Path) -> Iterator[Object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = [(1, json.loads(text))] if path.suffix == ".json" else list(documents.load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(path, f"it can't be read: {error}") from error
    except json.JSONDecodeError as error:
        raise _problem(path, f"line {error.lineno}: {error.msg}") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _problem(path, f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise _problem(path, str(error)) from error
    for number, (first, document) in enumerate(found, 1):
        yield from _objects(path, f"document {number} (line {first})", document)


def _objects(path: Path, where: str, document: Any) -> Iterator[Object]:
    match document:
        case {"kind": str(kind), "items": list(items)} if kind.endswith("List"):
            for number, item in enumerate(items, 1):
                yield from _objects(path, f"{where}, item {number}", item)
        case dict():
            metadata = document.get("metadata")
            name = metadata.get("name") if isinstance(metadata, dict) else None
            fields = {"apiVersion": document.get("apiVersion"), "kind": document.get("kind"), "metadata.name": name}
            if wrong := [_fault(field, value) for field, value in fields.items() if _fault(field, value)]:
                raise _problem(path, f"{where}: {', '.join(wrong)}")
            yield document
        case _:
            raise _problem(path, f"{where}: it is not a mapping")


def _fault(field: str, value: object) -> str:
    match value:
        case None | "":
            return f"it has no {field}"
        case str():
            return ""
        case _:
            return f"its {field} is not text"


def _problem(path: Path, why: str) -> Problem:
    return Problem(
        f"{path} is no manifest that can be applied",
        why=why,
        next="correct the file, or take it out of `addons` in cluster.yaml",
        code=Code.WRONG_FILE,
    )
