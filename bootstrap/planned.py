"""What `bootstrap plan` tells: a plan with what differs in every file and object; nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256

from bootstrap import saved
from bootstrap.differences import Difference, differences
from bootstrap.errors import Problem
from bootstrap.plan import API_SERVER, Plan
from bootstrap.ssh import Read
from bootstrap.workflow import Session
from bootstrap.world import Apply, File, Step, Turn, World, keeps_quorum

# Estimates, measured on the project's lab: a turn that stops the API server; a pod the kubelet replaces by itself.
API_AWAY, LEFT_TO_THE_KUBELET = 6, 12  # seconds

Contents = Mapping[str, Mapping[str, Read]]  # node -> path -> what lies there


def look(session: Session, plan: Plan, world: World) -> saved.Tree:
    """The plan, with `differs`, `away` and `counts`; one more round trip to nodes whose files change."""
    tree = saved.tree(plan, world, session.wants.uid, session.scope.held)
    contents = read(session, plan, world)
    for wave, shown in zip(plan.waves, tree["waves"], strict=True):
        for step, told in zip(wave, shown, strict=True):
            match step:
                case Turn():
                    _turn(told, step, world, contents.get(step.node, {}))
                case Apply():
                    fresh = fields(session, step, world)
                    for put in told["put"]:
                        put["differs"] = list(fresh.get(put["key"], ()))
    return tree | {"counts": counts(plan)}


def read(session: Session, plan: Plan, world: World) -> Contents:
    """The recorded files without secrets that change; a node that does not answer any more shows none."""
    wanted: dict[str, list[str]] = {}
    for step in (step for wave in plan.waves for step in wave):
        if isinstance(step, Turn):
            wanted.setdefault(step.node, []).extend(
                file.path for was, file in step.put if was and showable(world, step, file)
            )
    asked = sorted(node for node, paths in wanted.items() if paths)
    return dict(zip(asked, session.hosts.pool.map(lambda node: _read(session, node, wanted[node]), asked), strict=True))


def _read(session: Session, node: str, paths: list[str]) -> Mapping[str, Read]:
    try:
        return session.hosts[node].read(paths)
    except Problem:
        return {}


def showable(world: World, turn: Turn, file: File) -> bool:
    """Whether people may see what lies there: it is ours, and neither it nor what replaces it is a secret."""
    origin = world.facts[turn.node].record.origins.get(file.path)
    return not file.secret and origin is not None and not origin.secret


def _turn(told: saved.Tree, turn: Turn, world: World, contents: Mapping[str, Read]) -> None:
    recorded = world.facts[turn.node].record.files
    for shown, (was, file) in zip(told["put"], turn.put, strict=True):
        lies = contents.get(file.path)
        # Only what the plan replaces: it may have changed meanwhile.
        same = lies is not None and was is not None and was.startswith(sha256(lies.content).hexdigest())
        found = list(modes(was, file.fingerprint)) if was else []
        if lies is not None and same:
            found += differences(lies.content, file.content)
        shown |= {
            "secret": file.secret,
            "theirs": was is not None and file.path not in recorded,
            "differs": [asdict(each) for each in found],
        }
    told["parts"] = turn.parts(world.facts[turn.node].running)
    told["leaves"], told["purgesEtcd"] = turn.leaves, turn.purge
    told["away"] = away(turn, world)
    told["final"] = final(told)


def modes(was: str, now: str) -> Iterator[Difference]:
    """How mode and owner differ between two fingerprints."""
    (_, mode, *owner), (_, wanted, *_) = was.split(":"), now.split(":")
    if mode != wanted:
        yield Difference("mode", mode, wanted)
    if owner:
        yield Difference("owner", ":".join(owner), "0:0")


def away(turn: Turn, world: World) -> dict[str, int]:
    """Seconds that the API, and controllers and schedulers, are expected to be away; an estimate."""
    stops = set(turn.restart) & world.facts[turn.node].running.keys()
    others = [node for node in world.facts if node != turn.node and API_SERVER in world.facts[node].running]
    alone = not others or ("etcd" in stops and not keeps_majority(world, turn.node))
    api = API_AWAY if API_SERVER in stops and alone else 0
    controllers = stops - {API_SERVER, "etcd", "kubelet", "host"}
    together = {API_SERVER, "etcd", "kubelet"} & set(turn.restart)
    own = API_AWAY if together else LEFT_TO_THE_KUBELET
    return {"api": api, "controllers": max(api, own if controllers and not others else 0)}


def keeps_majority(world: World, node: str) -> bool:
    """Whether etcd answers without this member; a list of two may pause, and does not."""
    votes = sum(member.votes for member in (world.members or {}).values())
    return votes > 2 and keeps_quorum(world, node)


def final(told: saved.Tree) -> str:
    """What of a turn can't be swapped back ("": all can): etcd's data, once the last member runs another minor."""
    for shown in told["put"]:
        if shown["part"] == "etcd" and shown["path"].endswith("/etcd.yaml"):
            for each in shown["differs"]:
                was, now = (_minor(each[key] or "") for key in ("was", "now"))
                if each["what"] == "image" and was and now and was != now:
                    return f"etcd goes from {was} to {now}: once the last member has it, there is no way back"
    return ""


def _minor(image: str) -> str:
    found = re.search(r":v?(\d+\.\d+)\.", image)
    return found[1] if found else ""


def fields(session: Session, step: Apply, world: World) -> dict[str, tuple[str, ...]]:
    """key -> the fields that differ, of the objects that are there; {} where the API does not answer."""
    wanted, kube = session.objects(frozenset(world.nodes)), session.hosts.kube()
    changed = [key for was, key, _ in step.put if was is not None and key in wanted]
    if kube is None:
        return {}
    try:
        return {key: kube.differs(wanted[key]) for key in changed}
    except Problem:
        return {}


def counts(plan: Plan) -> dict[str, int]:
    """How much there is to do."""
    steps: list[Step] = [step for wave in plan.waves for step in wave]
    turns = [step for step in steps if isinstance(step, Turn)]
    applies = [step for step in steps if isinstance(step, Apply)]
    created = sum(was is None for turn in turns for was, _ in turn.put)
    return {
        "nodes": len({turn.node for turn in turns}),
        "created": created,
        "changed": sum(len(turn.put) for turn in turns) - created,
        "removed": sum(len(turn.drop) for turn in turns),
        "restarts": sum(len(set(turn.restart) - {"host"}) for turn in turns),
        "objectsPut": sum(len(step.put) for step in applies),
        "objectsDropped": sum(len(step.drop) for step in applies),
    }
