"""`bootstrap init` on a real node: what comes up, what it is worth, and what a second run does."""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.cluster import DIRECTORY, MANIFESTS, PARTS, Desk, Ended, names_in, pod, record, root, running, until


@dataclass(frozen=True, slots=True)
class Founded:
    """A cluster that `init` has just founded on a fresh node."""

    desk: Desk
    init: Ended
    ready: str  # what the API server said as soon as init had ended
    names: set[str]  # of all that ever lay in the manifest directory meanwhile


@pytest.fixture(scope="module")
def founded(untouched: Desk) -> Founded:
    """Founded once; every test leaves the cluster as it was."""
    untouched.node.exec("mkdir", "-p", DIRECTORY)
    with names_in(root(untouched.node) / DIRECTORY[1:]) as names:
        init = untouched.bootstrap("init")
    ready = untouched.kubectl("get", "--raw", "/readyz") if init.status == 0 else ""
    return Founded(untouched, init, ready, names)


@pytest.fixture
def cluster(founded: Founded) -> Desk:
    """The founded cluster, ready."""
    assert founded.init.status == 0, founded.init.err
    until(founded.desk.ready)
    return founded.desk


@pytest.fixture
def changing(cluster: Desk) -> Iterator[Desk]:
    """The founded cluster, whose file may be changed: it is put back, and applied, afterwards."""
    with cluster.described():
        yield cluster
    cluster.done("apply", "--yes")


# What comes up


def test_init_ends_well_and_says_what_to_type_next(founded: Founded) -> None:
    assert founded.init.status == 0, founded.init.err
    assert "next: bootstrap kubeconfig" in founded.init.err
    assert founded.init.out == ""
    assert founded.ready == "ok"


def test_the_node_gets_ready_and_every_part_runs(cluster: Desk) -> None:
    until(cluster.ready)
    assert running(cluster.node).keys() == {*PARTS, "kubelet"}


def test_coredns_runs(cluster: Desk) -> None:
    cluster.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=240s")
    assert cluster.get("-n", "kube-system", "deployment/coredns")["status"]["readyReplicas"] >= 1


def test_a_service_answers_under_its_name_and_logs_and_exec_work(cluster: Desk) -> None:
    server = "mkdir /www && echo hello >/www/index.html && echo listening && exec httpd -f -v -p 8080 -h /www"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    cluster.apply(pod("web", ["sh", "-c", server]), pod("client", ["sleep", "3600"]), service)
    try:
        cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=240s")
        address = cluster.get("service/web")["spec"]["clusterIP"]
        name = "web.default.svc.cluster.local"
        assert until(lambda: cluster.kubectl("exec", "client", "--", "wget", "-qO-", f"http://{address}")) == "hello\n"
        assert address in until(lambda: cluster.kubectl("exec", "client", "--", "nslookup", name))
        assert until(lambda: cluster.kubectl("exec", "client", "--", "wget", "-qO-", "http://web")) == "hello\n"
        assert "listening" in cluster.kubectl("logs", "web")
    finally:
        cluster.kubectl("delete", "pod/web", "pod/client", "service/web", "--wait=false")


def test_a_pod_that_asks_for_the_further_scheduler_is_bound_by_it(cluster: Desk) -> None:
    cluster.apply(pod("batch", ["sleep", "3600"], schedulerName="batch-scheduler"), pod("plain", ["sleep", "3600"]))
    try:
        cluster.kubectl("wait", "--for=condition=PodScheduled", "pod/batch", "pod/plain", "--timeout=240s")
        for name, scheduler in (("batch", "batch-scheduler"), ("plain", "default-scheduler")):
            chosen = f"--field-selector=involvedObject.name={name},reason=Scheduled"
            (event,) = until(lambda chosen=chosen: cluster.get("events", chosen)["items"])  # type: ignore[misc]
            assert event["reportingComponent"] == scheduler
    finally:
        cluster.kubectl("delete", "pod/batch", "pod/plain", "--wait=false")


def test_the_further_scheduler_has_lease_identity_and_port_of_its_own(cluster: Desk) -> None:
    leases = until(lambda: held(cluster, "batch-scheduler", "kube-scheduler"))
    assert leases["batch-scheduler"]["holderIdentity"] != leases["kube-scheduler"]["holderIdentity"]
    assert identity(cluster, "batch-scheduler.conf") != identity(cluster, "scheduler.conf")
    listening = cluster.node.exec("ss", "-Hltnp")
    for port, part in (("10260", "batch-scheduler"), ("10259", "kube-scheduler")):
        assert re.search(rf":{port} .*pid={running(cluster.node)[part]},", listening)


def held(cluster: Desk, *names: str) -> dict[str, dict[str, str]]:
    """What the leases of these names say, once somebody holds each of them."""
    leases = {each["metadata"]["name"]: each["spec"] for each in cluster.get("-n", "kube-system", "leases")["items"]}
    return leases if all(leases.get(name, {}).get("holderIdentity") for name in names) else {}


def identity(cluster: Desk, kubeconfig: str) -> str:
    """The subject of the certificate a kubeconfig on the node carries."""
    (user,) = yaml.safe_load((root(cluster.node) / "etc/kubernetes" / kubeconfig).read_text())["users"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["user"]["client-certificate-data"]))
    return certificate.subject.rfc4514_string()


def test_nothing_but_manifests_ever_lies_in_the_manifest_directory(founded: Founded) -> None:
    assert founded.names == MANIFESTS
    assert {path.name for path in (root(founded.desk.node) / DIRECTORY[1:]).iterdir()} == MANIFESTS


def status(cluster: Desk) -> Any:
    """What it says to programs, once all is well and the kubelet has told the API of every static pod; None before."""
    ended = cluster.bootstrap("status", "-o", "json")
    tree = yaml.safe_load(ended.out)  # JSON is YAML
    return None if ended.status or any(not part["version"] for part in tree["nodes"][0]["parts"]) else tree


def test_status_and_plan_speak_of_it_to_programs(cluster: Desk) -> None:
    told = until(lambda: status(cluster))
    assert [(node["name"], node["state"]) for node in told["nodes"]] == [("cp1", "healthy")]
    assert {part["name"] for part in told["nodes"][0]["parts"]} == {*PARTS, "kubelet"}
    versions = {part["name"]: part["version"] for part in told["nodes"][0]["parts"]}
    assert versions.pop("etcd").startswith("3.")
    assert {told["kubernetes"], told["nodes"][0]["kubelet"], *versions.values()} == {cluster.lab.version}
    assert (told["nodes"][0]["ready"], told["nodes"][0]["drift"]) == (True, [])
    assert 360 <= told["nodes"][0]["certificates"]["days"] <= 365
    (member,) = told["etcd"]
    assert (member["name"], member["leader"], member["alarm"], member["bytes"] > 0) == ("cp1", True, "", True)
    assert "cp1 3." in cluster.bootstrap("status").out
    plan = cluster.plan()
    assert (plan["apiVersion"], plan["kind"], plan["waves"], plan["blocked"]) == ("bootstrap/v1", "Plan", [], "")
    assert not any(plan["counts"].values())


# Certificates

CHAINS = {
    "ca.crt": ("apiserver.crt", "apiserver-kubelet-client.crt"),
    "front-proxy-ca.crt": ("front-proxy-client.crt",),
    "etcd/ca.crt": ("apiserver-etcd-client.crt", "etcd/server.crt", "etcd/peer.crt", "etcd/healthcheck-client.crt"),
}


def test_openssl_finds_nothing_wrong_with_the_certificates_on_the_node(cluster: Desk) -> None:
    for authority, leafs in CHAINS.items():
        words = ("openssl", "verify", "-x509_strict", "-CAfile", f"/etc/kubernetes/pki/{authority}")
        paths = [f"/etc/kubernetes/pki/{leaf}" for leaf in leafs]
        if authority == "ca.crt":
            paths.append("/var/lib/kubelet/pki/kubelet.crt")
        assert cluster.node.exec(*words, *paths).splitlines() == [f"{path}: OK" for path in paths]


def test_kubeadm_reads_when_the_certificates_expire(cluster: Desk) -> None:
    told = cluster.node.exec("kubeadm", "certs", "check-expiration")
    rows = {line.split()[0] for line in told.splitlines() if re.search(r"\b\d+[dy] ", line)}
    leafs = {leaf.removesuffix(".crt").replace("/", "-") for leafs in CHAINS.values() for leaf in leafs}
    kubeconfigs = {"admin.conf", "controller-manager.conf", "scheduler.conf"}
    assert rows == leafs | kubeconfigs | {"ca", "etcd-ca", "front-proxy-ca"}
    # One that is not bound by any rule stays on the workstation.
    assert re.findall("^!MISSING! *(.*?) *$", told, re.MULTILINE) == ["super-admin.conf"]


def test_no_key_of_an_authority_is_on_the_node(cluster: Desk) -> None:
    authorities = {spki(cluster.state / "pki" / authority) for authority in CHAINS}
    keys = {path: key for top in ("etc", "root", "tmp", "opt", "var") for path, key in found(cluster, top)}
    assert len(keys) > 10, "the search finds keys"
    assert len(authorities) == 3
    assert not [path for path, key in keys.items() if key in authorities]


def spki(certificate: Path) -> bytes:
    """The public key of a certificate."""
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def found(cluster: Desk, top: str) -> Iterator[tuple[Path, bytes]]:
    """The public half of every private key below a directory of the node, those within kubeconfigs too."""
    pem = rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----"
    for directory, below, names in os.walk(root(cluster.node) / top):
        below[:] = [name for name in below if name not in ("containerd", "etcd", "journal")]  # images, data, logs
        for path in (Path(directory) / name for name in names):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 20:
                continue
            content = path.read_bytes()
            packed = re.findall(rb"client-key-data: \"?([A-Za-z0-9+/=]+)", content)
            for key in re.findall(pem, b"\n".join([content, *map(base64.b64decode, packed)]), re.DOTALL):
                if b"OPENSSH" not in key:
                    public = load_pem_private_key(key, None).public_key()
                    yield path, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(("port", "authority"), [(6443, "ca.crt"), (10250, "ca.crt"), (2379, "etcd/ca.crt")])
def test_what_is_served_is_certified(cluster: Desk, port: int, authority: str) -> None:
    trust = ssl.create_default_context(cafile=cluster.state / "pki" / authority)
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection((cluster.node.address, port), timeout=10) as line,
        trust.wrap_socket(line, server_hostname=cluster.node.address) as served,
    ):
        assert served.getpeercert()


# Again


def test_a_second_init_changes_nothing_and_says_so(cluster: Desk) -> None:
    before = everything(cluster)
    again = cluster.done("init")
    assert "nothing to do" in again.err
    assert everything(cluster) == before


def everything(cluster: Desk) -> dict[str, object]:
    """Every file of ours or near it with its times, every part's process, the version of every object of ours."""
    near = "/etc /var/lib/bootstrap /var/lib/kubelet/config.yaml /var/lib/kubelet/pki"
    listed = f"find {near} -printf '%p %i %T@ %m %U\\n'"
    return {
        "files": cluster.node.shell(listed),
        "parts": running(cluster.node),
        "objects": dict(objects(cluster)),
    }


def objects(cluster: Desk) -> Iterator[tuple[str, object]]:
    """(key, version) of every object of ours; the inventory lists the keys."""
    inventory = cluster.get("-n", "kube-system", "configmap/bootstrap-objects")
    keys = set(inventory["data"]["keys"].split())
    kinds = sorted({f"{kind}.{group}".rstrip(".") for group, kind, _, _ in (key.split("|") for key in keys)})
    for each in [inventory, *cluster.get("-A", "--show-managed-fields", ",".join({*kinds, "node"}))["items"]]:
        metadata, group = each["metadata"], each["apiVersion"].rpartition("/")[0]
        key = "|".join((group, each["kind"], metadata.get("namespace", ""), metadata["name"]))
        if each["kind"] == "Node":  # its kubelet writes into it all the time
            yield key, [manager for manager in metadata["managedFields"] if manager["manager"] == "bootstrap"]
        elif key in keys:  # controllers write a status; where there is one, a generation counts what was declared
            yield key, metadata.get("generation", metadata["resourceVersion"])


def test_init_leaves_what_serves_alone_and_names_apply(changing: Desk) -> None:
    changing.describe(apiServer={"extraArgs": [{"name": "v", "value": "1"}]})
    before = everything(changing)
    refused = changing.bootstrap("init")
    assert refused.status == 2
    assert "next: bootstrap apply" in refused.err
    assert everything(changing) == before


def test_apply_asks_and_no_answer_changes_nothing(changing: Desk) -> None:
    changing.describe(apiServer={"extraArgs": [{"name": "v", "value": "1"}]})
    before = everything(changing)
    asked = changing.bootstrap("apply", stdin="n\n")
    assert asked.status == 130
    assert "~ /etc/kubernetes/manifests/kube-apiserver.yaml" in asked.out
    assert everything(changing) == before


def test_a_scheduler_that_is_no_longer_named_goes_with_its_objects_and_comes_again(changing: Desk) -> None:
    described = changing.tree()["schedulers"]
    before = dict(objects(changing))
    changing.describe(schedulers=[])
    assert changing.bootstrap("plan").status == 2
    with names_in(root(changing.node) / DIRECTORY[1:]) as names:
        changing.done("apply", "--yes")
    assert names <= MANIFESTS
    assert changing.bootstrap("plan").status == 0
    assert "batch-scheduler" not in running(changing.node)
    assert not [path for path in record(changing.node)["files"] if "batch-scheduler" in path]
    assert not list((root(changing.node) / "etc/kubernetes").rglob("batch-scheduler*"))
    assert "batch-scheduler" not in changing.kubectl("get", "clusterroles,clusterrolebindings,roles,rolebindings", "-A")
    until(lambda: "batch-scheduler-cp1" not in changing.kubectl("get", "pods", "-n", "kube-system"))

    changing.describe(schedulers=described)
    with names_in(root(changing.node) / DIRECTORY[1:]) as names:
        changing.done("apply", "--yes")
    assert names == {"batch-scheduler.yaml"}
    assert changing.bootstrap("plan").status == 0
    assert "batch-scheduler" in running(changing.node)
    until(lambda: "batch-scheduler-cp1" in changing.kubectl("get", "pods", "-n", "kube-system"))
    assert dict(objects(changing)).keys() == before.keys()
