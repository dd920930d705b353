"""`bootstrap init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bootstrap.cli import options


@click.command(
    epilog="\b\nExamples:\n  bootstrap init\n  bootstrap init -f lab/cluster.yaml --timeout 600",
)
@options.changing
@options.skip_phases
@options.ignore
def command(path: Path, timeout: float, wait: float, skip_phases: tuple[str, ...], ignored: tuple[str, ...]) -> int:
    """Found a cluster, or bring up what is down of it.

    Certificates and kubeconfigs are made in the state directory beside cluster.yaml, the nodes get their files over
    SSH, and their kubelets bring the control plane up. What `bootstrap preflight` finds on new nodes stops it before
    anything is changed. Running it again changes nothing; where cluster.yaml asks for
    a change of something that runs, it stops with exit code 2 and names `bootstrap apply`.
    """
    from bootstrap.cli.opening import asked
    from bootstrap.cli.output import note

    with asked(path, "init", surveys=True) as opened:
        from bootstrap.cli.changing import Change, change, scope

        status = change(Change("init", opened, timeout, wait, scope=scope((), skip_phases), ignored=ignored))
    named = "" if str(path) == "cluster.yaml" else f" -f {shlex.quote(str(path))}"
    note(f"next: bootstrap kubeconfig{named} > ~/.kube/config")
    return status
