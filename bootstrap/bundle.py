"""What `support-bundle` collects of every node and of this workstation, without secrets: an archive to send away."""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from bootstrap import disk, documents, examine, facts, redact, status, versions
from bootstrap.errors import Problem
from bootstrap.examine import Examined
from bootstrap.workflow import Session

LINES = 500  # of each log
LOGS = ("bootstrap.log.1", "bootstrap.log")
PACKAGES = ("controlplane-bootstrap", "click", "cryptography", "fabric", "httpx2", "paramiko", "pydantic", "rich")


def collect(session: Session, file: Path) -> dict[str, bytes]:
    """Name in the archive -> content; each passed through `redact`, with every secret of the state directory known."""
    secrets = redact.secrets(session.store)
    nodes = examine.look(session, [node.name for node in session.cluster.nodes], lines=LINES)
    texts: dict[str, str] = {
        "README": "No keys, tokens, passwords or values of environments are in here; names and addresses are.\n",
        "versions.json": _json(_versions()),
        "status.json": _json(redact.tree(status.look(session), secrets)),
        "diagnosis.json": _json(examine.tree(session.cluster.name, nodes, secrets)),
        "cluster.yaml": _yaml(file.read_text(encoding="utf-8"), secrets),
    }
    texts |= {name: _text(session.directory / name) for name in LOGS if (session.directory / name).is_file()}
    for name, it in nodes.items():
        texts |= {f"nodes/{name}/{path}": text for path, text in _node(session, name, it, secrets)}
    return {name: redact.redact(text, secrets).encode() for name, text in texts.items()}


def _node(session: Session, name: str, it: Examined | Problem, secrets: list[str]) -> Iterator[tuple[str, str]]:
    if isinstance(it, Problem):
        yield "unreachable", f"{it.what}\n{it.why}\n"
        return
    known = session.hosts.known[name]
    yield "diagnosis", examine.text(it) + "\n"
    yield "facts.json", _json(redact.tree(asdict(known), secrets))
    yield "record.json", facts.to_json(known.record).decode()
    yield "kubelet.log", _lines(it.told.journal)
    for part, attempts in it.told.attempts.items():
        for each in attempts:
            yield f"logs/{part}.{each.number}.log", _lines(each.lines)
    for path, text in it.told.manifests.items():
        yield f"manifests/{Path(path).name}", _yaml(text, secrets)


def _versions() -> dict[str, Any]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return {
        "packages": found,
        "python": platform.python_version(),
        "system": platform.platform(),
        "releases": [asdict(release) for release in versions.RELEASES],
    }


def _yaml(text: str, secrets: list[str]) -> str:
    """Read and written again, so that comments go and fields are known; what can't be read stays out."""
    try:
        return "---\n".join(documents.dump(redact.tree(each, secrets)) for _, each in documents.load(text))
    except yaml.YAMLError as error:
        return f"# left out, since it can't be read: {type(error).__name__}\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json(tree: object) -> str:
    return json.dumps(tree, indent=2, default=lambda each: sorted(each) if isinstance(each, frozenset) else str(each))


def write(session: Session, file: Path, target: Path) -> int:
    """How many files the archive has; only its owner can read it."""
    content = collect(session, file)
    top = target.name.removesuffix(".tar.gz").removesuffix(".tgz")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in sorted(content.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mode = len(text), 0o600
            tar.addfile(entry, io.BytesIO(text))
    disk.write(target, archive.getvalue())
    return len(content)
