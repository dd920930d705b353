"""A plan as plain values, which can be kept in a file; and whether a plan made now is what is left of one kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from bootstrap import disk, facts
from bootstrap.errors import Code, Problem
from bootstrap.plan import Plan, disturbs
from bootstrap.world import Apply, Drain, Member, Record, Step, Turn, World

Tree = dict[str, Any]

LISTS = {"put": "", "drop": "dropped: ", "restart": "restarts: "}  # what of a step may be done already
SEATS = {None: "none", False: "learner", True: "voter"}


def tree(plan: Plan, world: World, uid: str, held: frozenset[str] = frozenset()) -> Tree:
    """A plan: paths, fingerprints, restarts and waves, never content; all that a step is told apart by."""
    return {
        "apiVersion": "bootstrap/v1",
        "kind": "Plan",
        "cluster": uid,
        "nodes": None if world.within is None else sorted(world.within),
        "skipPhases": sorted(held),
        "waves": [[step(each, world) for each in wave] for wave in plan.waves],
        "blocked": plan.blocked,
    }


def step(step: Step, world: World) -> Tree:
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
                "record": digest(step.record),
            }
        case Member(node, votes):
            return {"step": "member", "node": node, "becomes": SEATS[votes]}
        case Drain(node):
            return {"step": "drain", "node": node}
        case Apply(put, drop):
            return {
                "step": "apply",
                "put": [{"key": key, "replaces": was, "fingerprint": new} for was, key, new in put],
                "drop": list(drop),
            }
    raise TypeError(step)


def digest(record: Record) -> str:
    """What a turn leaves on its node, in one word, whoever made it and however far it has got."""
    birth = record.birth and replace(record.birth, answered=True)
    return sha256(facts.to_json(replace(record, epoch=0, birth=birth, settled=True))).hexdigest()


def read(path: Path) -> Tree:
    """A plan that was kept; Problem when the file is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if (kept["apiVersion"], kept["kind"]) != ("bootstrap/v1", "Plan"):
            raise ValueError(kept["kind"])  # noqa: TRY301 (told as every other way of being none)
        list(_steps(kept))
        return {key: kept[key] for key in ("cluster", "nodes", "skipPhases", "waves", "blocked")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(
            f"{path} is no plan that was kept",
            why=f"{type(error).__name__}: {error}",
            next=f"bootstrap plan --out {shlex.quote(str(path))}",
            code=Code.USAGE,
        ) from error


def write(tree: Tree, path: Path) -> None:
    """Keeps a plan, for its owner alone."""
    disk.write(path, (json.dumps(tree, indent=1) + "\n").encode())


def refuse(kept: Tree, made: Tree, world: World, path: Path) -> None:
    """Problem, with all that moved, unless what would be done now is what is left of what was kept."""
    moved = list(moves(kept, made, world))
    if moved:
        raise Problem(
            f"{path} is not what would be done now; nothing was changed",
            why="\n".join(moved),
            next=f"bootstrap plan --out {shlex.quote(str(path))}",
            code=Code.CHANGES,
        )


def moves(kept: Tree, made: Tree, world: World) -> Iterator[str]:
    """What differs: a step that nobody approved, or one that was approved, is not done, and would not be done now."""
    if kept["cluster"] != made["cluster"]:
        yield f"it is for the cluster {kept['cluster']}, this is {made['cluster']}"
        return
    todo, apart = list(_steps(made)), list[Tree]()
    for approved in _steps(kept):
        left = next((each for each in todo if part_of(each, approved)), None)
        if left is not None:  # in whatever order is safe now
            todo.remove(left)
        elif not done(approved, world):
            apart.append(approved)
    for approved in apart:
        yield from _apart(approved, todo)
    expected = {named(approved) for approved in apart}
    for more in (each for each in todo if named(each) not in expected):
        yield f"{named(more)}: would be done now, and is not in the plan"


def part_of(left: Tree, approved: Tree) -> bool:
    """Whether a step is the approved one, or, of a turn or of objects, the rest of it: the same end, by fewer moves."""
    if left["step"] != approved["step"] or left.get("node") != approved.get("node"):
        return False
    match left["step"]:
        case "turn":
            ends = left["record"] == approved["record"] and left["freshEtcd"] <= approved["freshEtcd"]
        case "apply":
            ends = True
        case _:
            return left == approved
    return ends and all(item in approved[name] for name in LISTS for item in left.get(name, ()))


def done(approved: Tree, world: World) -> bool:
    """Whether the cluster is already as the step would leave it."""
    node = approved.get("node", "")
    match approved["step"]:
        case "turn":
            told = world.facts.get(node)
            return told is not None and told.record.settled and digest(told.record) == approved["record"]
        case "member":
            listed = (world.members or {}).get(node)
            votes = None if listed is None else listed.votes
            return world.members is not None and (SEATS[votes] == approved["becomes"] or bool(votes))
        case "drain":
            return world.nodes.get(node, True)
        case _:
            have = world.objects
            if have is None:
                return False
            put = all(have.get(each["key"]) == each["fingerprint"] for each in approved["put"])
            return put and not have.keys() & set(approved["drop"])


def _apart(approved: Tree, todo: list[Tree]) -> Iterator[str]:
    """How the step of now differs from the approved one."""
    now = next((each for each in todo if named(each) == named(approved)), None)
    if now is None:
        yield f"{named(approved)}: is in the plan, and would not be done now"
    else:
        for name, title in LISTS.items():
            for item in now.get(name, ()):
                if item not in approved[name]:
                    what = item if isinstance(item, str) else item.get("path") or item["key"]
                    yield f"{named(approved)}: {title}{what} is not what it was when the plan was made"
        if now.get("record") != approved.get("record"):
            yield f"{named(approved)}: cluster.yaml, or what it is rendered with, asks for something else"


def named(step: Mapping[str, Any]) -> str:
    """A step in a word or two."""
    return "objects" if step["step"] == "apply" else f"{step['node']}: {step['step']}"


def _steps(tree: Mapping[str, Any]) -> Iterator[Tree]:
    for wave in tree["waves"]:
        for step in wave:
            if step["step"] != "apply" and not isinstance(step["node"], str):
                raise TypeError(step["node"])
            yield step
