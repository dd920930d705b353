"""`bootstrap verify`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap verify\n  bootstrap verify -o json | jq '.findings[].where'\n"
    "  0 * * * * bootstrap verify -f /srv/cluster.yaml    # in a crontab: it says nothing while all is well"
)
@options.file
@options.passphrase
@options.output
def command(path: Path, form: str) -> int:
    """Find out whether nodes are as they were left; write nothing.

    Per node: recorded files with mode and owner, the generation of each part that runs, the certificates that are
    served, the kubelet's flags, files in the manifest directory that are not ours; then etcd's list and the objects of
    the API. Each finding says since when, where that can be told, and what mends it. Exit code 0: all is well, and
    nothing is printed; 2: findings; 4: some nodes can't be reached; 5: none can.
    """
    import sys
    from datetime import UTC, datetime

    from bootstrap.cli import output, passphrase
    from bootstrap.cli.opening import asked
    from bootstrap.errors import Code

    def when(since: float | None) -> str | None:
        return None if since is None else datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")

    with asked(path) as opened:
        from bootstrap import verify
        from bootstrap.workflow import Session

        with Session(opened, passphrase=passphrase.known) as session:
            found = verify.look(session)
            missing = {node: problem.what for node, problem in sorted(session.hosts.unreachable.items())}
            nodes = len(session.cluster.nodes)
    if form != "text":
        tree = {
            "apiVersion": "bootstrap/v1",
            "kind": "Verification",
            "cluster": session.cluster.name,
            "unreachable": [{"node": node, "why": why} for node, why in missing.items()],
            "findings": [
                {
                    "node": each.node,
                    "where": each.where,
                    "what": each.what,
                    "since": when(each.since),
                    "mendedByApply": each.mended,
                    "next": each.next,
                }
                for each in found
            ],
        }
        output.emit(tree, form)
    else:
        for node, why in missing.items():
            click.echo(why if why.startswith(f"{node}: ") else f"{node}: {why}")
        for each in found:
            since = f" (since {when(each.since)})" if each.since else ""
            click.echo(f"{each.node or 'cluster'}: {each.where}: {each.what}{since}")
        for next in dict.fromkeys(each.next for each in found):
            output.note(f"next: {next}")
        if not found and not missing and sys.stderr.isatty():
            output.note(f"{nodes} nodes are as they were left, and as cluster.yaml says")
    if missing:
        return Code.UNREACHABLE if len(missing) == nodes else Code.SOME_FAILED
    return Code.CHANGES if found else Code.DONE
