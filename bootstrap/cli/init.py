"""`bootstrap init`."""

from __future__ import annotations

from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap init\n  bootstrap init -f lab/cluster.yaml --timeout 600",
)
@options.file
@options.timeout
def command(path: Path, timeout: float) -> int:
    """Found a cluster, or bring up what is down of it.

    Certificates and kubeconfigs are made in the state directory beside cluster.yaml, the nodes get their files over
    SSH, and their kubelets bring the control plane up. Running it again changes nothing; where cluster.yaml asks for
    a change of something that runs, it stops with exit code 2 and names `bootstrap apply`.
    """
    from bootstrap.cli.changing import Change, change
    from bootstrap.cli.output import note

    status = change(Change("init", path, timeout))
    note(f"next: bootstrap kubeconfig{'' if str(path) == 'cluster.yaml' else f' -f {path}'} > ~/.kube/config")
    return status
