"""`bootstrap token`: who may join by `kubeadm join`, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootstrap.cli import options

if TYPE_CHECKING:
    from bootstrap.kube import Kube
    from bootstrap.tokens import Token
    from bootstrap.workflow import Session


@click.group(
    epilog="\b\nExamples:\n  bootstrap token create\n  bootstrap token create --ttl 2h --description 'rack 7'\n"
    "  bootstrap token list\n  bootstrap token delete 4k2j9x"
)
def command() -> None:
    """Tokens by which machines join as workers, by `kubeadm join`.

    They need `kubeadmJoin: true` in cluster.yaml, applied.
    """


@command.command(epilog="\b\nExamples:\n  bootstrap token create\n  bootstrap token create --ttl 30m --token-only")
@options.file
@click.option("--ttl", default="24h", show_default=True, metavar="TIME", help="How long it counts; 0: for ever.")
@click.option("--description", default="", metavar="TEXT", help="What it is for, for people.")
@click.option(
    "--print-join-command/--token-only",
    "whole",
    default=True,
    help="Print the line to run on the machine (the default), or the token alone.",
)
@options.output
def create(path: Path, ttl: str, description: str, form: str, *, whole: bool) -> None:
    """Make a token, and print the line that joins a machine.

    The machine needs a container runtime, the kubelet and kubeadm. Once it has joined, `bootstrap apply` approves the
    serving certificate that its kubelet asks for: without it, logs and exec do not work there.
    """
    from datetime import UTC, datetime

    from bootstrap import credentials, tokens
    from bootstrap.cli.output import emit, note
    from bootstrap.errors import Code, Problem

    try:
        lasts = tokens.lifetime(ttl)
    except ValueError:
        raise Problem(
            f"--ttl {ttl!r} is no time", next="write it like 24h, 30m or 1h30m; 0: for ever", code=Code.USAGE
        ) from None
    made = tokens.new(datetime.now(UTC), lasts, description)
    with _api(path) as (session, kube):
        tokens.put(kube, made)
        line = tokens.line(session.cluster.public_url, made, credentials.pin(session.store))
    if form != "text":
        kind = {"apiVersion": "bootstrap/v1", "kind": "Token"}
        emit(kind | _tree(made) | {"token": made.text, "joinCommand": line}, form)
        return
    click.echo(line if whole else made.text)
    note("next: run `kubeadm join` on the machine, as root; then here: bootstrap apply")


@command.command("list", epilog="\b\nExamples:\n  bootstrap token list\n  bootstrap token list -o json")
@options.file
@options.output
def listed(path: Path, form: str) -> None:
    """Show the tokens there are, less what is secret of them."""
    from bootstrap import tokens
    from bootstrap.cli.output import emit, table

    with _api(path) as (_, kube):
        found = tokens.every(kube)
    if form != "text":
        emit({"apiVersion": "bootstrap/v1", "kind": "TokenList", "tokens": [_tree(each) for each in found]}, form)
    elif found:
        trees = [_tree(each) for each in found]
        rows = [
            (each["id"], each["expires"] or "never", ", ".join(each["usages"]), each["description"]) for each in trees
        ]
        table([("ID", "EXPIRES", "USAGES", "DESCRIPTION"), *rows])
    else:
        click.echo("there are no tokens")


@command.command(epilog="\b\nExamples:\n  bootstrap token delete 4k2j9x")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@options.file
def delete(ids: tuple[str, ...], path: Path) -> None:
    """Take tokens away; who has joined by them stays."""
    from bootstrap import tokens
    from bootstrap.cli.output import note
    from bootstrap.errors import Code, Problem

    names = [each.partition(".")[0] for each in ids]  # who pastes a whole token means its id
    if any(not tokens.ID.fullmatch(name) for name in names):
        raise Problem("that is no token's id", next="bootstrap token list", code=Code.USAGE)
    with _api(path) as (_, kube):
        if missing := sorted(set(names) - {each.id for each in tokens.every(kube)}):
            raise Problem(f"there is no token {', '.join(missing)}", next="bootstrap token list")
        for name in names:
            tokens.delete(kube, name)
    note(f"deleted: {', '.join(names)}")


@contextmanager
def _api(path: Path) -> Iterator[tuple[Session, Kube]]:
    """The API of a cluster that takes tokens; Problem when it does not, or can't be asked."""
    from bootstrap import joining
    from bootstrap.errors import Code, Problem
    from bootstrap.machines import Opened
    from bootstrap.workflow import Session

    with Opened(path) as opened, Session(opened) as session:
        if not session.cluster.kubeadm_join:
            raise Problem(
                f"{path} does not say kubeadmJoin: true",
                why="without it no machine can join by a token",
                next="write kubeadmJoin: true, then: bootstrap apply",
                code=Code.CHANGES,
            )
        kube = session.api()
        if kube.get(f"/api/v1/namespaces/{joining.PUBLIC}/configmaps/{joining.INFO}") is None:
            raise Problem("the cluster does not take tokens yet", next="bootstrap apply", code=Code.CHANGES)
        yield session, kube


def _tree(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "expires": token.expires and token.expires.isoformat().replace("+00:00", "Z"),
        "usages": list(token.usages),
        "description": token.description,
    }
