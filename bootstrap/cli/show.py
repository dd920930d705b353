"""How a plan reads for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

Tree = Mapping[str, Any]

SEATS = {"none": "no member", "learner": "a learner", "voter": "a voter"}


def plan(told: Tree) -> None:
    """Wave by wave: every file with what differs in it, what stops and for how long, objects, and the counts."""
    for number, wave in enumerate(told["waves"], 1):
        click.echo(f"wave {number}" + (" (together)" if len(wave) > 1 else ""))
        for step in wave:
            match step["step"]:
                case "turn":
                    _turn(step)
                case "member":
                    click.echo(f"  etcd: {step['node']} becomes {SEATS[step['becomes']]}")
                case "drain":
                    click.echo(f"  {step['node']}: cordoned and drained")
                case "apply":
                    _objects(step)
    click.echo(counted(told["counts"]))
    if told["nodes"] is not None:
        click.echo(f"nothing else is touched than {', '.join(told['nodes'])}")
    if told["skipPhases"]:
        click.echo(f"left as it is: {', '.join(told['skipPhases'])}")
    if told["blocked"]:
        click.echo(f"then blocked: {told['blocked']}")


def counted(counts: Mapping[str, int]) -> str:
    """The counts in a line."""
    return (
        f"{counts['nodes']} nodes; {counts['created']} files created, {counts['changed']} changed, "
        f"{counts['removed']} removed; {counts['restarts']} parts start or stop; "
        f"{counts['objectsPut']} objects put, {counts['objectsDropped']} dropped"
    )


def _turn(step: Tree) -> None:
    click.echo(f"  {step['node']}" + (": everything of ours goes" if step["leaves"] else ""))
    for put in step["put"]:
        click.echo(f"    {'~' if put['replaces'] else '+'} {put['path']}{_note(put)}")
        for each in put["differs"]:
            click.echo(f"        {difference(each)}")
    for path in step["drop"]:
        click.echo(f"    - {path}")
    if step["freshEtcd"]:
        click.echo("    etcd's data " + ("is deleted" if step["purgesEtcd"] else "goes aside"))
    for title in ("starts", "restarts", "stops"):
        if step["parts"][title]:
            click.echo(f"    {title}: {', '.join(step['parts'][title])}")
    if step["disturbs"] and not step["leaves"]:
        click.echo(f"    away: {_away(step['away'])}")
    if step["final"]:
        click.secho(f"    can't be swapped back: {step['final']}")


def _note(put: Tree) -> str:
    if not put["replaces"]:
        return ""
    if put["theirs"]:
        return " (not ours: kept, and put back by reset)"
    if put["secret"] and put["replaces"].split(":")[0] != put["fingerprint"].split(":")[0]:
        return " (secret: content differs)"
    return "" if put["differs"] else " (by the generation of its part, or in form only)"


def difference(each: Tree) -> str:
    """One thing that differs."""
    was, now = each["was"], each["now"]
    if was is None:
        return f"+ {each['what']}" + (f": {now}" if now else "")
    if now is None:
        return f"- {each['what']}" + (f": {was}" if was else "")
    return f"~ {each['what']}: {was} -> {now}"


def _away(away: Mapping[str, int]) -> str:
    told = [f"{name} about {seconds} s" for name, seconds in _named(away) if seconds]
    return ", ".join(told) or "nothing that the cluster needs"


def _named(away: Mapping[str, int]) -> list[tuple[str, int]]:
    return [("the API", away["api"]), ("controllers and schedulers", away["controllers"])]


def _objects(step: Tree) -> None:
    click.echo(f"  objects: {len(step['put'])} to put, {len(step['drop'])} to drop")
    for put in step["put"]:
        fields = f": {', '.join(put['differs'])}" if put["differs"] else ""
        click.echo(f"    {'+' if not put['replaces'] else '~'} {named(put['key'])}{fields}")
    for key in step["drop"]:
        click.echo(f"    - {named(key)}")


def named(key: str) -> str:
    """An object's key as people write it: kind/name, and its namespace."""
    _, kind, namespace, name = key.split("|")
    return f"{kind}/{name}" + (f" in {namespace}" if namespace else "")
