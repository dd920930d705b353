"""Our objects beside those of `kubeadm init --dry-run`, field by field: a difference is a row with its reason."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap import documents, joining, kubelet, objects
from bootstrap.documents import Object
from bootstrap.versions import RELEASES
from tests.lab.programs import run
from tests.test_kubeadm_manifests import CASES, cluster, kubeadm, kubeadm_config

pytestmark = pytest.mark.lab

RBAC = "rbac.authorization.k8s.io"
TOKENS = "bootstrap tokens let machines in that nobody named in cluster.yaml; ours get their certificates by SSH"
THEIRS = {  # what only kubeadm creates
    f"{RBAC}|ClusterRole||kubeadm:get-nodes": TOKENS,
    f"{RBAC}|ClusterRoleBinding||kubeadm:get-nodes": TOKENS,
    f"{RBAC}|ClusterRoleBinding||kubeadm:kubelet-bootstrap": TOKENS,
    f"{RBAC}|ClusterRoleBinding||kubeadm:node-autoapprove-bootstrap": TOKENS,
    f"{RBAC}|ClusterRoleBinding||kubeadm:node-autoapprove-certificate-rotation": TOKENS,
    f"{RBAC}|Role|kube-public|kubeadm:bootstrap-signer-clusterinfo": TOKENS,
    f"{RBAC}|RoleBinding|kube-public|kubeadm:bootstrap-signer-clusterinfo": TOKENS,
    f"{RBAC}|Role|kube-system|kube-proxy": TOKENS,
    f"{RBAC}|RoleBinding|kube-system|kube-proxy": TOKENS,
    "|ConfigMap|kube-public|cluster-info": TOKENS,
    "|Secret|kube-system|bootstrap-token-…": TOKENS,
}
OURS = {  # what only we create; kubeadm does too, but not in a dry run, or not before 1.35.5 and 1.36.1
    f"{RBAC}|ClusterRoleBinding||kubeadm:cluster-admins",
    f"{RBAC}|ClusterRoleBinding||kubeadm:apiserver-kubelet-client",
}
DIFFERENT = {  # where both create an object, the fields that are not the same
    ("*", "metadata.labels.app.kubernetes.io/managed-by"): "how an object no longer wanted is found",
    ("*", "metadata.annotations.kubeadm.kubernetes.io/component-config.hash"): "ours are what the user wants",
    ("kubeadm:kubelet-config", "subjects"): TOKENS,
    ("kubeadm:nodes-kubeadm-config", "subjects"): TOKENS,
    ("kube-proxy", "spec.template.metadata.annotations.checksum/config"): "its pods restart for a new configuration",
    ("kube-proxy", "config.conf.mode"): "nftables is faster and general since 1.33; kubeadm still waits",
    ("kubelet-config", "kubelet.podPidsLimit"): "CIS 4.2.13: no pod eats all process numbers of its node",
    ("kubelet-config", "kubelet.seccompDefault"): "CIS 4.2.14",
    ("kubelet-config", "kubelet.tlsCipherSuites"): "CIS 4.2.12",
    ("kubelet-config", "kubelet.tlsMinVersion"): "CIS 4.2.12",
}
ASKS = "kubelet.serverTLSBootstrap"  # kubeadm's sign their own serving certificates, which our API servers refuse
Objects = dict[str, Object]


def by_kubeadm(version: str, case: str, directory: Path) -> Objects:
    """Key -> object, as kubeadm of this version tells what it would create."""
    (directory / "out").mkdir()
    clean = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"KUBEADM_INIT_DRYRUN_DIR={directory / 'out'}")
    config = kubeadm_config(version, case, directory)
    told = run([*clean, kubeadm(version), "init", "--dry-run", "--config", config, "--ignore-preflight-errors=all"])
    created = re.findall(
        r"^\[dryrun\] Would perform action CREATE [^\n]*\n\[dryrun\] Attached object:\n(.*?)(?=^\[)",
        told,
        re.MULTILINE | re.DOTALL,
    )
    found = (each for text in created for _, each in documents.load(text))
    return {re.sub(r"(bootstrap-token-).*", r"\1…", objects.key(each)): each for each in found}


def by_us(version: str, case: str) -> Objects:
    """Key -> object, as we want them for the same wishes."""
    wanted = cluster(version, case)
    return {objects.key(each): each for each in objects.objects(wanted, kubelet.shared(wanted), wanted.base)}


def told(found: Object) -> Object:
    """What an object says: its configuration as data, without what the API fills in, or a program takes for nothing."""
    subjects = sorted(found.get("subjects", []), key=lambda subject: str(subject["name"]))  # their order says nothing
    found = found | {"subjects": [subject | {"apiGroup": ""} for subject in subjects]}
    for entry, text in found.pop("data", {}).items():
        (parsed,) = [value for _, value in documents.load(text)] if entry != "Corefile" else [text]
        found[entry] = parsed
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of all that says something; a list without mappings is one value."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from leaves(inner, f"{path}.{name}".lstrip("."))
        case [dict(), *_] if path != "subjects":
            for number, inner in enumerate(value):
                yield from leaves(inner, f"{path}.{number}")
        case None | "" | "0" | "0s" | [] | False | 0:
            pass
        case _:
            yield path, value


@pytest.fixture(scope="module", params=[(release.kubernetes, case) for release in RELEASES for case in CASES], ids=str)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Objects, Objects]:
    """Kubeadm's objects and ours, of one version of Kubernetes and one cluster."""
    version, case = request.param
    return by_kubeadm(version, case, tmp_path_factory.mktemp(case)), by_us(version, case)


def test_what_only_one_of_both_creates_has_a_reason(both: tuple[Objects, Objects]) -> None:
    theirs, ours = both
    assert theirs.keys() - ours.keys() == THEIRS.keys()
    assert ours.keys() - theirs.keys() <= OURS
    assert ours.keys() >= OURS


def differences(theirs: Objects, ours: Objects) -> dict[tuple[str, str], tuple[Any, Any]]:
    """(name, field) -> kubeadm's value and ours, in the objects both create."""
    found = {}
    for key in theirs.keys() & ours.keys():
        one, other = dict(leaves(told(theirs[key]))), dict(leaves(told(ours[key])))
        for field in one.keys() | other.keys():
            if one.get(field) != other.get(field):
                name = "*" if ("*", field) in DIFFERENT else ours[key]["metadata"]["name"]
                found[name, field] = (one.get(field), other.get(field))
    return found


def test_every_difference_in_an_object_has_a_reason_and_no_reason_outlives_it(both: tuple[Objects, Objects]) -> None:
    found = differences(*both)
    assert {where: values for where, values in found.items() if where not in DIFFERENT} == {}
    assert DIFFERENT.keys() - found.keys() == set()


def test_with_kubeadm_join_we_create_what_kubeadm_does(
    request: pytest.FixtureRequest, both: tuple[Objects, Objects]
) -> None:
    version, case = request.node.callspec.params["both"]
    wanted = cluster(version, case).model_copy(update={"kubeadm_join": True})
    authority = next(documents.load(both[0][joining.KEY]["data"]["kubeconfig"]))[1]["clusters"][0]["cluster"]
    pem = b64decode(authority["certificate-authority-data"])
    every = (*objects.objects(wanted, kubelet.shared(wanted), wanted.base), *joining.objects(wanted, pem))
    ours = {objects.key(each): each for each in every}
    assert both[0].keys() - ours.keys() == {"|Secret|kube-system|bootstrap-token-…"}  # `token create` makes them
    found = differences(both[0], ours)
    assert not [where for where in found if where[1] == "subjects"]
    excused = {where for where, why in DIFFERENT.items() if why != TOKENS} | {("kubelet-config", ASKS)}
    assert {where: values for where, values in found.items() if where not in excused} == {}


def test_kubeadm_takes_our_configurations_as_valid(tmp_path: Path, both: tuple[Objects, Objects]) -> None:
    _, ours = both
    entries = (("kubeadm-config", "ClusterConfiguration"), ("kubelet-config", "kubelet"), ("kube-proxy", "config.conf"))
    texts = [ours[f"|ConfigMap|kube-system|{name}"]["data"][entry] for name, entry in entries]
    (tmp_path / "all.yaml").write_text("---\n".join(texts))
    version = next(iter(documents.load(texts[0])))[1]["kubernetesVersion"]
    assert run([kubeadm(version), "config", "validate", "--config", tmp_path / "all.yaml"]) == "ok\n"
