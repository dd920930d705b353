"""When credentials are made: once, again when they no longer are what is asked, and never over what got lost."""

from __future__ import annotations

import ipaddress
from collections import UserDict
from collections.abc import Mapping, MutableMapping
from datetime import timedelta

import pytest

from bootstrap import credentials
from bootstrap.errors import Code, Problem
from bootstrap.spec.model import Cluster
from pki import Authority, keys
from tests.judges import openssl_refuses
from tests.stores import AUTHORITIES, NOW, ONE, SERVER, THREE, cluster, issued_for, parsed, signed, usages_of


@pytest.fixture
def store(issued: Mapping[str, bytes]) -> dict[str, bytes]:
    """A copy to change."""
    return dict(issued)


def test_what_is_written_is_told_in_order_authorities_before_their_leaves(demo: Cluster) -> None:
    store: dict[str, bytes] = {}
    written = credentials.issue(demo, store, NOW)
    assert list(written) == list(store)
    first = min(written.index(name) for name, _, _ in signed(store))
    assert set(written[: first - 1]) == {
        *(f"{name}.{half}" for name in AUTHORITIES.values() for half in ("crt", "key")),
        *("pki/sa.key", "pki/sa.pub", "encryption.key"),
    }


@pytest.mark.parametrize("days", [0, 1, 200, 335])
def test_a_second_issue_writes_nothing(demo: Cluster, store: dict[str, bytes], days: int) -> None:
    before = dict(store)
    assert credentials.issue(demo, store, NOW + timedelta(days=days)) == ()
    assert store == before


@pytest.mark.parametrize("days", [1, 20, 30])
def test_certificates_that_live_shorter_than_the_renewal_time_are_not_issued_over_and_over(days: int) -> None:
    wanted = cluster({"certificateValidityDays": days}, ONE)
    store = issued_for(wanted)
    assert credentials.issue(wanted, store, NOW) == ()
    assert "nodes/cp1/pki/apiserver.crt" in credentials.issue(wanted, store, NOW + timedelta(days=days * 0.7))


def apiservers(nodes: tuple[str, ...]) -> set[str]:
    return {f"nodes/{node}/pki/apiserver.{half}" for node in nodes for half in ("crt", "key")}


VOTERS = ("cp1", "cp2", "cp3")
CHANGES: list[tuple[dict[str, object], set[str]]] = [
    ({"apiServer": {"certSANs": ["more.example"]}}, apiservers(VOTERS)),
    # The workstation's kubeconfigs name the endpoint; their certificates stay.
    ({"endpoint": "other.demo.internal:6443"}, {*apiservers(VOTERS), "admin.conf", "super-admin.conf"}),
    ({"endpoint": "api.demo.internal:443"}, {"admin.conf", "super-admin.conf"}),
    ({"networking": {"serviceSubnet": "10.97.0.0/16"}}, apiservers(VOTERS)),
    (
        {"etcd": {"peerCertSANs": ["etcd.example"]}},
        {f"nodes/{node}/pki/etcd/peer.{half}" for node in VOTERS for half in ("crt", "key")},
    ),
    (
        {"schedulers": [{"name": "batch"}, {"name": "gpu"}]},
        {f"nodes/{node}/batch.{half}" for node in ("cp2", "cp3") for half in ("crt", "key")},
    ),
    ({"schedulers": []}, set()),
    (
        {"nodes": [*THREE["nodes"], {"name": "w2", "address": "10.77.0.22", "role": "worker"}]},
        {f"nodes/w2/kubelet/{pair}.{half}" for pair in ("kubelet", "kubelet-client") for half in ("crt", "key")},
    ),
    (
        {"nodes": [*THREE["nodes"][:3], {"name": "w1", "address": "10.77.0.29", "role": "worker"}]},
        {f"nodes/w1/kubelet/kubelet.{half}" for half in ("crt", "key")},
    ),
    ({"certificateValidityDays": 90}, set()),
]


@pytest.mark.parametrize(("change", "written"), CHANGES)
def test_a_change_of_the_file_issues_again_only_what_it_concerns(
    store: dict[str, bytes], change: dict[str, object], written: set[str]
) -> None:
    before = dict(store)
    assert set(credentials.issue(cluster(change), store, NOW)) == written
    assert {name for name in store if store[name] != before.get(name)} == written


def test_leaves_near_their_end_are_issued_again_with_new_keys_and_nothing_else_is(
    demo: Cluster, store: dict[str, bytes]
) -> None:
    before, late = dict(store), NOW + timedelta(days=336)
    renewed = {f"{name.removesuffix('.crt')}.{half}" for name, _, _ in signed(store) for half in ("crt", "key")}
    assert set(credentials.issue(demo, store, late)) == {*renewed, "admin.conf", "super-admin.conf"}
    assert {name for name in store if store[name] == before[name]} == set(store) - renewed - {
        *("admin.conf", "super-admin.conf")
    }
    assert all(leaf.not_valid_after_utc == late + timedelta(days=365) for _, leaf, _ in signed(store))


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048"])
def test_every_key_is_of_the_algorithm_of_the_file(algorithm: str) -> None:
    store = issued_for(cluster({"encryptionAlgorithm": algorithm}, ONE))
    private = {name for name in store if name.endswith(".key") and name != "encryption.key"}
    assert {keys.algorithm_of(keys.read(store[name])) for name in private} == {algorithm}
    assert "pki/sa.key" in private
    for name, leaf, authority in signed(store):
        purpose = "sslserver" if SERVER in usages_of(leaf) else "sslclient"
        assert openssl_refuses(authority, [store[name]], purpose, NOW) == []


def test_another_algorithm_issues_the_leaves_again_and_keeps_the_authorities(store: dict[str, bytes]) -> None:
    before = dict(store)
    wanted = cluster({"encryptionAlgorithm": "ECDSA-P384"})
    written = credentials.issue(wanted, store, NOW)
    leaf_names = {name for name, _, _ in signed(store)}
    assert leaf_names <= set(written)
    assert {keys.algorithm_of(leaf.public_key()) for _, leaf, _ in signed(store)} == {"ECDSA-P384"}
    for kept in (*(f"{name}.key" for name in AUTHORITIES.values()), "pki/sa.key", "encryption.key"):
        assert store[kept] == before[kept]
    assert credentials.issue(wanted, store, NOW) == ()


def test_a_damaged_leaf_is_issued_again(demo: Cluster, store: dict[str, bytes]) -> None:
    store["nodes/cp1/pki/apiserver.crt"] = b"not a certificate"
    del store["nodes/w1/kubelet/kubelet.key"]
    written = credentials.issue(demo, store, NOW)
    again = {*apiservers(("cp1",)), "nodes/w1/kubelet/kubelet.crt", "nodes/w1/kubelet/kubelet.key"}
    assert set(written) == again


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (("pki/ca.crt",), "pki/ca.crt"),
        (("pki/ca.crt", "pki/ca.key"), "pki/ca.crt"),
        (("pki/etcd/ca.crt",), "pki/etcd/ca.crt"),
        (("pki/etcd/ca.crt", "pki/etcd/ca.key"), "pki/etcd/ca.crt"),
        (("pki/front-proxy-ca.crt",), "pki/front-proxy-ca.crt"),
        (("pki/sa.key",), "pki/sa.key"),
        (("pki/sa.key", "pki/sa.pub"), "pki/sa.key"),
        (("encryption.key",), "encryption.key"),
    ],
)
def test_what_is_made_once_and_got_lost_is_never_made_again(
    demo: Cluster, store: dict[str, bytes], missing: tuple[str, ...], lost: str
) -> None:
    for name in missing:
        del store[name]
    before = dict(store)
    with pytest.raises(Problem) as refused:
        credentials.issue(demo, store, NOW)
    assert lost in refused.value.what
    assert refused.value.code is Code.LOCKED
    assert "bootstrap state import FILE" in refused.value.next
    assert store == before


def test_a_lone_key_of_an_authority_is_never_given_a_second_certificate(demo: Cluster) -> None:
    for name in AUTHORITIES.values():
        pair = Authority.create("x", "ECDSA-P256", now=NOW, days=1).pair
        store = {f"{name}.key": pair.key}
        with pytest.raises(Problem, match=f"{name}.crt is missing"):
            credentials.issue(demo, store, NOW)
        assert store == {f"{name}.key": pair.key}


def test_the_public_half_of_the_service_accounts_key_is_made_from_the_private_one(
    demo: Cluster, store: dict[str, bytes]
) -> None:
    public = store.pop("pki/sa.pub")
    assert credentials.issue(demo, store, NOW) == ("pki/sa.pub",)
    assert store["pki/sa.pub"] == public


def test_an_authority_whose_key_is_elsewhere_is_missed_only_when_it_has_to_sign(
    demo: Cluster, store: dict[str, bytes]
) -> None:
    for name in AUTHORITIES.values():
        del store[f"{name}.key"]
    before = dict(store)
    assert credentials.issue(demo, store, NOW) == ()
    more = cluster({"apiServer": {"certSANs": ["more.example"]}})
    with pytest.raises(Problem, match=r"pki/ca\.key in the state directory can't be used"):
        credentials.issue(more, store, NOW)
    assert store == before


@pytest.mark.parametrize("name", ["pki/ca.key", "pki/ca.crt"])
def test_an_authority_that_is_damaged_is_said_to_be(demo: Cluster, store: dict[str, bytes], name: str) -> None:
    store[name] = b"-----BEGIN NOTHING-----\n"
    del store["nodes/cp1/admin.crt"]
    with pytest.raises(Problem, match=f"{name} in the state directory can't be used"):
        credentials.issue(demo, store, NOW)


def test_an_authority_with_the_key_of_another_does_not_sign(demo: Cluster, store: dict[str, bytes]) -> None:
    store["pki/ca.key"] = store["pki/etcd/ca.key"]
    del store["nodes/cp1/admin.crt"]
    with pytest.raises(Problem) as refused:
        credentials.issue(demo, store, NOW)
    assert "does not belong" in refused.value.why


def test_an_authority_at_its_end_says_how_to_go_on(demo: Cluster, store: dict[str, bytes]) -> None:
    with pytest.raises(Problem, match="expired on 2036-10-29") as refused:
        credentials.issue(demo, store, NOW + timedelta(days=3650))
    assert "found a new cluster" in refused.value.next


def test_the_users_own_authority_is_taken_as_it_is(demo: Cluster) -> None:
    own = Authority.create("our-own", "RSA-2048", now=NOW, days=100)
    store = {"pki/ca.crt": own.pair.certificate, "pki/ca.key": own.pair.key}
    credentials.issue(demo, store, NOW)
    assert (store["pki/ca.crt"], store["pki/ca.key"]) == (own.pair.certificate, own.pair.key)
    parsed(store["nodes/w1/kubelet/kubelet.crt"]).verify_directly_issued_by(own.certificate)
    assert parsed(store["operator/admin.crt"]).not_valid_after_utc == own.certificate.not_valid_after_utc


def test_a_name_no_certificate_can_have_is_the_files_fault() -> None:
    long = ".".join(["d" * 60] * 4)
    store: dict[str, bytes] = {}
    with pytest.raises(Problem, match=r"nodes/cp1/pki/apiserver\.crt") as refused:
        credentials.issue(cluster({"networking": {"dnsDomain": long}}, ONE), store, NOW)
    assert refused.value.code is Code.WRONG_FILE
    assert long in refused.value.why
    assert store == {}


class Mortal(UserDict[str, bytes]):
    """A store whose writer dies after so many writes."""

    def __init__(self, content: Mapping[str, bytes], writes: int) -> None:
        self.data: dict[str, bytes] = {}
        self.left = len(content) + writes
        super().__init__(content)

    def __setitem__(self, name: str, content: bytes) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        super().__setitem__(name, content)


def test_killed_after_any_write_the_next_issue_completes_the_store() -> None:
    wanted = cluster({}, ONE)
    whole: dict[str, bytes] = {}
    order = credentials.issue(wanted, whole, NOW)
    # Between the halves of an authority it stops: it can't tell this from a certificate that got lost.
    between = {order.index(f"{name}.key") + 1 for name in AUTHORITIES.values()}
    for writes in range(len(order)):
        mortal = Mortal({}, writes)
        with pytest.raises(KeyboardInterrupt):
            credentials.issue(wanted, mortal, NOW)
        survived = dict(mortal)
        assert len(survived) == writes
        if writes in between:
            with pytest.raises(Problem, match="is missing from the state directory"):
                credentials.issue(wanted, survived, NOW)
            continue
        credentials.issue(wanted, survived, NOW)
        assert set(survived) == set(whole)
        assert credentials.issue(wanted, survived, NOW) == ()


def test_killed_during_a_renewal_the_next_issue_completes_it() -> None:
    wanted, late = cluster({}, ONE), NOW + timedelta(days=340)
    whole = issued_for(wanted)
    for writes in range(len(credentials.issue(wanted, dict(whole), late))):
        mortal = Mortal(whole, writes)
        with pytest.raises(KeyboardInterrupt):
            credentials.issue(wanted, mortal, late)
        survived: MutableMapping[str, bytes] = dict(mortal)
        credentials.issue(wanted, survived, late)
        assert set(survived) == set(whole)
        for name, leaf, _ in signed(survived):
            assert leaf.not_valid_after_utc > late + timedelta(days=364)
            assert keys.read(survived[name.replace(".crt", ".key")]).public_key() == leaf.public_key()


def test_a_thousand_workers_have_certificates_of_their_own() -> None:
    first = int(ipaddress.ip_address("10.78.0.1"))
    workers = [
        {"name": f"w{index}", "address": str(ipaddress.ip_address(first + index)), "role": "worker"}
        for index in range(1000)
    ]
    wanted = cluster({"nodes": [*ONE["nodes"], *workers]}, ONE)
    store = issued_for(wanted)
    assert len({store[f"nodes/{worker['name']}/kubelet/kubelet.key"] for worker in workers}) == 1000
    assert credentials.issue(wanted, store, NOW) == ()
