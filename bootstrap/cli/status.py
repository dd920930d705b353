"""`bootstrap status`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap status\n  bootstrap status -o json")
@options.file
@options.output
def command(path: Path, form: str) -> int:
    """Show nodes, components and etcd as they are now.

    With versions, etcd's leader, when the first certificate of each node ends, what is not as it was left, and, with
    kubeadmJoin, who waits for a serving certificate.

    Exit code 0: all healthy; 4: some are not, or not Ready; 5: none answers.
    """
    from bootstrap.cli import output
    from bootstrap.cli.opening import asked
    from bootstrap.errors import Code

    with asked(path) as opened:
        from bootstrap.status import look
        from bootstrap.workflow import Session

        with Session(opened) as session:
            found = look(session)
    if form != "text":
        output.emit(found, form)
    else:
        _told(found)
    states = {node["state"] for node in found["nodes"]}
    if states == {"healthy"} and all(node["ready"] is not False for node in found["nodes"]):
        return Code.DONE
    return Code.UNREACHABLE if states == {"unreachable"} else Code.SOME_FAILED


def _told(found: Mapping[str, Any]) -> None:
    from bootstrap.cli import output

    rows = [("NODE", "ROLE", "STATE", "READY", "KUBELET", "CERTIFICATES", "PARTS")]
    for node in found["nodes"]:
        parts = ", ".join(_part(part) for part in node["parts"])
        first = node.get("certificates")
        rows.append(
            (
                node["name"],
                node["role"],
                node["state"],
                {None: "unknown", True: "yes", False: "no"}[node["ready"]] + ", cordoned" * node["cordoned"],
                node["kubelet"] or "unknown",
                f"{first['days']} days" if first else "unknown",
                parts or "none",
            )
        )
    output.table(rows)
    for node in found["nodes"]:
        for text in _notes(node):
            output.note(f"{node['name']}: {text}")
    for request in found["requests"]:
        todo = f"not approved by us: {request['wrong']}" if request["wrong"] else "bootstrap apply approves it"
        output.note(f"{request['user']} asks for its serving certificate ({request['name']}): {todo}")
    version = found["kubernetes"] or "the API can't be asked"
    click.echo(f"\nKubernetes: {version}")
    if found["etcd"] is None:
        click.echo("etcd: can't be asked")
        return
    members = [
        " ".join(
            [member["name"], member["version"] or "(no answer)"]
            + ["leads"] * member["leader"]
            + ["(learner)"] * (not member["votes"])
            + ([f"alarm {member['alarm']}"] if member["alarm"] else [])
        )
        for member in found["etcd"]
    ]
    click.echo(f"etcd: {len(members)} members" + (f": {', '.join(members)}" if members else ""))


def _part(part: Mapping[str, Any]) -> str:
    """With the version it runs, where the API tells, and with what it lacks."""
    version = f" {part['version']}" if part["version"] else ""
    return f"{part['name']}{version}" + ("" if part["healthy"] else f" ({part['why']})")


def _notes(node: Mapping[str, Any]) -> list[str]:
    """What somebody should look after, and by which command."""
    notes = []
    if "why" in node:
        notes.append(node["why"].removeprefix(f"{node['name']}: "))
    if node["ready"] is False:
        notes.append("is not Ready in the API; kubectl describe node says why")
    if node.get("unfinished"):
        notes.append("a change was begun and is not finished; bootstrap apply finishes or undoes it")
    elif node.get("rolledBack"):
        notes.append("was rolled back; bootstrap plan shows what cluster.yaml asks for")
    elif drifted := node.get("drift"):
        notes.append(f"{len(drifted)} not as it was left ({', '.join(drifted[:3])}); bootstrap verify says how")
    if (first := node.get("certificates")) and first["days"] < 30:
        notes.append(f"{first['path']} ends on {first['ends']}; bootstrap apply makes it anew")
    return notes
