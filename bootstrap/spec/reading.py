"""From a file to a Cluster, or to everything that is wrong with it at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bootstrap.spec import document, files, rules, wording
from bootstrap.spec.document import Document
from bootstrap.spec.faults import Fault, Finding, Invalid
from bootstrap.spec.model import Cluster

LARGEST = 8 * 2**20  # bytes: tens of thousands of nodes


def load(path: Path) -> Cluster:
    """The cluster this file describes, its own files checked too; Invalid says all that is wrong."""
    return _cluster(_text(path), str(path), path.absolute().parent)


def parse(text: str, name: str) -> Cluster:
    """The cluster this text describes; the files it names are not looked for. `name` is for errors."""
    return _cluster(text, name, None)


def _cluster(text: str, name: str, base: Path | None) -> Cluster:
    """The cluster, with the paths in it starting from `base`."""
    read = document.read(text, name)
    if not isinstance(read.value, dict):
        kind = "a list" if isinstance(read.value, list) else "one value"
        fault = Fault((), f"the file must be a mapping of fields, not {kind}", "bootstrap config example shows one")
        raise Invalid(name, [read.finding(fault)])
    cluster, faults = None, []
    try:
        cluster = Cluster.model_validate(read.value, context=base)
    except ValidationError as error:
        faults = list(wording.faults(error, read))
    fields = {fault.where for fault in faults}  # a field that is wrong by itself is not told of twice
    over_several = [*rules.check(read.value), *(files.check(read.value, base) if base else ())]
    faults += [fault for fault in over_several if fault.where not in fields]
    findings = list(_findings(read, faults))
    if cluster is None or findings:
        raise Invalid(name, findings)
    return cluster


def _findings(read: Document, faults: list[Fault]) -> Iterator[Finding]:
    """Everything with its position; what YAML could not make a value of is not told of again as a value."""
    yield from read.findings
    told = {(finding.line, finding.column) for finding in read.findings}
    for finding in map(read.finding, faults):
        if (finding.line, finding.column) not in told:
            yield finding


def _text(path: Path) -> str:
    """What the file holds."""
    name, quoted = str(path), shlex.quote(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        what = f"there is no file {name}"
        raise Invalid(name, what=what, next=f"bootstrap config example > {quoted}, or name another with -f") from None
    except IsADirectoryError:
        what, inside = f"{name} is a directory", shlex.quote(str(path / "cluster.yaml"))
        raise Invalid(name, what=what, next=f"name the file in it: -f {inside}") from None
    except OSError as error:
        what = f"{name} can't be read: {error.strerror}"
        raise Invalid(name, what=what, next=f"ls -l {quoted}") from None
    if len(content) > LARGEST:
        what = f"{name} is larger than {LARGEST // 2**20} MiB, which no cluster.yaml is"
        raise Invalid(name, what=what, next="name another file with -f")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = document.position(error.object[: error.start].decode("utf-8-sig"))
        problem = f"the byte 0x{error.object[error.start]:02X} is not UTF-8"
        raise Invalid(name, [Finding(line, column, "", problem, "save the file as UTF-8")]) from None
