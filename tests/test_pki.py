"""The certificate authority: what it issues is what was asked, and strangers agree."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki import Algorithm, Authority, Request, Usage, keys, matches
from pki.names import alternative_names
from tests.judges import cryptography_refuses, openssl_refuses, pkilint_finds

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
HOSTS = ("cp1", "api.demo.internal", "127.0.0.1", "10.0.0.1", "::1", "fd00::1")
SERVER = Request("kube-apiserver", (Usage.SERVER,), names=HOSTS)
CLIENT = Request("kubernetes-admin", (Usage.CLIENT,), organization="kubeadm:cluster-admins")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("kubernetes", "ECDSA-P256", now=NOW, days=3650)


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def names_of(certificate: x509.Certificate) -> list[str]:
    present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in present]


def test_an_authority_signs_certificates_and_lists_and_nothing_else(authority: Authority) -> None:
    found = authority.certificate
    assert found.subject == found.issuer == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    found.verify_directly_issued_by(found)
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, None)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not (usage.value.digital_signature or usage.value.key_encipherment or usage.value.key_agreement)
    assert names_of(found) == ["kubernetes"]
    assert found.not_valid_after_utc == NOW + timedelta(days=3650)


def test_a_leaf_names_its_issuers_key_and_its_own(authority: Authority) -> None:
    leaf = parsed(authority.issue(SERVER, now=NOW, days=365).certificate)
    own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert issuer.key_identifier == own.digest
    assert subject == x509.SubjectKeyIdentifier.from_public_key(leaf.public_key())
    assert subject.digest != own.digest


def test_a_leaf_is_no_authority_and_has_the_asked_usages_only(authority: Authority) -> None:
    for usages in ((Usage.SERVER,), (Usage.CLIENT,), (Usage.SERVER, Usage.CLIENT)):
        leaf = parsed(authority.issue(Request("x", usages), now=NOW, days=1).certificate)
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.critical, constraints.value.ca) == (True, False)
        extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(extended) == [usage.value for usage in usages]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keys_of_every_algorithm_sign_and_are_written_as_kubeadm_does(algorithm: Algorithm) -> None:
    root = Authority.create("kubernetes", algorithm, now=NOW, days=3650)
    pair = root.issue(replace(SERVER, algorithm=algorithm), now=NOW, days=365)
    kind = "EC" if algorithm.startswith("ECDSA") else "RSA"
    assert pair.key.startswith(f"-----BEGIN {kind} PRIVATE KEY-----\n".encode())
    key, leaf = keys.read(pair.key), parsed(pair.certificate)
    assert keys.public_pem(key).startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert keys.algorithm_of(key) == keys.algorithm_of(leaf.public_key()) == algorithm
    assert type(leaf.signature_hash_algorithm) is (hashes.SHA384 if algorithm == "ECDSA-P384" else hashes.SHA256)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature) == (True, True)
    assert usage.value.key_encipherment == (kind == "RSA")  # RFC 8813 forbids it with EC keys
    assert not openssl_refuses(root.pair.certificate, [pair.certificate], "sslserver", NOW)
    assert not cryptography_refuses(root.pair.certificate, pair.certificate, "10.0.0.1", NOW)
    assert not pkilint_finds(root.pair.certificate)
    assert not pkilint_finds(pair.certificate)


@pytest.mark.parametrize("host", HOSTS)
def test_a_server_is_believed_under_each_of_its_names(authority: Authority, host: str) -> None:
    leaf = authority.issue(SERVER, now=NOW, days=365).certificate
    assert not cryptography_refuses(authority.pair.certificate, leaf, host, NOW)
    assert "subject" in cryptography_refuses(authority.pair.certificate, leaf, "another.example", NOW)


def test_both_judges_believe_a_leaf_from_its_authority_only(authority: Authority) -> None:
    another = Authority.create("kubernetes", "ECDSA-P256", now=NOW, days=3650)
    server, client = (authority.issue(asked, now=NOW, days=365).certificate for asked in (SERVER, CLIENT))
    root, stranger = authority.pair.certificate, another.pair.certificate
    assert not openssl_refuses(root, [server], "sslserver", NOW)
    assert not openssl_refuses(root, [client], "sslclient", NOW)
    assert len(openssl_refuses(stranger, [server], "sslserver", NOW)) == 1
    assert len(openssl_refuses(root, [server], "sslclient", NOW)) == 1
    assert len(openssl_refuses(root, [client], "sslserver", NOW)) == 1
    assert cryptography_refuses(stranger, server, "cp1", NOW)


def test_the_judges_refuse_a_leaf_that_does_not_name_its_issuers_key(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bare = (
        x509.CertificateBuilder(authority.certificate.subject, None, key.public_key(), 1)
        .subject_name(SERVER.subject)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("cp1")]), critical=False)
        .sign(authority.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    assert openssl_refuses(authority.pair.certificate, [bare], "sslserver", NOW)
    assert cryptography_refuses(authority.pair.certificate, bare, "cp1", NOW)
    assert any("authority_key_identifier" in finding for finding in pkilint_finds(bare))


def test_serial_numbers_are_random_positive_and_at_most_128_bits(authority: Authority) -> None:
    serials = {parsed(authority.issue(CLIENT, now=NOW, days=1).certificate).serial_number for _ in range(64)}
    assert len(serials) == 64
    assert min(serials) > 0
    assert 120 < max(serials).bit_length() <= 128


def test_a_new_certificate_is_valid_on_a_clock_that_is_some_minutes_behind(authority: Authority) -> None:
    leaf = parsed(authority.issue(CLIENT, now=NOW, days=365).certificate)
    for certificate in (leaf, authority.certificate):
        assert timedelta(minutes=5) <= NOW - certificate.not_valid_before_utc < timedelta(hours=1)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=365)


def test_a_leaf_ends_with_its_authority_at_the_latest() -> None:
    short = Authority.create("kubernetes", "ECDSA-P256", now=NOW, days=10)
    leaf = parsed(short.issue(CLIENT, now=NOW + timedelta(days=1), days=365).certificate)
    assert leaf.not_valid_after_utc == short.certificate.not_valid_after_utc
    with pytest.raises(ValueError, match="expired on 2026-11-11"):
        short.issue(CLIENT, now=NOW + timedelta(days=10), days=365)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
DOMAINS = st.builds(".".join, st.lists(LABELS, min_size=1, max_size=4)).filter(
    lambda name: not re.fullmatch(r"[0-9]+(\.[0-9]+){3}", name)
)
ADDRESSES = st.ip_addresses()


@given(st.lists(DOMAINS, max_size=5), st.lists(ADDRESSES, max_size=5), st.data())
def test_names_come_out_once_each_in_one_order_however_they_are_written(
    domains: list[str], addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address], more: st.DataObject
) -> None:
    plain = domains + [str(address) for address in addresses]
    spelled = [name.upper() for name in domains] + [address.exploded.upper() for address in addresses]
    shuffled = more.draw(st.permutations(plain + spelled))
    found = alternative_names(shuffled)
    assert found == alternative_names(plain)
    as_dns = [name.value for name in found if isinstance(name, x509.DNSName)]
    as_addresses = [name.value for name in found if isinstance(name, x509.IPAddress)]
    assert as_dns == sorted(set(domains))
    assert as_addresses == sorted(set(addresses), key=lambda address: (address.version, address.packed))
    assert found == (*map(x509.DNSName, as_dns), *map(x509.IPAddress, as_addresses))


@given(domains=st.sets(DOMAINS, max_size=3), addresses=st.sets(ADDRESSES, max_size=3))
def test_whatever_names_are_asked_for_are_in_the_certificate(
    authority: Authority, domains: set[str], addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> None:
    asked = Request("x", (Usage.SERVER,), names=(*domains, *map(str, addresses)))
    pair = authority.issue(asked, now=NOW, days=1)
    found = parsed(pair.certificate)
    assert matches(pair.certificate, pair.key, asked, authority.certificate, now=NOW, days=0)
    if asked.names:
        assert set(names_of(found)) == {*domains, *map(str, addresses)}
    else:
        with pytest.raises(x509.ExtensionNotFound):
            found.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize("name", ["*.demo.internal", "123", "1e3", "xn--mnchen-3ya.example", "a" * 63])
def test_a_dns_name_may_be_a_wildcard_a_number_or_a_long_label(name: str) -> None:
    assert alternative_names([name]) == (x509.DNSName(name),)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a..b", "-a", "a-", "a_b", "a.", "*", "a.*.b", "münchen.example", "a" * 64, "a." * 127 + "a"),
        *("https://api", "api:6443", "10.0.0.0/8", "fe80::1%eth0", "[::1]", "a b", "a\n"),
    ],
)
def test_what_is_neither_an_address_nor_a_dns_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a DNS name"):
        Request("x", (Usage.SERVER,), names=("cp1", name))


def test_a_subject_longer_than_x509_allows_is_refused() -> None:
    with pytest.raises(ValueError, match="64 characters"):
        Request("system:node:" + "n" * 53, (Usage.CLIENT,))
    assert Request("system:node:" + "n" * 52, (Usage.CLIENT,)).subject


def test_a_certificate_matches_what_it_was_issued_for(authority: Authority) -> None:
    pair = authority.issue(SERVER, now=NOW, days=365)
    reordered = replace(SERVER, names=(*reversed(HOSTS), "CP1", "0:0:0:0:0:0:0:1"))
    for asked in (SERVER, reordered):
        assert matches(pair.certificate, pair.key, asked, authority.certificate, now=NOW, days=30)


@pytest.mark.parametrize(
    "changed",
    [
        lambda asked: replace(asked, names=(*HOSTS, "cp2")),
        lambda asked: replace(asked, names=HOSTS[1:]),
        lambda asked: replace(asked, names=()),
        lambda asked: replace(asked, common_name="someone-else"),
        lambda asked: replace(asked, organization="system:masters"),
        lambda asked: replace(asked, usages=(Usage.CLIENT,)),
        lambda asked: replace(asked, usages=(Usage.SERVER, Usage.CLIENT)),
        lambda asked: replace(asked, algorithm="ECDSA-P384"),
        lambda asked: replace(asked, algorithm="RSA-2048"),
    ],
)
def test_a_certificate_does_not_match_another_request(
    authority: Authority, changed: Callable[[Request], Request]
) -> None:
    pair = authority.issue(SERVER, now=NOW, days=365)
    assert not matches(pair.certificate, pair.key, changed(SERVER), authority.certificate, now=NOW, days=30)


def test_a_certificate_does_not_match_a_namesake_of_its_issuer(authority: Authority) -> None:
    namesake = Authority.create("kubernetes", "ECDSA-P256", now=NOW, days=3650)
    pair = authority.issue(SERVER, now=NOW, days=365)
    assert not matches(pair.certificate, pair.key, SERVER, namesake.certificate, now=NOW, days=30)


def test_a_certificate_that_only_claims_its_issuer_does_not_match(authority: Authority) -> None:
    forger = Authority(authority.certificate, ec.generate_private_key(ec.SECP256R1()))
    forged = forger.issue(SERVER, now=NOW, days=365)
    assert not matches(forged.certificate, forged.key, SERVER, authority.certificate, now=NOW, days=30)


def test_a_certificate_matches_with_its_own_key_only(authority: Authority) -> None:
    pair, other = (authority.issue(SERVER, now=NOW, days=365) for _ in range(2))
    assert not matches(pair.certificate, other.key, SERVER, authority.certificate, now=NOW, days=30)
    assert not matches(pair.certificate, b"", SERVER, authority.certificate, now=NOW, days=30)
    assert not matches(b"", pair.key, SERVER, authority.certificate, now=NOW, days=30)
    lines = pair.certificate.splitlines(keepends=True)
    damaged = b"".join([*lines[:5], lines[5].swapcase(), *lines[6:]])
    assert not matches(damaged, pair.key, SERVER, authority.certificate, now=NOW, days=30)


@pytest.mark.parametrize(
    ("validity", "after", "good"),
    [
        (365, timedelta(days=335), True),
        (365, timedelta(days=335, seconds=1), False),
        (365, timedelta(days=400), False),
        (365, timedelta(minutes=-10), True),
        (365, timedelta(minutes=-20), False),  # a clock that was ahead when it was issued
        (30, timedelta(0), True),  # of a short life a third must be left, not thirty days
        (30, timedelta(days=19), True),
        (30, timedelta(days=21), False),
        (1, timedelta(0), True),
    ],
)
def test_a_certificate_matches_until_its_end_is_near(
    authority: Authority, validity: int, after: timedelta, *, good: bool
) -> None:
    pair = authority.issue(SERVER, now=NOW, days=validity)
    assert matches(pair.certificate, pair.key, SERVER, authority.certificate, now=NOW + after, days=30) == good


def test_an_authority_is_read_back_as_it_was_written(authority: Authority) -> None:
    pair = authority.pair
    again = Authority.read(pair.certificate, pair.key)
    assert again.pair == pair
    bundle = pair.certificate + Authority.create("next", "ECDSA-P256", now=NOW, days=1).pair.certificate
    assert Authority.read(bundle, pair.key).certificate == authority.certificate


def test_an_authority_made_without_a_key_identifier_can_sign() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mine")])
    bare = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    mine = Authority(bare, key)
    pair = mine.issue(SERVER, now=NOW, days=30)
    assert matches(pair.certificate, pair.key, SERVER, bare, now=NOW, days=5)


def test_a_key_that_is_not_the_authoritys_is_refused(authority: Authority) -> None:
    other = Authority.create("kubernetes", "ECDSA-P256", now=NOW, days=1)
    with pytest.raises(ValueError, match="does not belong"):
        Authority.read(authority.pair.certificate, other.pair.key)


def test_keys_of_another_kind_and_encrypted_keys_are_refused_without_being_shown() -> None:
    for kind, reason in (("ed25519", "neither an ECDSA nor an RSA key"), ("encrypted", "encrypted")):
        made = ["-algorithm", "ed25519"] if kind == "ed25519" else ["-algorithm", "RSA", "-aes128", "-pass", "pass:x"]
        pem = subprocess.run(["openssl", "genpkey", *made], capture_output=True, check=True).stdout
        with pytest.raises(ValueError, match=reason) as refused:
            keys.read(pem)
        assert pem.decode().splitlines()[1] not in str(refused.value)


def test_private_keys_do_not_show(authority: Authority) -> None:
    pair = authority.issue(CLIENT, now=NOW, days=1)
    for thing in (authority, authority.pair, pair):
        assert "PRIVATE" not in repr(thing)
    assert pair.key.decode().splitlines()[1] not in repr(pair)


def test_a_key_has_one_fingerprint_in_every_certificate(authority: Authority) -> None:
    again = Authority(authority.certificate, authority.key)
    leaf = parsed(authority.issue(CLIENT, now=NOW, days=1).certificate)
    assert keys.fingerprint(again.certificate.public_key()) == keys.fingerprint(authority.key.public_key())
    assert keys.fingerprint(leaf.public_key()) != keys.fingerprint(authority.key.public_key())
