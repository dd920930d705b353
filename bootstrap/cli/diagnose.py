"""`bootstrap diagnose`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap diagnose cp1\n  bootstrap diagnose -o json | jq '.nodes[].causes'")
@click.argument("nodes", nargs=-1, metavar="[NODE…]")
@options.file
@options.output
def command(nodes: tuple[str, ...], path: Path, form: str) -> int:
    """Say what is wrong on a node, why, and what to do about it; all nodes where none is named.

    Exit codes and last words of containers, the kubelet's complaints, who listens where, certificates, clock, disks;
    and the cause in words, where it can be told. Nothing is written on any node. Exit code 0: all is well; 4: it is
    not; 5: none answers.
    """
    from bootstrap import examine, redact, roster
    from bootstrap.cli import output
    from bootstrap.errors import Code, Problem
    from bootstrap.machines import Opened
    from bootstrap.workflow import Session

    with Opened(path) as opened, Session(opened) as session:
        known = [node.name for node in session.cluster.nodes]
        roster.unknown(nodes, known)
        secrets = redact.secrets(session.store)
        found = examine.look(session, nodes or known)
    if form != "text":
        output.emit(examine.tree(session.cluster.name, found, secrets), form)
    else:
        for it in found.values():
            if isinstance(it, Problem):
                output.complain(it)
            else:
                click.echo(examine.text(it, secrets))
    if all(isinstance(it, Problem) for it in found.values()):
        return Code.UNREACHABLE
    well = all(not isinstance(it, Problem) and it.healthy for it in found.values())
    return Code.DONE if well else Code.SOME_FAILED
