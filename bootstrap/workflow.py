"""Observes the World, plans, runs: all that a command, or a program that imports us, does with an opened file."""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from bootstrap import (
    checks,
    credentials,
    joining,
    objects,
    preflight,
    refusals,
    roster,
    serving,
    state,
    tokens,
    trace,
)
from bootstrap.checks import Finding
from bootstrap.credentials import Passphrase, nobody
from bootstrap.drain import ready
from bootstrap.errors import Code, Problem
from bootstrap.hosts import Hosts, Report
from bootstrap.kube import UNWANTED, Kube, Unanswered, fingerprint
from bootstrap.lock import Lock
from bootstrap.machines import Opened
from bootstrap.phases import PHASES, Setting
from bootstrap.plan import Plan, allowed, departure, plan
from bootstrap.pod_networks import pod_networks
from bootstrap.run import Failure, Outcome, run
from bootstrap.scope import EVERYTHING, Scope
from bootstrap.steps import Steps
from bootstrap.survey import Survey
from bootstrap.world import Facts, File, Former, Listed, Wants, Wave, World, born, founding, may_touch

WAIT = 240.0  # seconds a turn may take to get healthy; kubeadm's
JUST = 2.0  # seconds for which what was seen was seen just now, while nobody else may change anything and we did not


class Session:
    """One cluster.yaml, its state and its hosts, for the time of one command; the real Site of a run."""

    def __init__(
        self,
        opened: Opened,
        report: Report = lambda _: None,
        *,
        wait: float = WAIT,
        scope: Scope = EVERYTHING,
        passphrase: Passphrase = nobody,
        ignored: Iterable[str] = (),
    ) -> None:
        """Nothing is written yet. `ignored`: preflight findings that do not stop.

        `passphrase` is asked at most once, and only where something has to be signed with a key that is encrypted.
        """
        self.cluster, self.directory, self._kept = opened.cluster, opened.directory, opened.kept
        self._opened = opened
        self.scope = scope
        self.ignored = checks.chosen(ignored)
        self._surveys: dict[str, Survey] = {}
        scope.check(self.cluster)
        self._passphrase = cache(passphrase)
        self.hosts = Hosts(opened, report)
        self.lock = Lock(self.hosts)
        self._steps = Steps(self.hosts, self.lock, lambda nodes: self.objects(frozenset(nodes)), wait)
        self._files: dict[object, tuple[File, ...]] = {}
        self._objects: dict[frozenset[str], dict[str, dict[str, Any]]] = {}

    def __enter__(self) -> Session:
        """Closed at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """The lock is free, and whoever waits gives up; in a hurry, the lock dies with the connections."""
        if kind is not KeyboardInterrupt:
            with trace.span("frees the lock"):
                self.lock.release()
        self.hosts.stopping.set()

    @property
    def store(self) -> MutableMapping[str, bytes]:
        """Credentials; what is issued goes to memory only, until `keep`."""
        return self._opened.store

    @property
    def issued(self) -> bool:
        """Whether there are credentials that the state directory lacks."""
        return isinstance(self.store, ChainMap) and bool(self.store.maps[0])

    def issue(self) -> None:
        """Makes what there is not yet of credentials, in memory."""
        with trace.span("issues credentials"):
            credentials.issue(self.cluster, self.store, datetime.now(UTC), self._passphrase)

    def keep(self) -> None:
        """Credentials, those just issued too, are in the state directory from now on; call it with the lock held."""
        if isinstance(self.store, ChainMap) and self.store.maps[0]:
            self._kept.update(dict(self.store.maps[0]))
        self._opened.store = self._kept
        roster.note(self._kept, self.cluster)

    def forget(self, nodes: Iterable[str], reached: AbstractSet[str]) -> None:
        """These were removed; how to reach them is kept only of who was not reached."""
        roster.forget(self._kept, nodes, reached)

    def take(self, command: str, *, wait: float = 0) -> bool:
        """The cluster's lock, until the session ends; True where others were at work since we looked: look again.

        Problem when somebody else still holds it after `wait` seconds.
        """
        if self.lock.epoch:
            return False
        moved = self.lock.take(command, state.epoch(self.store), wait=wait)
        self._kept[state.EPOCH] = f"{self.lock.epoch}\n".encode()
        if moved:  # they may have issued what we have in memory
            self._opened.store = self._opened.fresh()
            self.hosts.forget()
            self._files.clear()
            self._objects.clear()
        return moved

    def world(
        self,
        *,
        leaving: frozenset[str] = frozenset(),
        only: frozenset[str] = frozenset(),
        back: frozenset[str] | None = None,
        purge: bool = False,
    ) -> World:
        """Everything, as it is now.

        Of the nodes that the cluster lacks, `only` these come (none named: all do); the nodes that go `back` (none
        named: all) go to their former generation. With `purge`, who leaves keeps nothing of etcd's data.

        Problem when a node carries another cluster, our state was lost, or the file asks for what can't change.
        """
        facts, members = self.observe(self.hosts.addresses.keys() | (leaving & self.hosts.nodes.keys()))
        refusals.strangers(facts, self.store, self.directory)
        refusals.newer(facts, self.store, self.directory)
        self.issue()
        later = self._strangers(facts, members) - only if only else frozenset()
        world = World(
            wanted={node: address for node, address in self.hosts.addresses.items() if node not in later},
            voters=frozenset(node.name for node in self.cluster.voters) - later,
            facts={node: told for node, told in facts.items() if node not in later},
            members=members,
            leaving=leaving,
            purge=purge,
            former=None if back is None else self._former(facts, back),
            within=self.scope.nodes,
        )
        if not leaving:
            refusals.constants(world, self.cluster)
            self.scope.refuse(world)
        kept = None
        if members and (kube := self.hosts.kube()):
            # Where it runs, and can't be asked, the plan ends there.
            with contextlib.suppress(Unanswered):
                # A kubelet registers its node once it is let: who is still to come is marked too, and waited for.
                coming = {name for name, told in facts.items() if "kubelet" in told.running} - leaving - later
                nodes = dict.fromkeys(sorted(coming), False) | kube.nodes()
                world = replace(world, nodes=nodes, objects=self._seen(kube, nodes))
                kept = nodes.keys() | self.hosts.former | members.keys()
        return replace(world, pods=pod_networks(self.cluster, facts, kept))

    def _former(self, facts: Mapping[str, Facts], back: frozenset[str]) -> dict[str, Former]:
        """What these nodes had; not of those that have gone back, which would only go forward again."""
        asked = sorted(
            node
            for node, told in facts.items()
            if (not back or node in back) and told.record.files and not (told.record.former and told.record.settled)
        )
        found = self.hosts.pool.map(lambda node: self.hosts[node].former(facts[node]), asked)
        return {node: former for node, former in zip(asked, found, strict=True) if former}

    def _seen(self, kube: Kube, nodes: Mapping[str, bool]) -> dict[str, str]:
        """Objects as they are; with them what people made of kubeadmJoin: requests to approve, tokens to take away."""
        with trace.span("compares objects"):
            found = kube.seen(tuple(self.objects(frozenset(nodes)).values()))
        if self.cluster.kubeadm_join:
            asked = serving.pending(kube, self.taken)
            found |= {key: serving.PENDING for key, request in asked.items() if not request.wrong}
        elif joining.KEY in found:
            found |= dict.fromkeys(tokens.keys(kube), UNWANTED)
        if self.scope.holds_objects:
            # An inventory does not say which phase wanted an object: nothing is dropped while one is held.
            found = {key: print_ for key, print_ in found.items() if print_ != UNWANTED}
        return found

    @property
    def taken(self) -> frozenset[str]:
        """Names and addresses that a node which joins by kubeadm can't have for its own."""
        nodes = self.hosts.nodes.values()
        names = {name for node in nodes for name in (node.name, node.address)}
        return frozenset(names | {urlsplit(self.cluster.public_url).hostname or ""})

    def without_network(self) -> list[str]:
        """Nodes that are not Ready, where that is for a network plugin of the user's own to change."""
        kube = self.hosts.kube() if self.cluster.networking.plugin == "none" else None
        return [name for name, node in kube.registered().items() if not ready(node)] if kube else []

    def unnamed(self, world: World) -> list[str]:
        """Who belongs to the cluster, and neither stands in the file nor may have come by `kubeadm join`."""
        here = world.nodes.keys() | (world.members or {}).keys()
        came = self.joined(world) if self.cluster.kubeadm_join else ()
        return sorted(here - self.hosts.addresses.keys() - world.leaving - set(came))

    def joined(self, world: World) -> list[str]:
        """Registered nodes that never stood in cluster.yaml: they joined by kubeadm, or somehow else."""
        return sorted(world.nodes.keys() - self.hosts.nodes.keys() - (world.members or {}).keys())

    def api(self) -> Kube:
        """The API, through a control-plane node; Problem when none answers."""
        self.observe(node.name for node in self.cluster.voters)
        kube = self.hosts.kube() if "pki/ca.crt" in self.store else None
        if kube is None:
            why = "\n".join(problem.what for problem in self.hosts.unreachable.values())
            raise Problem("no API server answers", why=why, next="bootstrap status", code=Code.UNREACHABLE)
        return kube

    def _strangers(self, facts: Mapping[str, Facts], members: Mapping[str, Listed] | None) -> frozenset[str]:
        """Nodes of the file that have nothing of ours, or no longer; Problem when nobody can be joined."""
        if not members:
            raise Problem("there is no cluster that answers, to join", next="bootstrap init, or: bootstrap status")
        return frozenset(node for node, told in facts.items() if not told.record.files)

    @property
    def wants(self) -> Wants:
        """The phases, joined."""
        return Wants(
            files=self.files,
            objects=lambda world: {
                **{key: fingerprint(each) for key, each in self.objects(frozenset(world.nodes)).items()},
                **{key: serving.APPROVED for key in world.objects or () if key.startswith(serving.PREFIX)},
            },
            uid=credentials.uid(self.store),
            constants=refusals.founded_with(self.cluster),
            held=self.scope.held,
        )

    def files(self, world: World, name: str) -> tuple[File, ...]:
        """Every file a node should have, with the place of its generation still open; rendered once."""
        node, facts = self.cluster.node(name), world.facts[name]
        birth = born(world, name) if node.control_plane else None
        of_the_node = replace(facts.machine, clock=0, free=0, ports=frozenset(), kubelet_state="", command=())
        same = (name, birth and (birth.members, birth.state), tuple(world.pods.items()), of_the_node)
        if same not in self._files:
            setting = Setting(self.cluster, self.store, world)
            self._files[same] = tuple(
                replace(file, phase=phase.name) for phase in PHASES for file in phase.files(setting, node)
            )
        return self._files[same]

    def objects(self, nodes: frozenset[str]) -> dict[str, dict[str, Any]]:
        """Every object the API should hold, by key, in order of application; `nodes` are registered."""
        if nodes not in self._objects:
            self._objects[nodes] = self._rendered(nodes)
        return self._objects[nodes]

    def _rendered(self, nodes: frozenset[str]) -> dict[str, dict[str, Any]]:
        setting = Setting(self.cluster, self.store, World({}, frozenset(), {}, None, nodes=dict.fromkeys(nodes, False)))
        free = (phase for phase in PHASES if phase.name not in self.scope.held)
        every = objects.ordered(each for phase in free for each in phase.objects(setting))
        return {objects.key(each): each for each in every}

    def plan(self, world: World) -> Plan:
        """The waves from what is to what should be; where nodes leave, the waves of that and no others."""
        with trace.span("plans"):
            made = plan(world, self.wants)
        return departure(made, world) if world.leaving else made

    def preflight(self, facts: Mapping[str, Facts], names: AbstractSet[str]) -> tuple[Finding, ...]:
        """Everything that preflight finds on these nodes; `names` are looked at closely, once a session."""
        self._surveys |= preflight.surveys(self.hosts, facts, names - self._surveys.keys())
        known = "pki/ca.crt" in self.store
        seen = checks.Seen(
            facts,
            {name: survey for name, survey in self._surveys.items() if name in names},
            credentials.uid(self.store) if known else "",
            sha256(self.store["pki/ca.crt"]).hexdigest() if known else "",
        )
        return checks.findings(self.cluster, seen, self.ignored)

    def refuse(self, command: str, world: World, made: Plan) -> tuple[Finding, ...]:
        """Problem when this command may not perform this plan: preflight findings, or what it must not disturb.

        The findings that do not stop it.
        """
        told: tuple[Finding, ...] = ()
        if not world.leaving and world.former is None:
            here = {node: facts for node, facts in world.facts.items() if node in world.wanted}
            ours = {node: facts for node, facts in here.items() if may_touch(world, node)}
            told = self.preflight(ours, {node for node, facts in ours.items() if not facts.record.files})
            if any(each.stops for each in told):
                self.lock.alone()
            checks.refuse(told)
            refusals.orphans(world, self.cluster, self.joined(world))
        if command == "join" and made.waves and founding(world):
            raise Problem("there is no cluster yet, to join", next="bootstrap init", code=Code.CHANGES)
        if not all(allowed(command, wave, world) for wave in made.waves):
            joins = all(allowed("join", wave, world) for wave in made.waves)
            why = "etcd's list would change" if joins else "a part that runs would stop"
            raise Problem(
                f"cluster.yaml asks for changes that {command} must not make: {why}",
                next="bootstrap join" if joins else "bootstrap apply",
                code=Code.CHANGES,
            )
        return told

    def run(self, world: World, approved: Plan) -> Outcome:
        """Perform an approved plan."""
        outcome = run(self, world, self.wants, approved.waves)
        return outcome if outcome.failed or outcome.stopped else replace(outcome, failed=self._steps.ended())

    def observe(self, nodes: Iterable[str]) -> tuple[Mapping[str, Facts], Mapping[str, Listed] | None]:
        """The facts of those that answer, and etcd's members; where somebody asked to stop, this is the place to."""
        if self.hosts.asked_to_stop:
            raise Problem(
                "stopped, as asked; what was under way is done",
                next="run the same command again: it goes on where this one ended",
                code=Code.INTERRUPTED,
            )
        with trace.span("looks at nodes and etcd"):
            return self.hosts.observe(nodes, within=JUST if self.lock.epoch else 0)

    def perform(self, wave: Wave) -> Mapping[str, Failure]:
        """Do it and wait until it is healthy."""
        self.hosts.forget()
        with trace.span("performs a wave: " + ", ".join(sorted({type(step).__name__.lower() for step in wave}))):
            return self._steps.perform(wave)

    def back(self, node: str) -> None:
        """Swap a node back to its former generation, if it can be reached."""
        self.hosts.forget()
        self._steps.back(node)
