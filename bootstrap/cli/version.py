"""`bootstrap version`."""

from __future__ import annotations

import click

from bootstrap.cli import options


@click.command(epilog="\b\nExamples:\n  bootstrap version\n  bootstrap version -o json")
@options.output
def command(form: str) -> None:
    """Print the versions of bootstrap and of what it installs."""
    from dataclasses import asdict
    from importlib.metadata import PackageNotFoundError, version

    from bootstrap import versions
    from bootstrap.cli import output

    try:
        ours = version("controlplane-bootstrap")
    except PackageNotFoundError:  # `python -m bootstrap` in a checkout that was never installed
        ours = "checkout"
    if form != "text":
        output.emit({"bootstrap": ours, "releases": [asdict(release) for release in versions.RELEASES]}, form)
        return
    click.echo(f"bootstrap {ours}\n")
    output.table(
        [
            ("KUBERNETES", "ETCD", "COREDNS", "PAUSE"),
            *((r.kubernetes, r.etcd, r.coredns, r.pause) for r in versions.RELEASES),
        ]
    )
