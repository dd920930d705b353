"""The only module that speaks to the Kubernetes API: discovery, get, server-side apply, delete; objects stay dicts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx2

from bootstrap.differences import keys
from bootstrap.documents import Object
from bootstrap.errors import Problem
from bootstrap.objects import OURS, key, together

MANAGER = "bootstrap"  # the name our fields are owned under
INVENTORY = ("kube-system", "bootstrap-objects")  # the ConfigMap that lists the keys of what is ours
PATIENCE = 5.0  # seconds that a request is repeated while the API is busy or starting
UNWANTED = "no longer wanted"  # the fingerprint of what is ours by the inventory only
LINES = 4  # connections that ask at the same time


class Unanswered(Problem):
    """The API could not be asked."""


class Kube:
    """One API server, through one node."""

    def __init__(self, client: httpx2.Client) -> None:
        """The client knows where it is and who we are."""
        self._client = client
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}  # group/version -> kind -> (plural, namespaced)

    def get(self, path: str) -> dict[str, Any] | None:
        """The object or list at this path; None when there is none; Problem for anything else."""
        response = self._ask("GET", path)
        if response.status_code == 404:
            return None
        return self._read(response, f"get {path}")

    def registered(self) -> dict[str, Object]:
        """Every Node, by name."""
        listed = self.get("/api/v1/nodes") or {}
        return {each["metadata"]["name"]: each for each in listed.get("items", ())}

    def nodes(self) -> dict[str, bool]:
        """Every registered node, and whether it is cordoned."""
        return {name: bool(each["spec"].get("unschedulable")) for name, each in self.registered().items()}

    def seen(self, wanted: Sequence[Object]) -> dict[str, str]:
        """key -> fingerprint of every wanted object and of every one that is ours by the inventory.

        An object that is as wanted has the fingerprint of the wanted one: a server-side dry run changes nothing of it.
        """
        listed = {key(each): each for each in wanted}
        with ThreadPoolExecutor(LINES) as pool:
            list(pool.map(self._known, {each["apiVersion"] for each in wanted}))  # else each line would ask for itself
            found = dict(zip(listed, pool.map(self._compare, listed.values()), strict=True))
        dropped = [name for name in self.inventory() if name not in listed]
        return {name: print_ for name, print_ in found.items() if print_} | dict.fromkeys(dropped, UNWANTED)

    def _compare(self, wanted: Object) -> str:
        path = self.path(wanted)
        live = self.get(path) if path else None
        if path is None or live is None:
            return ""
        dry = self._patch(path, wanted, dry_run=True, force=True)
        if dry.status_code >= 400:
            return f"refused: {dry.status_code}"
        if _content(dry.json()) == _content(live):
            return fingerprint(wanted)
        return sha256(_content(live)).hexdigest()

    def differs(self, wanted: Object) -> tuple[str, ...]:
        """The fields of a live object that putting this one would change, by a dry run; never their values."""
        path = self.path(wanted)
        live = self.get(path) if path else None
        if path is None or live is None:
            return ()
        dry = self._patch(path, wanted, dry_run=True, force=True)
        if dry.status_code >= 400:
            return (f"refused by the API: {dry.status_code}",)
        return keys(_declared(live), _declared(dry.json()))

    def put(self, wanted: Iterable[Object]) -> None:
        """Server-side apply, in this order; the inventory first, so that nothing of ours is ever forgotten."""
        with ThreadPoolExecutor(LINES) as pool:
            for group in together(wanted):
                list(pool.map(self._put, group))

    def _put(self, each: Object) -> None:
        path = self.path(each)
        if path is None:
            raise Problem(
                f"the API does not know {each['kind']} of {each['apiVersion']}",
                next="apply the CustomResourceDefinition first: an addon of its own, before this one",
            )
        force = each["metadata"].get("labels", {}).items() >= OURS.items() or each["kind"] == "Node"
        self._read(self._patch(path, each, dry_run=False, force=force), f"apply {key(each)}")

    def drop(self, keys: Iterable[str]) -> None:
        """Delete; what is gone already is fine."""
        for name in keys:
            group, kind, namespace, metadata_name = name.split("|")
            version = self._version(group, kind)
            path = version and self.path(
                {"apiVersion": version, "kind": kind, "metadata": {"name": metadata_name, "namespace": namespace}}
            )
            if path:
                response = self._ask("DELETE", path, parameters={"propagationPolicy": "Background"})
                if response.status_code != 404:
                    self._read(response, f"delete {name}")

    def merge(self, path: str, change: Mapping[str, Any]) -> None:
        """These fields of what lies there, and no others (a JSON merge patch)."""
        kind, content = "application/merge-patch+json", json.dumps(change).encode()
        self._read(self._ask("PATCH", path, content=content, kind=kind), f"change {path}")

    def cordon(self, node: str) -> dict[str, Any] | None:
        """No new pods go there; the Node as it was, None when there is none."""
        path = f"/api/v1/nodes/{node}"
        if (found := self.get(path)) is not None:
            self.merge(path, {"spec": {"unschedulable": True}})
        return found

    def servers(self) -> set[str]:
        """The addresses of the API servers that the Service `kubernetes` leads to."""
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        listed = self.get(f"{path}?labelSelector=kubernetes.io/service-name=kubernetes") or {}
        ends = (end for piece in listed.get("items", ()) for end in piece.get("endpoints") or ())
        return {address for end in ends for address in end["addresses"]}

    def pods(self, node: str) -> list[dict[str, Any]]:
        """Every pod bound to a node."""
        response = self._ask("GET", "/api/v1/pods", parameters={"fieldSelector": f"spec.nodeName={node}"})
        items: list[dict[str, Any]] = self._read(response, f"list the pods of {node}")["items"]
        return items

    def evict(self, pod: Mapping[str, Any]) -> str:
        """Ask for an eviction; "" when it was granted, else what the API said, a budget for one."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        try:  # not `_ask`: 429 is an answer here, "not now"
            response = self._client.post(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", json=eviction)
        except httpx2.HTTPError as error:
            return str(error) or type(error).__name__
        return "" if response.status_code in (200, 201, 404) else response.text[:400]

    def inventory(self) -> tuple[str, ...]:
        """The keys of what is ours in the API."""
        namespace, name = INVENTORY
        found = self.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        return tuple(found["data"]["keys"].split()) if found else ()

    def note(self, keys: Iterable[str]) -> None:
        """The inventory says so from now on."""
        namespace, name = INVENTORY
        self.put(
            [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name, "namespace": namespace, "labels": OURS},
                    "data": {"keys": "".join(f"{each}\n" for each in sorted(keys))},
                }
            ]
        )

    def path(self, wanted: Object) -> str | None:
        """Where an object lives; None when the API does not know its kind."""
        version, metadata = wanted["apiVersion"], wanted["metadata"]
        found = self._known(version).get(wanted["kind"])
        if found is None:
            self._kinds.pop(version, None)  # a definition that was put a moment ago may have brought it
            found = self._known(version).get(wanted["kind"])
        if found is None:
            return None
        plural, namespaced = found
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        middle = f"/namespaces/{metadata.get('namespace') or 'default'}" if namespaced else ""
        return f"{root}{middle}/{plural}/{metadata['name']}"

    def _known(self, version: str) -> dict[str, tuple[str, bool]]:
        if version not in self._kinds:
            listed = self.get(f"/apis/{version}" if "/" in version else f"/api/{version}")
            if listed is None:
                return {}
            self._kinds[version] = {
                each["kind"]: (each["name"], each["namespaced"])
                for each in listed["resources"]
                if "/" not in each["name"]
            }
        return self._kinds[version]

    def _version(self, group: str, kind: str) -> str | None:
        if not group:
            return "v1"
        listed = self.get(f"/apis/{group}")
        versions = [each["groupVersion"] for each in listed["versions"]] if listed else []
        return next((version for version in versions if kind in self._known(version)), None)

    def _patch(self, path: str, wanted: Object, *, dry_run: bool, force: bool) -> httpx2.Response:
        parameters = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            parameters["dryRun"] = "All"
        return self._ask("PATCH", path, parameters=parameters, content=json.dumps(wanted).encode())

    def _ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        content: bytes = b"",
        kind: str = "application/apply-patch+yaml",
    ) -> httpx2.Response:
        """One request, and again for a while when the server is busy or the line broke: all of ours may be repeated."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                response = self._client.request(
                    method,
                    path,
                    params=parameters,
                    content=content,
                    headers={"Content-Type": kind} if content else None,
                )
                if response.status_code not in (429, 500, 502, 503, 504) or time.monotonic() > deadline:
                    return response
                why = response.text[:400]
            except httpx2.HTTPError as error:
                why = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise Unanswered("the API can't be asked", why=why, next="bootstrap status")
            time.sleep(0.2)

    def _read(self, response: httpx2.Response, what: str) -> dict[str, Any]:
        if response.status_code >= 400:
            try:
                why = response.json()["message"]
            except (ValueError, KeyError, TypeError):
                why = response.text[:400]
            raise Problem(f"the API refused to {what} ({response.status_code})", why=why, next="bootstrap status")
        read: dict[str, Any] = response.json()
        return read


def fingerprint(wanted: Object) -> str:
    """The digest of an object as we want it."""
    return sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _content(live: Mapping[str, Any]) -> bytes:
    return json.dumps(_declared(live), sort_keys=True).encode()


def _declared(live: Mapping[str, Any]) -> Object:
    """An object less what the API keeps about it."""
    metadata = {
        k: v for k, v in live["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")
    }
    return {k: v for k, v in live.items() if k != "status"} | {"metadata": metadata}
