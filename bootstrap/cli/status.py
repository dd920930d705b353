"""`bootstrap status`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap status\n  bootstrap status -o json")
@options.file
@options.output
def command(path: Path, form: str) -> int:
    """Show nodes, components and etcd as they are now.

    Exit code 0: all healthy; 4: some are not; 5: none answers.
    """
    from bootstrap.cli import output
    from bootstrap.errors import Code
    from bootstrap.status import look
    from bootstrap.workflow import Session

    with Session(path) as session:
        found = look(session)
    if form != "text":
        output.emit(found, form)
    else:
        rows = [("NODE", "ROLE", "ADDRESS", "STATE", "PARTS")]
        for node in found["nodes"]:
            parts = ", ".join(f"{p['name']}{'' if p['healthy'] else ' (' + p['why'] + ')'}" for p in node["parts"])
            rows.append((node["name"], node["role"], node["address"], node["state"], parts or "none"))
        output.table(rows)
        for node in found["nodes"]:
            if "why" in node:
                output.note(node["why"])
            if node.get("unfinished"):
                output.note(
                    f"{node['name']}: a change was begun and is not finished; bootstrap apply finishes or undoes it"
                )
            elif node.get("rolledBack"):
                output.note(f"{node['name']}: was rolled back; bootstrap plan shows what cluster.yaml asks for")
        members = found["etcd"]
        click.echo(f"\netcd: {len(members)} members" if members is not None else "\netcd: can't be asked")
    states = {node["state"] for node in found["nodes"]}
    if states == {"healthy"}:
        return Code.DONE
    return Code.UNREACHABLE if states == {"unreachable"} else Code.SOME_FAILED
