"""The cluster's credentials: kubeadm's table, nothing more on a node than it needs, made once and renewed in time."""

from __future__ import annotations

import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from bootstrap import credentials
from bootstrap.credentials.rows import leaves
from bootstrap.spec.model import Cluster
from bootstrap.world import File
from pki import Authority, keys
from tests.judges import cryptography_refuses, openssl_refuses, pkilint_finds
from tests.stores import (
    AUTHORITIES,
    CLIENT,
    NOW,
    ONE,
    SERVER,
    cluster,
    issued_for,
    names_of,
    parsed,
    signed,
    usages_of,
    word,
)

PAIRS_OF_A_CONTROL_PLANE_NODE = (
    *("pki/apiserver", "pki/apiserver-kubelet-client", "pki/apiserver-etcd-client", "pki/front-proxy-client"),
    *("pki/etcd/server", "pki/etcd/peer", "pki/etcd/healthcheck-client"),
    *("kubelet/kubelet", "kubelet/kubelet-client", "admin", "controller-manager", "scheduler"),
)


def by_path(demo: Cluster, store: Mapping[str, bytes], node: str) -> dict[str, File]:
    return {file.path: file for file in credentials.files(demo, store, demo.node(node))}


def conf(content: bytes) -> dict[str, Any]:
    """The parts of a kubeconfig that has one cluster, one user and one context."""
    found = yaml.safe_load(content)
    (server,), (user,), (context,) = found["clusters"], found["users"], found["contexts"]
    assert (found["apiVersion"], found["kind"]) == ("v1", "Config")
    assert found["current-context"] == context["name"]
    assert context["context"] == {"cluster": server["name"], "user": user["name"]}
    return {
        **server["cluster"],
        **user["user"],
        "cluster": server["name"],
        "user": user["name"],
        "context": context["name"],
    }


def pems(content: bytes) -> Iterator[bytes]:
    """Every PEM in a file: itself, or what a kubeconfig holds."""
    if content.startswith(b"-----BEGIN"):
        yield content
    else:
        yield from (b64decode(value) for field, value in conf(content).items() if field.endswith("-data"))


# kubeadm's table, and after it what kubeadm does not have; columns: authority, common name, organization, usages
TABLE = [
    ("nodes/cp1/pki/apiserver", "kubernetes", "kube-apiserver", "", {SERVER}),
    ("nodes/cp1/pki/apiserver-kubelet-client", "kubernetes", "kube-apiserver-kubelet-client", "", {CLIENT}),
    ("nodes/cp1/pki/front-proxy-client", "front-proxy-ca", "front-proxy-client", "", {CLIENT}),
    ("nodes/cp1/pki/etcd/server", "etcd-ca", "cp1", "", {SERVER, CLIENT}),
    ("nodes/cp1/pki/etcd/peer", "etcd-ca", "cp1", "", {SERVER, CLIENT}),
    ("nodes/cp1/pki/etcd/healthcheck-client", "etcd-ca", "kube-etcd-healthcheck-client", "", {CLIENT}),
    ("nodes/cp1/pki/apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client", "", {CLIENT}),
    ("nodes/cp1/admin", "kubernetes", "kubernetes-admin", "kubeadm:cluster-admins", {CLIENT}),
    ("operator/super-admin", "kubernetes", "kubernetes-super-admin", "system:masters", {CLIENT}),
    ("nodes/cp1/controller-manager", "kubernetes", "system:kube-controller-manager", "", {CLIENT}),
    ("nodes/cp1/scheduler", "kubernetes", "system:kube-scheduler", "", {CLIENT}),
    ("nodes/cp1/kubelet/kubelet-client", "kubernetes", "system:node:cp1", "system:nodes", {CLIENT}),
    ("nodes/w1/kubelet/kubelet-client", "kubernetes", "system:node:w1", "system:nodes", {CLIENT}),
    ("nodes/cp1/kubelet/kubelet", "kubernetes", "system:node:cp1", "system:nodes", {SERVER}),
    ("nodes/w1/kubelet/kubelet", "kubernetes", "system:node:w1", "system:nodes", {SERVER}),
    ("nodes/cp1/batch", "kubernetes", "scheduler:batch", "", {CLIENT}),
    ("nodes/cp2/gpu", "kubernetes", "scheduler:gpu", "", {CLIENT}),
    ("operator/admin", "kubernetes", "kubernetes-admin", "kubeadm:cluster-admins", {CLIENT}),
    ("operator/etcd", "etcd-ca", "bootstrap-operator", "", {CLIENT}),
]


@pytest.mark.parametrize(("name", "authority", "common_name", "organization", "usages"), TABLE)
def test_every_row_of_the_table_is_issued_as_it_says(
    *,
    issued: Mapping[str, bytes],
    name: str,
    authority: str,
    common_name: str,
    organization: str,
    usages: set[x509.ObjectIdentifier],
) -> None:
    leaf = parsed(issued[f"{name}.crt"])
    assert word(leaf, NameOID.COMMON_NAME) == common_name
    assert word(leaf, NameOID.ORGANIZATION_NAME) == organization
    assert usages_of(leaf) == usages
    leaf.verify_directly_issued_by(parsed(issued[f"{AUTHORITIES[authority]}.crt"]))
    assert leaf.not_valid_after_utc == NOW + timedelta(days=365)
    assert keys.read(issued[f"{name}.key"]).public_key() == leaf.public_key()


def test_there_are_three_authorities_with_keys_of_their_own(issued: Mapping[str, bytes]) -> None:
    found = {word(parsed(issued[f"{name}.crt"]), NameOID.COMMON_NAME): name for name in AUTHORITIES.values()}
    assert found == AUTHORITIES
    assert len({keys.fingerprint(parsed(issued[f"{name}.crt"]).public_key()) for name in found.values()}) == 3


def test_the_store_holds_these_names_and_no_others(demo: Cluster, issued: Mapping[str, bytes]) -> None:
    pairs = {f"nodes/{node.name}/{pair}" for node in demo.voters for pair in PAIRS_OF_A_CONTROL_PLANE_NODE}
    pairs |= {"nodes/cp1/batch", *(f"nodes/{node.name}/gpu" for node in demo.voters)}
    pairs |= {"nodes/w1/kubelet/kubelet", "nodes/w1/kubelet/kubelet-client"}
    pairs |= {"operator/etcd", "operator/admin", "operator/super-admin", *AUTHORITIES.values()}
    expected = {f"{pair}.{half}" for pair in pairs for half in ("crt", "key")}
    assert set(issued) == expected | {"pki/sa.key", "pki/sa.pub", "encryption.key", "admin.conf", "super-admin.conf"}
    assert {f"{spec.stored(node)}.crt" for spec, node in leaves(demo)} == {name for name, _, _ in signed(issued)}


def test_the_api_server_is_known_by_every_name_it_is_called_by(issued: Mapping[str, bytes]) -> None:
    assert names_of(parsed(issued["nodes/cp1/pki/apiserver.crt"])) == {
        *("cp1", "10.77.0.11", "localhost", "127.0.0.1", "10.96.0.1", "api.demo.internal"),
        *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
    }


def test_an_ipv6_cluster_has_its_addresses_in_its_certificates() -> None:
    six = {"name": "cp1", "address": "fd00:77::11", "role": "control-plane"}
    networking = {"podSubnet": "fd00:10::/56", "serviceSubnet": "fd00:96::/112", "dnsDomain": "six.internal"}
    wanted = cluster({"endpoint": "[fd00::5]:6443", "nodes": [six], "networking": networking}, ONE)
    store = issued_for(wanted)
    found = names_of(parsed(store["nodes/cp1/pki/apiserver.crt"]))
    assert {"fd00:77::11", "fd00::5", "fd00:96::1", "kubernetes.default.svc.six.internal"} <= found
    files = by_path(wanted, store, "cp1")
    assert conf(files["/etc/kubernetes/scheduler.conf"].content)["server"] == "https://[fd00:77::11]:6443"
    assert conf(files["/etc/kubernetes/admin.conf"].content)["server"] == "https://[fd00::5]:6443"


def test_etcd_and_the_kubelet_are_known_by_name_and_address(issued: Mapping[str, bytes]) -> None:
    for pair in ("server", "peer"):
        found = names_of(parsed(issued[f"nodes/cp2/pki/etcd/{pair}.crt"]))
        assert found == {"cp2", "10.77.0.12", "localhost", "127.0.0.1", "::1"}
    assert names_of(parsed(issued["nodes/w1/kubelet/kubelet.crt"])) == {"w1", "10.77.0.21"}
    assert names_of(parsed(issued["nodes/w1/kubelet/kubelet-client.crt"])) == set()


def test_the_files_own_names_go_where_they_are_asked_for() -> None:
    changes = {
        "apiServer": {"certSANs": ["*.demo.example", "192.0.2.7"]},
        "etcd": {"serverCertSANs": ["etcd.demo.example"], "peerCertSANs": ["192.0.2.8"]},
    }
    found = {name: names_of(leaf) for name, leaf, _ in signed(issued_for(cluster(changes, ONE)))}
    assert {"*.demo.example", "192.0.2.7"} <= found.pop("nodes/cp1/pki/apiserver.crt")
    assert "etcd.demo.example" in found.pop("nodes/cp1/pki/etcd/server.crt")
    assert "192.0.2.8" in found.pop("nodes/cp1/pki/etcd/peer.crt")
    others = {name for names in found.values() for name in names}
    assert others.isdisjoint({"*.demo.example", "192.0.2.7", "etcd.demo.example", "192.0.2.8"})


def test_openssl_believes_every_leaf_as_what_it_is_for_and_not_as_anything_else(issued: Mapping[str, bytes]) -> None:
    judged = 0
    for authority in {authority for _, _, authority in signed(issued)}:
        mine = [(issued[name], usages_of(leaf)) for name, leaf, of in signed(issued) if of == authority]
        for purpose, usage in (("sslserver", SERVER), ("sslclient", CLIENT)):
            fit = [pem for pem, usages in mine if usage in usages]
            unfit = [pem for pem, usages in mine if usage not in usages]
            assert openssl_refuses(authority, fit, purpose, NOW) == []
            assert len(openssl_refuses(authority, unfit, purpose, NOW)) == len(unfit)
            judged += len(fit)
    assert judged > len(list(signed(issued)))


def test_cryptography_believes_every_server_under_each_of_its_names(issued: Mapping[str, bytes]) -> None:
    servers = [(name, names_of(leaf), of) for name, leaf, of in signed(issued) if SERVER in usages_of(leaf)]
    assert len(servers) == 3 * 4 + 1
    for name, hosts, authority in servers:
        for host in hosts:
            assert cryptography_refuses(authority, issued[name], host, NOW) == ""


def test_pkilint_finds_nothing_in_any_certificate(issued: Mapping[str, bytes]) -> None:
    assert {name: found for name in issued if name.endswith(".crt") and (found := pkilint_finds(issued[name]))} == {}


def test_a_control_plane_node_gets_kubeadms_files_and_each_restarts_what_does_not_read_it_again(
    demo: Cluster, issued: Mapping[str, bytes]
) -> None:
    pki, kubelet, etc = "/etc/kubernetes/pki", "/var/lib/kubelet/pki", "/etc/kubernetes"
    live = (
        *("apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client"),
        *("etcd/server", "etcd/peer", "etcd/healthcheck-client"),
    )
    expected = {
        f"{pki}/ca.crt": (0o644, "", False),
        f"{pki}/front-proxy-ca.crt": (0o644, "", False),
        f"{pki}/etcd/ca.crt": (0o644, "etcd", False),
        f"{pki}/sa.pub": (0o644, "kube-apiserver", False),
        f"{pki}/sa.key": (0o600, "kube-apiserver", True),
        **{f"{pki}/{name}.crt": (0o644, "", False) for name in live},
        **{f"{pki}/{name}.key": (0o600, "", True) for name in live},
        f"{kubelet}/kubelet.crt": (0o644, "", False),
        f"{kubelet}/kubelet.key": (0o600, "", True),
        f"{kubelet}/kubelet-client.crt": (0o644, "kubelet", False),
        f"{kubelet}/kubelet-client.key": (0o600, "kubelet", True),
        f"{etc}/admin.conf": (0o600, "", True),
        f"{etc}/controller-manager.conf": (0o600, "kube-controller-manager", True),
        f"{etc}/scheduler.conf": (0o600, "kube-scheduler", True),
        f"{etc}/kubelet.conf": (0o600, "kubelet", False),
        f"{etc}/gpu.conf": (0o600, "gpu", True),
    }
    for node, more in (("cp1", {f"{etc}/batch.conf": (0o600, "batch", True)}), ("cp2", {})):
        found = credentials.files(demo, issued, demo.node(node))
        assert {file.path: (file.mode, file.part, file.secret) for file in found} == expected | more
        assert len({file.path for file in found}) == len(found)


def test_a_worker_gets_its_kubelets_files_only(demo: Cluster, issued: Mapping[str, bytes]) -> None:
    found = credentials.files(demo, issued, demo.node("w1"))
    assert {file.path: (file.mode, file.part, file.secret) for file in found} == {
        "/etc/kubernetes/pki/ca.crt": (0o644, "", False),
        "/etc/kubernetes/kubelet.conf": (0o600, "kubelet", False),
        "/var/lib/kubelet/pki/kubelet.crt": (0o644, "", False),
        "/var/lib/kubelet/pki/kubelet.key": (0o600, "", True),
        "/var/lib/kubelet/pki/kubelet-client.crt": (0o644, "kubelet", False),
        "/var/lib/kubelet/pki/kubelet-client.key": (0o600, "kubelet", True),
    }


def test_files_are_the_same_bytes_however_often_they_are_asked_for(demo: Cluster, issued: Mapping[str, bytes]) -> None:
    for node in demo.nodes:
        assert credentials.files(demo, issued, node) == credentials.files(demo, dict(sorted(issued.items())), node)


def test_no_node_gets_a_key_of_an_authority_or_a_credential_that_is_above_rbac(
    demo: Cluster, issued: Mapping[str, bytes]
) -> None:
    authorities = {keys.fingerprint(parsed(issued[f"{name}.crt"]).public_key()) for name in AUTHORITIES.values()}
    private = 0
    for node in demo.nodes:
        for pem in (pem for file in credentials.files(demo, issued, node) for pem in pems(file.content)):
            if b"PRIVATE KEY" in pem:
                private += 1
                assert keys.fingerprint(keys.read(pem).public_key()) not in authorities
            elif b"BEGIN CERTIFICATE" in pem:
                assert word(parsed(pem), NameOID.ORGANIZATION_NAME) != "system:masters"
                assert not word(parsed(pem), NameOID.COMMON_NAME).startswith("bootstrap-")
    assert private == 3 * (len(PAIRS_OF_A_CONTROL_PLANE_NODE) + 1) + 4 + 2  # and sa.key; gpu, batch; w1


def test_nodes_share_no_key_but_the_service_accounts(demo: Cluster, issued: Mapping[str, bytes]) -> None:
    of: dict[bytes, list[str]] = {}
    for node in demo.nodes:
        for file in credentials.files(demo, issued, node):
            for pem in (pem for pem in pems(file.content) if b"PRIVATE KEY" in pem):
                of.setdefault(pem, []).append(f"{node.name}:{file.path}")
    shared = [places for places in of.values() if len(places) > 1]
    assert shared == [[f"{node.name}:/etc/kubernetes/pki/sa.key" for node in demo.voters]]
    assert set(of).isdisjoint({issued[f"operator/{name}.key"] for name in ("admin", "super-admin", "etcd")})


KUBECONFIGS = [
    ("cp2", "admin.conf", "kubernetes-admin", "https://api.demo.internal:6443"),
    ("cp2", "controller-manager.conf", "system:kube-controller-manager", "https://10.77.0.12:6443"),
    ("cp2", "scheduler.conf", "system:kube-scheduler", "https://10.77.0.12:6443"),
    ("cp2", "gpu.conf", "scheduler:gpu", "https://10.77.0.12:6443"),
    ("cp2", "kubelet.conf", "system:node:cp2", "https://10.77.0.12:6443"),
    ("w1", "kubelet.conf", "system:node:w1", "https://api.demo.internal:6443"),
]


@pytest.mark.parametrize(("node", "name", "user", "server"), KUBECONFIGS)
def test_a_kubeconfig_shows_its_user_to_its_server(
    *, demo: Cluster, issued: Mapping[str, bytes], node: str, name: str, user: str, server: str
) -> None:
    found = conf(by_path(demo, issued, node)[f"/etc/kubernetes/{name}"].content)
    assert (found["user"], found["cluster"], found["context"]) == (user, "demo", f"{user}@demo")
    assert found["server"] == server
    assert b64decode(found["certificate-authority-data"]) == issued["pki/ca.crt"]
    if name == "kubelet.conf":
        assert found["client-certificate"] == "/var/lib/kubelet/pki/kubelet-client.crt"
        assert found["client-key"] == "/var/lib/kubelet/pki/kubelet-client.key"
        assert "client-key-data" not in found
    else:
        leaf = parsed(b64decode(found["client-certificate-data"]))
        assert word(leaf, NameOID.COMMON_NAME) == user
        assert keys.read(b64decode(found["client-key-data"])).public_key() == leaf.public_key()


def test_the_workstations_kubeconfigs_are_its_own(issued: Mapping[str, bytes]) -> None:
    for name in ("admin", "super-admin"):
        found = conf(issued[f"{name}.conf"])
        assert found["server"] == "https://api.demo.internal:6443"
        assert b64decode(found["client-certificate-data"]) == issued[f"operator/{name}.crt"]
        assert b64decode(found["client-key-data"]) == issued[f"operator/{name}.key"]


def test_a_lone_control_plane_node_is_its_own_endpoint() -> None:
    store = issued_for(cluster({}, ONE))
    assert conf(store["admin.conf"])["server"] == "https://10.77.0.11:6443"


def test_names_that_yaml_would_take_for_something_else_stay_names() -> None:
    node = {"name": "1e3", "address": "10.77.0.11", "role": "control-plane"}
    wanted = cluster({"name": "on", "nodes": [node]}, ONE)
    found = conf(by_path(wanted, issued_for(wanted), "1e3")["/etc/kubernetes/kubelet.conf"].content)
    assert (found["cluster"], found["user"], found["context"]) == ("on", "system:node:1e3", "system:node:1e3@on")


def test_the_encryption_key_is_32_random_bytes(issued: Mapping[str, bytes]) -> None:
    other = issued_for(cluster({}, ONE))
    assert len(b64decode(issued["encryption.key"], validate=True)) == 32
    assert issued["encryption.key"] != other["encryption.key"]


def test_the_uid_is_that_of_the_main_authoritys_key(issued: Mapping[str, bytes]) -> None:
    uid = credentials.uid(issued)
    assert len(uid) == 16
    assert set(uid) <= set("0123456789abcdef")
    again = Authority.read(issued["pki/ca.crt"], issued["pki/ca.key"])
    assert credentials.uid({"pki/ca.crt": again.pair.certificate}) == uid
    assert credentials.uid(issued_for(cluster({}, ONE))) != uid


def test_secrets_do_not_show(demo: Cluster, issued: Mapping[str, bytes]) -> None:
    files = [credentials.files(demo, issued, node) for node in demo.nodes]
    shown = repr((files, credentials.api_identity(issued), credentials.etcd_identity(issued)))
    hidden = {issued["encryption.key"].decode()}
    for name, content in issued.items():
        if name.endswith(".key") and content.startswith(b"-----"):
            hidden |= set(content.decode().splitlines()[1:-1])
            hidden.add(b64encode(content).decode())
    assert len(hidden) > 100
    assert not [secret for secret in hidden if secret in shown]
    assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize(
    ("identity", "server", "host", "user"),
    [
        (credentials.api_identity, "nodes/cp2/pki/apiserver", "127.0.0.1", "kubernetes-super-admin"),
        (credentials.etcd_identity, "nodes/cp2/pki/etcd/server", "10.77.0.12", "bootstrap-operator"),
    ],
)
def test_the_tools_own_identities_are_believed_by_the_servers_they_are_for(
    *,
    issued: Mapping[str, bytes],
    tmp_path: Path,
    identity: Callable[[Mapping[str, bytes]], credentials.Identity],
    server: str,
    host: str,
    user: str,
) -> None:
    mine = identity(issued)
    (tmp_path / "server").write_bytes(issued[f"{server}.crt"] + issued[f"{server}.key"])
    (tmp_path / "mine").write_bytes(mine.certificate + mine.key)
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=mine.ca.decode())
    listening.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cadata=mine.ca.decode())
    for context, file in ((listening, "server"), (calling, "mine")):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(tmp_path / file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = calling.wrap_bio(back, there, server_hostname=host)
    end = listening.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for side in (client, end):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = end.getpeercert()
    assert seen is not None
    assert (("commonName", user),) in seen["subject"]
