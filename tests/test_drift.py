"""Plans that say what differs, plans that are kept, and what verify finds, on a real node whose files people touch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pki import Authority, Request, Usage
from tests.cluster import DIRECTORY, PARTS, PATIENCE, Desk, Ended, record, root, running, until
from tests.test_output import schema

MANIFEST = f"{DIRECTORY}/kube-scheduler.yaml"
ADMIN = "/etc/kubernetes/admin.conf"
API = f"{DIRECTORY}/kube-apiserver.yaml"
CANARY = "c4n4ry-7f3a"


@pytest.fixture(scope="module")
def founded(untouched: Desk) -> Desk:
    """A founded cluster for this module."""
    untouched.done("init")
    until(lambda: untouched.bootstrap("verify").status == 0)
    return untouched


@pytest.fixture
def asking(founded: Desk) -> Iterator[Desk]:
    """The founded cluster, whose file is put back afterwards: for what is only asked."""
    with founded.described():
        yield founded


@pytest.fixture
def cluster(founded: Desk) -> Iterator[Desk]:
    """The founded cluster: its file is put back and applied afterwards, and verify has nothing more to tell."""
    with founded.described():
        yield founded
    founded.done("apply", "--yes")
    until(lambda: founded.bootstrap("verify").status == 0)


def on(cluster: Desk, path: str) -> Path:
    """A file of the node, as this machine sees it."""
    return root(cluster.node) / path.lstrip("/")


def verified(cluster: Desk, *wheres: str, what: str = "") -> dict[str, dict[str, Any]]:
    """where -> finding, of a verify that finds these, one of them with these words."""

    def ask() -> dict[str, dict[str, Any]]:
        ended = cluster.bootstrap("verify", "-o", "json")
        assert ended.status in (0, 2), ended
        schema("Verification").validate(json.loads(ended.out))
        found = {each["where"]: each for each in json.loads(ended.out)["findings"]}
        assert (ended.status == 2) == bool(found), ended
        told = any(what in found[where]["what"] for where in wheres if where in found)
        return found if found.keys() >= {*wheres} and told else {}

    return until(ask)


def level(cluster: Desk, value: str, *names: str) -> None:
    """The verbosity of parts, a change that harms nobody."""
    cluster.describe(**{name: {"extraArgs": [{"name": "v", "value": value}]} for name in names})


# Plans


def test_a_changed_flag_is_shown_as_a_flag_with_what_restarts_and_for_how_long(asking: Desk) -> None:
    level(asking, "1", "apiServer", "scheduler")
    ended = asking.bootstrap("plan")
    assert ended.status == 2
    assert f"    ~ {API}\n        + --v: 1\n" in ended.out
    assert "restarts: kube-apiserver, kube-scheduler\n    away: the API about 6 s, controllers" in ended.out
    assert "1 nodes; 0 files created, 2 changed, 0 removed" in ended.out
    schema("Plan").validate(asking.plan())
    ((turn,),) = [wave for wave in asking.plan()["waves"] if wave[0]["step"] == "turn"]
    assert [put["differs"] for put in turn["put"]] == [[{"what": "--v", "was": None, "now": "1"}]] * 2
    assert turn["away"] == {"api": 6, "controllers": 6}


def test_no_secret_is_shown_though_it_differs(asking: Desk) -> None:
    cluster, secret = asking, on(asking, "/etc/kubernetes/encryption.yaml")
    before = secret.read_text()
    secret.write_text(before.replace("secret:", f"secret: {CANARY}"))
    proxy = {"name": "HTTP_PROXY", "value": f"http://me:{CANARY}@10.0.0.1"}
    cluster.describe(controllerManager={"extraEnvs": [proxy]})
    ended_as = {}
    for form in ("text", "json"):
        ended = cluster.bootstrap("plan", "-o", form, "--out", "secret.plan")
        ended_as[form] = ended.out
        assert ended.status == 2
        assert "/etc/kubernetes/encryption.yaml" in ended.out
        kept = (cluster.directory / "secret.plan").read_text()
        for secret_word in (CANARY, *before.split("secret: ")[1].split()[:1]):
            assert secret_word not in ended.out + ended.err + kept
    assert "(secret: content differs)" in ended_as["text"]
    assert CANARY not in cluster.bootstrap("verify").out
    secret.write_text(before)


def test_a_plan_that_was_kept_is_applied_and_then_there_is_nothing_left_of_it(cluster: Desk) -> None:
    level(cluster, "2", "apiServer")
    assert cluster.bootstrap("plan", "--out", "change.plan").status == 2
    assert (cluster.directory / "change.plan").stat().st_mode & 0o777 == 0o600
    cluster.done("apply", "change.plan", "--yes")
    assert "--v=2" in on(cluster, API).read_text()
    assert "nothing to do" in cluster.done("apply", "change.plan", "--yes").err


def test_a_plan_that_was_kept_is_refused_once_somebody_changed_a_file(cluster: Desk) -> None:
    level(cluster, "3", "apiServer")
    assert cluster.bootstrap("plan", "--out", "change.plan").status == 2
    before = running(cluster.node)
    cluster.node.exec("chmod", "640", ADMIN)
    refused = cluster.bootstrap("apply", "change.plan", "--yes")
    assert refused.status == 2
    assert f"{ADMIN} is not what it was" in refused.err
    assert "next: bootstrap plan --out change.plan" in refused.err
    assert on(cluster, ADMIN).stat().st_mode & 0o777 == 0o640
    assert running(cluster.node) == before


def test_a_dry_run_writes_nothing_and_says_what_there_is_to_do(asking: Desk) -> None:
    level(asking, "4", "scheduler")
    before = asking.node.shell("find /etc/kubernetes /var/lib/bootstrap -printf '%p %T@ %C@ %m\\n'")
    ended = asking.bootstrap("apply", "--dry-run")
    assert ended.status == 2
    assert "+ --v: 4" in ended.out
    assert asking.node.shell("find /etc/kubernetes /var/lib/bootstrap -printf '%p %T@ %C@ %m\\n'") == before


def test_a_phase_that_is_held_stays_as_it_is(asking: Desk) -> None:
    level(asking, "5", "scheduler")
    asking.describe(kubelet={**asking.tree().get("kubelet", {}), "maxPods": 101})
    told = json.loads(asking.bootstrap("plan", "-o", "json", "--skip-phases", "control-plane").out)
    paths = [put["path"] for wave in told["waves"] for step in wave for put in step["put"] if "path" in put]
    assert "/var/lib/kubelet/config.yaml" in paths
    assert MANIFEST not in paths
    nothing = asking.bootstrap("plan", "--skip-phases", "control-plane,kubelet,objects")
    assert nothing.status == 0, nothing


def test_what_can_not_change_is_refused_by_plan_with_why(asking: Desk) -> None:
    (node,) = asking.tree()["nodes"]
    changes: list[dict[str, Any]] = [
        {"nodes": [node | {"address": "10.9.9.9", "ssh": {**node.get("ssh", {}), "host": node["address"]}}]},
        {"nodes": [node | {"name": "another"}]},
        {"networking": {**asking.tree().get("networking", {}), "serviceSubnet": "10.97.0.0/16"}},
    ]
    before = asking.file.read_text()
    for change in changes:
        asking.describe(**change)
        refused = asking.bootstrap("plan")
        asking.file.write_text(before)
        assert refused.status == 3, refused
        assert "can't change on a living cluster" in refused.err
        assert "next: write " in refused.err


# What verify finds


def test_verify_says_nothing_while_all_is_well(founded: Desk) -> None:
    until(lambda: founded.bootstrap("verify") == Ended(0, "", ""))
    until(lambda: json.loads(founded.bootstrap("verify", "-o", "json").out)["findings"] == [])


def test_a_manifest_and_a_mode_that_somebody_changed_are_found_with_since_when_and_mended(cluster: Desk) -> None:
    cluster.node.exec("sed", "-i", "s/--leader-elect=true/--leader-elect=false/", MANIFEST)
    cluster.node.exec("chmod", "644", ADMIN)
    found = verified(cluster, MANIFEST, ADMIN)
    assert found[MANIFEST]["what"] == "content was changed"
    assert found[ADMIN]["what"] == "mode is 644, was left 600"
    for path in (MANIFEST, ADMIN):
        assert found[path]["mendedByApply"]
        since = datetime.fromisoformat(found[path]["since"])
        assert abs((datetime.now(UTC) - since).total_seconds()) < 300
    cluster.done("apply", "--yes")
    assert "--leader-elect=true" in on(cluster, MANIFEST).read_text()


def test_a_file_that_is_not_ours_is_found_in_the_manifest_directory(cluster: Desk) -> None:
    theirs = f"{DIRECTORY}/notes.txt"
    cluster.node.shell(f"echo not a pod >{theirs}")
    try:
        found = verified(cluster, theirs)[theirs]
        assert not found["mendedByApply"]
        assert "move it out" in found["next"]
    finally:
        cluster.node.exec("rm", theirs)


def test_a_part_that_stopped_is_found_though_the_api_is_down_and_started_again(cluster: Desk) -> None:
    cluster.node.exec("systemctl", "stop", "kubelet")
    assert verified(cluster, "kubelet")["kubelet"]["what"] == "does not run"
    cluster.node.shell("kill -KILL $(pidof kube-apiserver)")
    assert verified(cluster, "kubelet", "kube-apiserver")


def test_a_second_generation_that_goes_on_running_is_found_and_ended_by_apply(cluster: Desk) -> None:
    part, meant = "kube-scheduler", record(cluster.node)["runs"]["kube-scheduler"]
    old = [
        "env",
        f"BOOTSTRAP_PART={part}",
        f"BOOTSTRAP_GENERATION={'0' * 16}",
        "sh",
        "-c",
        "trap exit TERM; sleep inf & wait",
    ]
    cluster.node.exec(
        "systemd-run", "--quiet", "--unit=stale", "unshare", "--pid", "--fork", *old
    )  # as a container's init
    found = verified(cluster, part, what="0" * 16)[part]
    generations = {"0" * 16, meant}
    assert set(found["what"].removeprefix("runs generation ").split(",")[0].split("+")) == generations
    assert found["mendedByApply"]
    cluster.done("apply", "--yes")
    until(lambda: cluster.node.shell("systemctl is-active stale || true").strip() in ("inactive", "failed"))
    assert record(cluster.node)["runs"][part] == meant


# When everything has answered for the first time, it waits for SOAK seconds, and here for as long as a file is there.
SOAKING = """
import pathlib, time
from bootstrap import health
here, waited = pathlib.Path("soaks"), []
class Clock:
    monotonic = staticmethod(time.monotonic)
    @staticmethod
    def sleep(seconds):
        if seconds == health.SOAK and not waited:
            waited.append(here.touch())
            while here.exists():
                time.sleep(0.02)
        time.sleep(seconds)
health.time = Clock
"""


def test_a_part_that_dies_after_it_answered_is_not_taken_for_healthy_until_it_stays(
    cluster: Desk, tmp_path: Path
) -> None:
    level(cluster, "1", "scheduler")
    cluster.describe(kubelet=cluster.tree()["kubelet"] | {"maxPods": 101})  # else it is the kubelet's alone
    log, soaks = tmp_path / "log", cluster.directory / "soaks"
    begun = cluster.start("apply", "--yes", log=log, changed=SOAKING)
    until(lambda: soaks.exists() or begun.poll() is not None)
    assert all(f"{part} answers" in log.read_text() for part in (*PARTS, "kubelet"))
    cluster.node.shell("kill -KILL $(pidof kube-scheduler)")
    soaks.unlink()
    assert begun.wait(PATIENCE) == 0, log.read_text()
    assert "kube-scheduler ended, and was started again" in log.read_text()
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}


def test_a_serving_certificate_that_was_replaced_is_found_on_disk_and_where_it_is_served(cluster: Desk) -> None:
    path, pki = "/etc/kubernetes/pki/etcd/server", cluster.state / "pki"
    authority = Authority.read((pki / "etcd/ca.crt").read_bytes(), (pki / "etcd/ca.key").read_bytes())
    names = (cluster.node.address, "127.0.0.1", "localhost", "cp1")
    request = Request("cp1", names=names, usages=(Usage.SERVER, Usage.CLIENT))
    theirs = authority.issue(request, now=datetime.now(UTC), days=60)
    on(cluster, f"{path}.crt").write_bytes(theirs.certificate)
    on(cluster, f"{path}.key").write_bytes(theirs.key)
    found = verified(cluster, f"{path}.crt", f"{path}.key")
    assert found[f"{path}.crt"]["what"] == "content was changed"
    assert found[f"{path}.key"]["mendedByApply"]
    assert "etcd, port 2379" not in found, "etcd reads its pair at every handshake: what is served is the file"


def test_a_certificate_that_is_not_served_is_found_by_what_is(cluster: Desk) -> None:
    path, pki = "/etc/kubernetes/pki/apiserver.crt", cluster.state / "pki"
    authority = Authority.read((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
    theirs = authority.issue(Request("theirs", usages=(Usage.SERVER,)), now=datetime.now(UTC), days=60)
    on(cluster, path).write_bytes(theirs.certificate)  # without its key: the API server goes on with what it has
    found = verified(cluster, path, "kube-apiserver, port 6443", what="serves ")
    served = found["kube-apiserver, port 6443"]
    assert f"{path} is serial {x509.load_pem_x509_certificate(theirs.certificate).serial_number:x}" in served["what"]
    assert not served["mendedByApply"]
    assert found[path]["mendedByApply"]


def test_a_flag_of_the_kubelet_that_another_drop_in_sets_is_found(cluster: Desk) -> None:
    theirs = "/etc/systemd/system/kubelet.service.d/99-theirs.conf"
    ours = on(cluster, "/etc/systemd/system/kubelet.service.d/50-bootstrap.conf").read_text()
    start = ours[ours.index("ExecStart=\n") :].rstrip()
    on(cluster, theirs).write_text(f"[Service]\n{start} \\\n  --v=3\n")
    cluster.node.shell("systemctl daemon-reload && systemctl restart kubelet")
    try:
        assert verified(cluster, "kubelet", what="runs with --v=3, our unit says no --v")
    finally:
        cluster.node.exec("rm", theirs)
        cluster.node.shell("systemctl daemon-reload && systemctl restart kubelet")


def test_an_object_that_was_changed_or_deleted_is_found_with_its_fields(cluster: Desk) -> None:
    cluster.kubectl("-n", "kube-system", "patch", "cm", "coredns", "-p", json.dumps({"data": {"Corefile": CANARY}}))
    cluster.kubectl("delete", "clusterrolebinding", "kubeadm:apiserver-kubelet-client")
    missing = "rbac.authorization.k8s.io|ClusterRoleBinding||kubeadm:apiserver-kubelet-client"
    found = verified(cluster, "|ConfigMap|kube-system|coredns", missing)
    assert found["|ConfigMap|kube-system|coredns"]["what"] == "differs: data.Corefile"
    assert found[missing]["what"] == "is missing"
    assert CANARY not in cluster.bootstrap("plan").out
