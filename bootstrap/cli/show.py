"""How a plan reads."""

from __future__ import annotations

from typing import Any

import click

from bootstrap.plan import Plan, disturbs
from bootstrap.world import Apply, Drain, Member, Step, Turn, World


def tree(plan: Plan, world: World) -> dict[str, Any]:
    """A plan as plain values: paths, fingerprints, restarts and waves, never content."""
    return {
        "apiVersion": "bootstrap/v1",
        "kind": "Plan",
        "waves": [[step_tree(step, world) for step in wave] for wave in plan.waves],
        "blocked": plan.blocked,
    }


def step_tree(step: Step, world: World) -> dict[str, Any]:
    """One step."""
    match step:
        case Turn():
            return {
                "step": "turn",
                "node": step.node,
                "put": [
                    {"path": file.path, "replaces": was, "fingerprint": file.fingerprint, "part": file.part}
                    for was, file in step.put
                ],
                "drop": list(step.drop),
                "restart": list(step.restart),
                "stops": sorted(set(step.restart) & world.facts[step.node].running.keys()),
                "disturbs": disturbs(step, world),
                "freshEtcd": step.fresh,
            }
        case Member(node, votes):
            return {"step": "member", "node": node, "becomes": {None: "none", False: "learner", True: "voter"}[votes]}
        case Drain(node):
            return {"step": "drain", "node": node}
        case Apply(put, drop):
            return {
                "step": "apply",
                "put": [{"key": key, "replaces": was, "fingerprint": new} for was, key, new in put],
                "drop": list(drop),
            }
    raise TypeError(step)


def plan(plan: Plan, world: World) -> None:
    """For people: wave by wave, every path, what stops, and the counts."""
    created = changed = removed = 0
    for number, wave in enumerate(plan.waves, 1):
        click.echo(f"wave {number}" + (" (together)" if len(wave) > 1 else ""))
        for step in wave:
            match step:
                case Turn():
                    new = sum(was is None for was, _ in step.put)
                    created, changed, removed = created + new, changed + len(step.put) - new, removed + len(step.drop)
                    _turn(step, world)
                case Member(node, votes):
                    click.echo(
                        f"  etcd: {node} becomes " + {None: "no member", False: "a learner", True: "a voter"}[votes]
                    )
                case Drain(node):
                    click.echo(f"  {node}: cordoned and drained")
                case Apply(put, drop):
                    click.echo(f"  objects: {len(put)} to put, {len(drop)} to drop")
                    for was, key, _ in put:
                        click.echo(f"    {'+' if was is None else '~'} {named(key)}")
                    for key in drop:
                        click.echo(f"    - {named(key)}")
    click.echo(f"{created} files created, {changed} changed, {removed} removed")
    if plan.blocked:
        click.echo(f"then blocked: {plan.blocked}")


def _turn(step: Turn, world: World) -> None:
    running = world.facts[step.node].running
    click.echo(f"  {step.node}" + (": everything of ours goes" if step.leaves else ""))
    for was, file in step.put:
        click.echo(f"    {'+' if was is None else '~'} {file.path}")
    for path in step.drop:
        click.echo(f"    - {path}")
    if step.fresh:
        click.echo("    etcd's data goes aside")
    for title, parts in (
        ("starts", [part for part in step.restart if part not in running]),
        ("restarts", [part for part in step.restart if part in running and part in step.record.runs]),
        ("stops", [part for part in step.restart if part in running and part not in step.record.runs]),
    ):
        if parts:
            click.echo(f"    {title}: {', '.join(parts)}")


def named(key: str) -> str:
    """An object's key as people write it: kind/name, and its namespace."""
    _, kind, namespace, name = key.split("|")
    return f"{kind}/{name}" + (f" in {namespace}" if namespace else "")
