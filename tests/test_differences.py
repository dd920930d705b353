"""What differs between two contents of a file: said in its own words, and never a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap import documents
from bootstrap.differences import HIDDEN, Difference, differences, discreet, facets, keys
from pki import Authority, Request, Usage

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = (GOLDEN / "one-node/cp1/etc/kubernetes/manifests/kube-apiserver.yaml").read_text()
UNIT = (GOLDEN / "one-node/cp1/etc/systemd/system/kubelet.service.d/50-bootstrap.conf").read_text()
CANARY = "c4n4ry-7f3a"


def told(was: str, now: str) -> list[tuple[str, str | None, str | None]]:
    """The differences, as tuples."""
    return [(each.what, each.was, each.now) for each in differences(was.encode(), now.encode())]


def pod(**container: object) -> str:
    """A static pod of one container."""
    return documents.dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "agent"},
            "spec": {
                "containers": [{"name": "agent", **container}],
                "volumes": [{"name": "logs", "hostPath": {"path": "/var/log", "type": "Directory"}}],
            },
        }
    )


FILES = [path for path in sorted(GOLDEN.rglob("*")) if path.is_file() and path.name != "cluster.yaml"]


# Manifests


def test_a_changed_flag_is_told_as_that_flag_alone() -> None:
    changed = MANIFEST.replace("--request-timeout=60s", "--request-timeout=90s")
    assert told(MANIFEST, changed) == [("--request-timeout", "60s", "90s")]


def test_a_flag_that_comes_goes_or_is_given_twice() -> None:
    one, two = pod(command=["run", "--a=1", "--b"]), pod(command=["run", "--b", "--c=1", "--c=2"])
    assert told(one, two) == [("--c", None, "1, 2"), ("--a", "1", None)]


def test_image_environment_and_mounts_are_told_by_name() -> None:
    mounts = [{"name": "logs", "mountPath": "/logs", "readOnly": True}]
    was = pod(image="agent:1", env=[{"name": "LEVEL", "value": "1"}], volumeMounts=mounts)
    now = pod(image="agent:2", env=[{"name": "LEVEL", "value": "2"}], volumeMounts=[mounts[0] | {"readOnly": False}])
    assert sorted(told(was, now)) == [
        ("environment LEVEL", "1", "2"),
        ("image", "agent:1", "agent:2"),
        ("mount logs", "/var/log at /logs, read-only, Directory", "/var/log at /logs, writable, Directory"),
    ]


def test_the_generation_of_a_part_says_nothing() -> None:
    for text in (MANIFEST, UNIT):
        assert "BOOTSTRAP_GENERATION" in text
        lines = [line for line in text.splitlines() if "BOOTSTRAP_GENERATION" in line]
        assert told(text, text.replace("@generation@", "0123456789abcdef")) == [], lines


def test_a_probe_is_told_by_its_path() -> None:
    was, now = (pod(livenessProbe={"httpGet": {"port": port}}) for port in (1, 2))
    assert told(was, now) == [("livenessProbe.httpGet.port", "1", "2")]


# Other files


def test_keys_of_a_configuration_are_told_by_their_path() -> None:
    was = documents.dump({"authentication": {"anonymous": {"enabled": False}}, "clusterDNS": ["10.96.0.10"]})
    now = documents.dump({"authentication": {"anonymous": {"enabled": True}}, "clusterDNS": ["10.96.0.10", "1.1.1.1"]})
    assert told(was, now) == [
        ("authentication.anonymous.enabled", "false", "true"),
        ("clusterDNS", "10.96.0.10", "10.96.0.10, 1.1.1.1"),
    ]


def test_lists_of_named_things_are_told_by_name_whatever_their_order() -> None:
    one = [{"name": "a", "args": {"x": 1}}, {"name": "b", "args": {"x": 1}}]
    was, now = documents.dump({"plugins": one}), documents.dump({"plugins": [one[1], {"name": "a", "args": {"x": 2}}]})
    assert told(was, now) == [("plugins[a].args.x", "1", "2")]


def test_the_kubelets_unit_is_told_by_flags() -> None:
    assert ("--node-ip", "10.0.0.1", "10.0.0.2") in told(
        "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet \\\n  --node-ip=10.0.0.1 \\\n  --v=2\n",
        "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet \\\n  --node-ip=10.0.0.2 \\\n  --v=2\n",
    )


def test_settings_of_the_kernel_are_told_by_name() -> None:
    assert told("# why\nnet.ipv4.ip_forward = 0\n", "net.ipv4.ip_forward = 1\n") == [("net.ipv4.ip_forward", "0", "1")]


def test_a_certificate_is_told_by_names_dates_and_issuer() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    authority, other = (Authority.create(name, "ECDSA-P256", now=now, days=90) for name in ("one", "two"))
    one = Request("api", names=("10.0.0.1", "api.test"), usages=(Usage.SERVER,))
    two = Request("api", names=("10.0.0.1", "new.test"), usages=(Usage.SERVER,))
    was = authority.issue(one, now=now, days=10).certificate.decode()
    again = other.issue(two, now=now, days=20).certificate.decode()
    found = {what: (before, after) for what, before, after in told(was, again)}
    assert found["SAN new.test"] == (None, "")
    assert found["SAN api.test"] == ("", None)
    assert "SAN 10.0.0.1" not in found
    assert found["issuer"] == ("CN=one", "CN=two")
    assert found["ends"][0] is not None
    assert found["ends"][0] < (found["ends"][1] or "")
    assert {"serial", "public key", "issuer's key"} <= found.keys()
    assert "subject" not in found


# Secrets


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (pod(env=[{"name": "DB_PASSWORD", "value": CANARY}]), pod()),
        (pod(), pod(command=["run", f"--api-token={CANARY}"])),
        (pod(env=[{"name": "HTTP_PROXY", "value": f"http://me:{CANARY}@proxy"}]), pod()),
        (documents.dump({"staticPodURLHeader": {"Authorization": [CANARY]}}), documents.dump({"a": 1})),
        (f"secret = {CANARY}\n", "secret = other\n"),
        (documents.dump({"key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n"}), documents.dump({"a": 1})),
    ],
)
def test_what_looks_like_a_secret_is_told_to_differ_and_not_shown(was: str, now: str) -> None:
    found = told(was, now)
    assert found
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("--authorization-mode", "Node,RBAC"),
        ("authorization.mode", "Webhook"),
        ("--authorization-kubeconfig", "/etc/kubernetes/scheduler.conf"),
        ("--service-account-key-file", "/etc/kubernetes/pki/sa.pub"),
        ("--service-account-extend-token-expiration", "false"),
        ("authentication.webhook.cacheTTL", "2m0s"),
    ],
)
def test_what_components_are_told_is_shown(what: str, value: str) -> None:
    assert discreet(what, value) == value


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("environment PASSWORD", "1234"),
        ("--token", "/abcdefghijklmnopqrstuvwxyz0123456789"),
        ("users[me].user.client-key-data", "LS0tLS1CRUdJTg"),
        ("staticPodURLHeader.Authorization", "Basic bWU6bWU"),
    ],
)
def test_what_could_be_a_secret_is_not(what: str, value: str) -> None:
    assert discreet(what, value) == HIDDEN


def test_paths_times_and_switches_are_shown_whatever_their_name() -> None:
    was, now = (pod(command=["run", f"--token-file=/etc/{it}", f"--token-ttl={it}s"]) for it in (1, 2))
    assert told(was, now) == [("--token-file", "/etc/1", "/etc/2"), ("--token-ttl", "1s", "2s")]
    assert HIDDEN not in repr(told(was, now))


def test_of_objects_only_the_fields_are_told() -> None:
    was = {"data": {"password": CANARY, "user": "a"}, "metadata": {"name": "x"}}
    now = {"data": {"password": CANARY + "2", "user": "a"}, "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert keys(was, now) == ("data.password", "metadata.labels.a")


# Any content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(GOLDEN).as_posix())
def test_every_file_of_a_node_says_something_and_does_not_differ_from_itself(path: Path) -> None:
    content = path.read_bytes()
    assert facets(content.decode())
    assert differences(content, content) == ()
    assert differences(b"", content)


ALPHABET = "abz09:/-{}[]=\"'\n %é\0"
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(ALPHABET),
    lambda below: st.lists(below) | st.dictionaries(st.text("abc", min_size=1), below),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), _values), st.binary())
def test_nothing_that_lies_on_a_node_breaks_it(tree: dict[str, object], anything: bytes) -> None:
    text = documents.dump(tree).encode()
    assert differences(text, text) == ()
    assert all(isinstance(each, Difference) for each in differences(text, anything))


@given(st.dictionaries(st.sampled_from(["kind", "spec", "containers", "volumes", "env", "name"]), _values))
def test_a_broken_manifest_is_told_too(spec: dict[str, object]) -> None:
    broken = documents.dump({"kind": "Pod", "spec": spec}).encode()
    assert differences(broken, broken) == ()
    differences(broken, MANIFEST.encode())
