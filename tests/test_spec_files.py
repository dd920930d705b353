"""cluster.yaml on a workstation: what is no text at all, the files it names, and what a static pod may not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bootstrap import documents
from bootstrap.errors import Code
from bootstrap.spec import Invalid, load, parse, static_pod_problems
from tests.test_spec import MINIMAL, at_mark

WORKER = "- {name: w1, address: 10.77.0.21, role: worker}"


def refused(path: Path) -> Invalid:
    with pytest.raises(Invalid) as caught:
        load(path)
    assert caught.value.code == Code.WRONG_FILE
    return caught.value


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    problem = refused(file)
    assert problem.what == f"there is no file {file}"
    assert problem.next == f"bootstrap config example > {file}, or name another with -f"


def test_a_directory_says_which_file(tmp_path: Path) -> None:
    assert refused(tmp_path).next == f"name the file in it: -f {tmp_path}/cluster.yaml"


def test_a_file_that_is_not_text_says_where(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_bytes("name: é\r\nkind: ".encode() + b"\xff")
    assert refused(file).why == f"{file}:2:7: the byte 0xFF is not UTF-8 (save the file as UTF-8)"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    assert "larger than 8 MiB" in refused(file).what


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_bytes(MINIMAL.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(file).nodes == parse(MINIMAL, "x").nodes


def test_a_cluster_knows_the_directory_its_paths_start_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load(Path("cluster.yaml")).base == tmp_path
    assert parse(MINIMAL, "x").base == Path()


POD = """apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: kube-system}
spec:
  hostNetwork: true
  automountServiceAccountToken: false
  priorityClassName: system-node-critical
  initContainers: [{name: init, image: x, env: [{name: A, value: b}]}]
  containers:
  - name: agent
    image: example/agent:1
    env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
    volumeMounts: [{name: host, mountPath: /host}]
  nodeSelector: {secret: "yes"}
  volumes:
  - {name: host, hostPath: {path: /, type: Directory}}
  - {name: scratch, emptyDir: {}}
  - {name: me, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: both, projected: {sources: [{downwardAPI: {items: []}}]}}
"""


def pod(changes: str = "") -> dict[str, Any]:
    """The manifest above, with one part of its spec in other words."""
    [(_, found)] = documents.load(POD)
    spec = found["spec"]
    for name, value in next(iter(documents.load(changes)))[1].items() if changes else ():
        spec[name] = value if name not in spec or not isinstance(spec[name], list) else [*spec[name], *value]
    return dict(found)


def test_a_pod_that_needs_nothing_of_the_api_can_be_static() -> None:
    assert static_pod_problems(pod()) == []
    assert static_pod_problems(pod("{serviceAccountName: '', imagePullSecrets: [], resourceClaims: null}")) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ("serviceAccountName: x", "spec.serviceAccountName: a static pod can't refer to a ServiceAccount"),
        ("serviceAccount: x", "spec.serviceAccount: a static pod can't refer to a ServiceAccount"),
        ("imagePullSecrets: [{name: x}]", "spec.imagePullSecrets: a static pod can't refer to Secrets"),
        ("resourceClaims: [{name: x}]", "spec.resourceClaims: a static pod can't refer to ResourceClaims"),
        (
            "ephemeralContainers: [{name: x}]",
            "spec.ephemeralContainers: a static pod can't refer to ephemeral containers",
        ),
        *(
            (f"volumes: [{{name: x, {kind}: {{}}}}]", f"spec.volumes[4].{kind}: a static pod can't refer to {what}")
            for kind, what in {
                "secret": "a Secret",
                "configMap": "a ConfigMap",
                "persistentVolumeClaim": "a PersistentVolumeClaim",
                "ephemeral": "a PersistentVolumeClaim",
                "csi": "a CSIDriver",
                "glusterfs": "Endpoints",
                "azureFile": "a Secret",
            }.items()
        ),
        *(
            (
                f"volumes: [{{name: x, projected: {{sources: [{{{kind}: {{}}}}]}}}}]",
                f"spec.volumes[4].projected.sources[0].{kind}: a static pod can't refer to {what}",
            )
            for kind, what in {
                "secret": "a Secret",
                "configMap": "a ConfigMap",
                "serviceAccountToken": "a ServiceAccount",
                "clusterTrustBundle": "a ClusterTrustBundle",
                "podCertificate": "a signer",
            }.items()
        ),
        *(
            (
                f"volumes: [{{name: x, {driver}: {{secretRef: {{name: s}}}}}}]",
                f"spec.volumes[4].{driver}.secretRef: a static pod can't refer to a Secret",
            )
            for driver in ("cephfs", "rbd", "iscsi", "flexVolume", "scaleIO", "cinder", "storageos")
        ),
        *(
            (
                f"{kind}: [{{name: x, env: [{{name: A, valueFrom: {{{reference}: {{name: s, key: k}}}}}}]}}]",
                f"spec.{kind}[1].env[0].valueFrom.{reference}: a static pod can't refer to {what}",
            )
            for kind in ("containers", "initContainers")
            for reference, what in {"secretKeyRef": "a Secret", "configMapKeyRef": "a ConfigMap"}.items()
        ),
        (
            "containers: [{name: x, envFrom: [{secretRef: {}}]}]",
            "spec.containers[1].envFrom[0].secretRef: a static pod",
        ),
        (
            "containers: [{name: x, envFrom: [{configMapRef: {}}]}]",
            "spec.containers[1].envFrom[0].configMapRef: a static",
        ),
    ],
)
def test_a_static_pod_may_not_refer_to_what_only_the_api_knows(changes: str, problem: str) -> None:
    [found] = static_pod_problems(pod(changes))
    assert found.startswith(problem)


def test_what_is_no_pod_is_no_static_pod() -> None:
    assert static_pod_problems({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"containers": "x"}}) == [
        "apiVersion: must be v1",
        "kind: must be Pod",
        "metadata.name: is missing",
        "spec.containers: is missing",
    ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "agent.yaml").write_text(POD)
    (tmp_path / "addons").mkdir()
    return tmp_path


def loaded(directory: Path, marked: str) -> list[str]:
    """What is wrong with a file in this directory, whose name is left out of what is said."""
    text, position = at_mark(f"{MINIMAL}{WORKER}\n{marked}\n")
    (directory / "cluster.yaml").write_text(text)
    with pytest.raises(Invalid) as caught:
        load(directory / "cluster.yaml")
    assert all(str(finding).startswith(f"{position}: ") for finding in caught.value.findings)
    return [f"{finding.path}: {finding.problem}".replace(f"{directory}/", "") for finding in caught.value.findings]


def test_the_files_that_are_named_are_looked_for_from_the_directory_of_the_file(directory: Path) -> None:
    (directory / "addons" / "x.yaml").write_text("")
    (directory / "cluster.yaml").write_text(
        f"{MINIMAL}addons: [{{file: addons/}}, {{file: addons/x.yaml}}]\nstaticPods: [{{file: pods/agent.yaml}}]\n"
    )
    assert load(directory / "cluster.yaml").addons[0].file == "addons/"


def test_a_file_that_is_missing_is_told_at_its_entry(directory: Path) -> None:
    assert loaded(directory, "addons: [{file: ▸nowhere}]") == ["addons[0].file: there is no nowhere"]
    assert loaded(directory, "addons: [{file: ▸addons}]") == ["addons[0].file: addons has no *.yaml, *.yml, *.json"]
    assert loaded(directory, "staticPods: [{file: ▸x.yaml}]") == ["staticPods[0].file: there is no x.yaml"]
    assert loaded(directory, 'staticPods: [{file: ▸"\\0"}]') == [
        "staticPods[0].file: no path holds the character U+0000"
    ]
    assert loaded(directory, 'addons: [{file: ▸"\\0"}]') == ["addons[0].file: no path holds the character U+0000"]
    assert loaded(directory, "staticPods: [{file: ▸pods}]") == [
        "staticPods[0].file: pods can't be read: Is a directory"
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: [", "pods/x.yaml is not YAML"),
        ("", "pods/x.yaml is not the manifest of one pod"),
        (f"{POD}---\n{POD}", "pods/x.yaml is not the manifest of one pod"),
        (POD.replace("kind: Pod", "kind: Job"), "pods/x.yaml: kind: must be Pod"),
        (
            POD.replace("hostNetwork: true", "serviceAccountName: x"),
            "pods/x.yaml: spec.serviceAccountName: a static pod",
        ),
        (POD.replace("agent", "etcd"), "pods/x.yaml: the pod etcd has the name of a part of the control plane"),
    ],
)
def test_a_manifest_that_can_be_no_static_pod_is_told_at_its_entry(directory: Path, content: str, says: str) -> None:
    (directory / "pods" / "x.yaml").write_text(content)
    [problem] = loaded(directory, "staticPods: [{file: ▸pods/x.yaml}]")
    assert problem.startswith(f"staticPods[0].file: {says}")


def test_no_node_has_two_static_pods_of_one_name(directory: Path) -> None:
    (directory / "pods" / "x.yaml").write_text(POD)
    [problem] = loaded(directory, "staticPods: [{file: pods/agent.yaml}, {file: ▸pods/x.yaml, nodes: [w1]}]")
    assert problem == "staticPods[1].file: pods/x.yaml: node w1 has a pod agent already, from pods/agent.yaml"


def test_two_static_pods_of_one_name_may_run_on_two_nodes(directory: Path) -> None:
    (directory / "pods" / "x.yaml").write_text(POD)
    (directory / "cluster.yaml").write_text(
        f"{MINIMAL}{WORKER}\n"
        "staticPods: [{file: pods/agent.yaml, nodes: [cp1]}, {file: pods/x.yaml, nodes: [w1]}]\n"
    )
    assert len(load(directory / "cluster.yaml").static_pods) == 2
