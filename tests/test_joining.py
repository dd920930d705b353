"""`kubeadmJoin`: what it puts on nodes and into the API, tokens, and whose serving certificate is approved."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bootstrap import credentials, joining, kubelet, objects, serving, tokens
from bootstrap.components import Place, components, files
from bootstrap.documents import Object
from bootstrap.spec import Invalid, parse
from bootstrap.spec.model import Cluster
from bootstrap.versions import RELEASES
from bootstrap.world import File, Machine
from tests.stores import NOW, THREE, cluster, issued_for, parsed

NONE: dict[str, Any] = {"networking": {"plugin": "none"}}
ON: dict[str, Any] = {**NONE, "kubeadmJoin": True}
KEY = "/etc/kubernetes/pki/kubelet-ca.key"


@cache
def issued(*, on: bool) -> dict[str, bytes]:
    """A store, made once: nobody here writes into it."""
    return issued_for(cluster(ON if on else NONE))


def on_disk(wanted: Cluster, name: str) -> dict[str, File]:
    """What a node gets: credentials and static pods."""
    node, store = wanted.node(name), issued(on=wanted.kubeadm_join)
    place = Place("/etc/kubernetes/manifests", (), tuple((it.name, it.address) for it in wanted.voters))
    every = (*credentials.files(wanted, store, node), *files(wanted, node, place, store["encryption.key"].decode()))
    return {file.path: file for file in every}


def flags_of(wanted: Cluster, name: str) -> dict[str, str]:
    """The flags of one program on the first node."""
    (found,) = (it for it in components(wanted, wanted.voters[0]) if it.name == name)
    return found.flags


def api(wanted: Cluster) -> dict[str, Object]:
    """The objects that joining needs, by key."""
    authority = issued(on=wanted.kubeadm_join)["pki/ca.crt"]
    return {objects.key(each): each for each in joining.objects(wanted, authority)}


# On nodes


def test_the_key_of_the_signer_is_on_control_plane_nodes_and_only_while_it_is_on() -> None:
    on, off = cluster(ON), cluster(NONE)
    assert on_disk(on, "cp1")[KEY].mode == 0o600
    assert on_disk(on, "cp1")[KEY].secret
    assert KEY not in on_disk(on, "w1")
    assert not [path for path in on_disk(off, "cp1") if "kubelet-ca" in path or "kubernetes-cas" in path]
    assert "pki/kubelet-ca.key" not in issued(on=False)


def test_no_other_authority_gives_its_key_away() -> None:
    store = issued(on=True)
    elsewhere = {store[f"{name}.key"] for name in ("pki/ca", "pki/front-proxy-ca", "pki/etcd/ca")}
    assert not elsewhere & {file.content for file in on_disk(cluster(ON), "cp1").values()}


def test_the_api_server_believes_both_authorities_and_takes_tokens() -> None:
    flags, disk = flags_of(cluster(ON), "kube-apiserver"), on_disk(cluster(ON), "cp1")
    assert flags["client-ca-file"] == flags["kubelet-certificate-authority"]
    bundle = x509.load_pem_x509_certificates(disk[flags["client-ca-file"]].content)
    names = [each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for each in bundle]
    assert names == ["kubernetes", "kubelet-ca"]
    assert flags["enable-bootstrap-token-auth"] == "true"
    assert "enable-bootstrap-token-auth" not in flags_of(cluster(NONE), "kube-apiserver")


def test_the_signer_signs_for_kubelets_only() -> None:
    flags = flags_of(cluster(ON | {"certificateValidityDays": 10}), "kube-controller-manager")
    signing = {name: value for name, value in flags.items() if name.startswith("cluster-signing")}
    assert signing == {
        "cluster-signing-duration": "240h0m0s",
        "cluster-signing-kubelet-client-cert-file": "/etc/kubernetes/pki/kubelet-ca.crt",
        "cluster-signing-kubelet-client-key-file": KEY,
        "cluster-signing-kubelet-serving-cert-file": "/etc/kubernetes/pki/kubelet-ca.crt",
        "cluster-signing-kubelet-serving-key-file": KEY,
    }
    off = flags_of(cluster(NONE), "kube-controller-manager")
    assert not [name for name in off if name.startswith(("cluster-signing", "controllers"))]


def test_cluster_info_is_all_that_nobody_may_read_and_only_while_it_is_on() -> None:
    path = "/etc/kubernetes/policies/authentication.yaml"
    on, off = (yaml.safe_load(on_disk(cluster(fields), "cp1")[path].content) for fields in (ON, NONE))
    opened = [each for each in on["anonymous"]["conditions"] if each not in off["anonymous"]["conditions"]]
    assert opened == [{"path": "/api/v1/namespaces/kube-public/configmaps/cluster-info"}]


def test_turned_off_and_on_again_it_is_the_same_authority() -> None:
    before = issued(on=True)
    store = dict(before)
    credentials.issue(cluster(NONE), store, NOW)
    credentials.issue(cluster(ON), store, NOW)
    assert store == before


# In the API


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.kubernetes)
def test_every_object_is_valid_in_every_supported_version(release: Any) -> None:
    for each in api(cluster(ON | {"kubernetesVersion": release.kubernetes})).values():
        minor = release.kubernetes.removeprefix("v").rpartition(".")[0]
        kubernetes_validate.validate(each, f"{minor}.0", strict=True)
        assert each["metadata"]["labels"].items() >= objects.OURS.items()


def test_without_it_there_is_nothing_of_it_in_the_api() -> None:
    wanted = cluster(NONE)
    assert api(wanted) == {}
    texts = json.dumps([*objects.objects(wanted, kubelet.shared(wanted), wanted.base)])
    assert "bootstrappers" not in texts
    assert "serverTLSBootstrap" not in texts


def test_cluster_info_says_where_the_api_is_and_whom_to_believe() -> None:
    info = yaml.safe_load(api(cluster(ON))[joining.KEY]["data"]["kubeconfig"])
    ((name, told),) = ((each["name"], each["cluster"]) for each in info["clusters"])
    assert (name, told["server"], info["users"]) == ("", "https://api.demo.internal:6443", [])


def test_who_shows_a_token_may_read_what_a_join_reads() -> None:
    wanted = cluster(ON)
    every = (*objects.objects(wanted, kubelet.shared(wanted), wanted.base), *api(wanted).values())
    bound = {
        each["roleRef"]["name"]
        for each in every
        if each["kind"].endswith("Binding") and objects.JOINING in {it["name"] for it in each["subjects"]}
    }
    assert bound == {
        "kubeadm:get-nodes",
        "kubeadm:kubelet-config",
        "kubeadm:nodes-kubeadm-config",
        "kube-proxy",
        "system:node-bootstrapper",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    }


def test_kubelets_that_join_ask_for_a_serving_certificate_and_ours_do_not() -> None:
    wanted = cluster(ON)
    assert kubelet.shared(wanted)["serverTLSBootstrap"] is True
    for node in wanted.nodes:
        assert kubelet.config(wanted, node, machine=Machine())["serverTLSBootstrap"] is False


@pytest.mark.parametrize("networking", [{}, {"plugin": "bridge"}])
def test_the_bridge_does_not_reach_who_joins_by_itself(networking: dict[str, str]) -> None:
    text = yaml.safe_dump({**THREE, "networking": networking, "kubeadmJoin": True})
    with pytest.raises(Invalid) as invalid:
        parse(text, "cluster.yaml")
    assert "networking.plugin bridge" in str(invalid.value.why)


# Tokens


def test_a_token_is_random_well_formed_and_ends() -> None:
    one, two = (tokens.new(NOW, timedelta(hours=2), "") for _ in range(2))
    assert one.text != two.text
    assert tokens.ID.fullmatch(one.id)
    assert len(one.secret) == 16
    assert one.expires == datetime(2026, 11, 1, 14, tzinfo=UTC)
    assert tokens.new(NOW, None, "").expires is None
    assert one.secret not in repr(one)


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("90s", 90), ("0", None)])
def test_a_life_time_is_written_as_go_does(text: str, seconds: int | None) -> None:
    assert tokens.lifetime(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "1d", "-1h", "1h 30m", "0.1s"])
def test_what_is_no_life_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        tokens.lifetime(text)


def test_the_line_to_type_pins_the_authority() -> None:
    store = issued(on=True)
    public = parsed(store["pki/ca.crt"]).public_key()
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(*form))
    token = tokens.Token("abcdef", None, secret="0123456789abcdef")
    assert tokens.line("https://api.demo.internal:6443", token, credentials.pin(store)) == (
        "kubeadm join api.demo.internal:6443 --token abcdef.0123456789abcdef "
        f"--discovery-token-ca-cert-hash sha256:{digest.finalize().hex()}"
    )


# Serving certificates

NODES = {"w9": {"w9", "10.77.0.29"}, "w8": {"w8", "10.77.0.28"}}
OURS = frozenset({"cp1", "10.77.0.11", "api.demo.internal"})
WHO = {"username": "system:node:w9", "groups": ["system:nodes", "system:authenticated"]}
USES = {"usages": ["digital signature", "server auth"]}


def request(
    name: str = "system:node:w9", group: str = "system:nodes", names: tuple[str, ...] = ("w9", "10.77.0.29")
) -> dict[str, str]:
    """A request's content, as the API has it."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(it) for it in names]), critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return {"request": b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()}


def general(name: str) -> x509.GeneralName:
    """A name or an address."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def test_a_node_that_joined_gets_a_certificate_for_its_own_names() -> None:
    assert serving.wrong(WHO | USES | request(), NODES, OURS) == ""
    assert serving.wrong(WHO | USES | request(names=("10.77.0.29",)), NODES, OURS) == ""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (WHO | USES | request() | {"username": "system:node:w7"}, "no registered node"),
        (WHO | USES | request() | {"username": "w9"}, "no registered node"),
        (WHO | USES | request() | {"groups": ["system:authenticated"]}, "no registered node"),
        (WHO | USES | request() | {"usages": ["digital signature", "client auth"]}, "it is for client auth"),
        (WHO | USES | request() | {"usages": ["digital signature", "server auth", "client auth"]}, "it is for"),
        (WHO | USES | request(name="system:node:w8"), "its subject is"),
        (WHO | USES | request(group="system:masters"), "its subject is"),
        (WHO | USES | request(names=("w9", "10.77.0.99")), "10.77.0.99 is not w9's own"),
        (WHO | USES | request(names=("w8",)), "w8 is not w9's own"),
        (WHO | USES | request(names=("kubernetes.default.svc",)), "is not w9's own"),
        (WHO | USES | request(names=("w9@demo.internal",)), "neither names nor addresses"),
        (WHO | USES | request(names=()), "can't be read"),
        (WHO | USES | {"request": b64encode(b"nothing").decode()}, "can't be read"),
    ],
)
def test_any_other_request_is_left_alone(spec: dict[str, Any], why: str) -> None:
    assert why in serving.wrong(spec, NODES, OURS)


def test_a_node_that_claims_the_address_of_another_gets_nothing_for_it() -> None:
    for stolen in ("10.77.0.28", "10.77.0.11", "api.demo.internal"):
        claims = {**NODES, "w9": {"w9", stolen}}
        assert "is not w9's own" in serving.wrong(WHO | USES | request(names=(stolen,)), claims, OURS)


def test_a_node_of_the_file_has_its_certificate_from_there() -> None:
    asked = WHO | {"username": "system:node:cp1"} | USES | request(name="system:node:cp1", names=("cp1",))
    assert "stands in cluster.yaml" in serving.wrong(asked, {**NODES, "cp1": {"cp1"}}, OURS)
