"""`bootstrap preflight`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap preflight\n  bootstrap preflight --ignore-preflight-errors Mem,Port-6443\n"
    "  bootstrap preflight -o json | jq -r '.nodes[].findings[].name'"
)
@options.file
@options.output
@options.ignore
def command(path: Path, form: str, ignored: tuple[str, ...]) -> int:
    """Find out whether the machines are fit for it, all of them at once; change nothing.

    Programs, unit, version and runtime of the kubelet, images, ports with their owners, disks, clocks, addresses,
    other clusters' files, clones, and whether nodes reach each other's ports: a listener on one side, and a dial from
    the other. `init`, `join` and `apply` do the same with nodes that are new. Exit code 0: nothing that stops, perhaps
    warnings; 7: errors; 5: some nodes can't be reached. docs/faults.md lists every finding.
    """
    from bootstrap.cli import output
    from bootstrap.cli.opening import asked
    from bootstrap.errors import Code

    progress = output.Progress("bootstrap preflight")
    with asked(path, surveys=True) as opened:
        from bootstrap.workflow import Session

        with Session(opened, progress.report, ignored=ignored) as session, progress.shown():
            facts, _ = session.observe(session.hosts.addresses)
            found = session.preflight(facts, facts.keys())
            unreachable = dict(session.hosts.unreachable)
            nodes = [node.name for node in session.cluster.nodes]
    if form != "text":
        tree = {
            "apiVersion": "bootstrap/v1",
            "kind": "Preflight",
            "cluster": session.cluster.name,
            "nodes": [
                {
                    "name": name,
                    "reached": name not in unreachable,
                    "why": unreachable[name].what if name in unreachable else "",
                    "findings": [
                        {
                            "name": each.name,
                            "level": str(each.level),
                            "ignored": each.ignored,
                            "finding": each.sentence,
                            "next": each.next,
                        }
                        for each in found
                        if each.node == name
                    ],
                }
                for name in nodes
            ],
        }
        output.emit(tree, form)
    else:
        if found:
            rows = [(each.node, "ignored" if each.ignored else each.level, each.name, each.sentence) for each in found]
            output.table([("NODE", "LEVEL", "CHECK", "FINDING"), *rows])
        for next in dict.fromkeys(each.next for each in found):
            output.note(f"next: {next}")
        for problem in unreachable.values():
            output.complain(problem)
        if not found and not unreachable:
            output.note(f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} looked at: nothing is in the way")
    if unreachable:
        return Code.UNREACHABLE
    return Code.REFUSED if any(each.stops for each in found) else Code.DONE
