"""What the CIS benchmark (kube-bench cis-1.12) asks of the static pods: each check with what makes it pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml

from bootstrap import paths
from bootstrap.components import Place, components, files, manifest
from bootstrap.spec.model import Cluster
from tests import golden_tree

STRONG = {
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256")
}
Told = Callable[[dict[str, str]], bool]


def is_(flag: str, value: str) -> Told:
    """The flag has exactly this value."""
    return lambda told: told.get(flag) == value


def has(*flags: str) -> Told:
    """All these flags are given."""
    return lambda told: all(told.get(flag) for flag in flags)


def without(*flags: str) -> Told:
    """None of these flags is given."""
    return lambda told: not told.keys() & set(flags)


def plugin(name: str) -> Told:
    """This admission plugin is turned on."""
    return lambda told: name in told["enable-admission-plugins"].split(",")


def at_least(flag: str, least: int) -> Told:
    """The flag is a number, this or more."""
    return lambda told: int(told[flag]) >= least


API, MANAGER, SCHEDULER, ETCD = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"
# 1.2.1, 1.2.11 and 1.2.20 are left as warnings: the first by a configuration that is narrower than the flag it wants,
# the second because pods would not start without a registry, the third because no value passes.
CHECKS: tuple[tuple[str, str, Told], ...] = (
    ("1.2.2", API, without("token-auth-file")),
    ("1.2.3", API, plugin("DenyServiceExternalIPs")),
    ("1.2.4", API, has("kubelet-client-certificate", "kubelet-client-key")),
    ("1.2.5", API, has("kubelet-certificate-authority")),
    ("1.2.6-8", API, is_("authorization-mode", "Node,RBAC")),
    ("1.2.9", API, plugin("EventRateLimit")),
    ("1.2.9 needs", API, has("admission-control-config-file")),
    ("1.2.10", API, lambda told: "AlwaysAdmit" not in told["enable-admission-plugins"]),
    ("1.2.12-13", API, without("disable-admission-plugins")),
    ("1.2.14", API, plugin("NodeRestriction")),
    ("1.2.15", API, is_("profiling", "false")),
    ("1.2.16", API, has("audit-log-path")),
    ("1.2.17", API, at_least("audit-log-maxage", 30)),
    ("1.2.18", API, at_least("audit-log-maxbackup", 10)),
    ("1.2.19", API, at_least("audit-log-maxsize", 100)),
    ("1.2.21", API, is_("service-account-lookup", "true")),
    ("1.2.22", API, has("service-account-key-file")),
    ("1.2.23", API, has("etcd-certfile", "etcd-keyfile")),
    ("1.2.24", API, has("tls-cert-file", "tls-private-key-file")),
    ("1.2.25", API, has("client-ca-file")),
    ("1.2.26", API, has("etcd-cafile")),
    ("1.2.27", API, has("encryption-provider-config")),
    ("1.2.29", API, lambda told: set(told["tls-cipher-suites"].split(",")) <= STRONG),
    ("1.2.30", API, is_("service-account-extend-token-expiration", "false")),
    ("1.3.1", MANAGER, has("terminated-pod-gc-threshold")),
    ("1.3.2", MANAGER, is_("profiling", "false")),
    ("1.3.3", MANAGER, is_("use-service-account-credentials", "true")),
    ("1.3.4", MANAGER, has("service-account-private-key-file")),
    ("1.3.5", MANAGER, has("root-ca-file")),
    ("1.3.6", MANAGER, without("feature-gates")),
    ("1.3.7", MANAGER, is_("bind-address", "127.0.0.1")),
    ("1.4.1", SCHEDULER, is_("profiling", "false")),
    ("1.4.2", SCHEDULER, is_("bind-address", "127.0.0.1")),
    ("1.4.1 for the second", "batch-scheduler", is_("profiling", "false")),
    ("1.4.2 for the second", "batch-scheduler", is_("bind-address", "127.0.0.1")),
    ("2.1", ETCD, has("cert-file", "key-file")),
    ("2.2", ETCD, is_("client-cert-auth", "true")),
    ("2.3", ETCD, without("auto-tls")),
    ("2.4", ETCD, has("peer-cert-file", "peer-key-file")),
    ("2.5", ETCD, is_("peer-client-cert-auth", "true")),
    ("2.6", ETCD, without("peer-auto-tls")),
    ("2.7", ETCD, is_("trusted-ca-file", f"{paths.PKI}/etcd/ca.crt")),
    ("3.2.1", API, has("audit-policy-file")),
)


@cache
def cluster() -> Cluster:
    """Three control-plane nodes and a second scheduler."""
    return golden_tree.cluster("three-nodes").model_copy(
        update={"api_server": golden_tree.cluster("one-node").api_server}
    )


@cache
def pods() -> dict[str, Any]:
    """Name -> manifest, of the first node."""
    node = cluster().voters[0]
    place = Place(paths.MANIFESTS, (), ((node.name, node.address),))
    return {it.name: yaml.load(manifest(it, place), yaml.CSafeLoader) for it in components(cluster(), node)}


@cache
def policies() -> dict[str, str]:
    """Path -> text, of what is no manifest."""
    node = cluster().voters[0]
    place = Place(paths.MANIFESTS, (), ((node.name, node.address),))
    found = files(cluster(), node, place, golden_tree.KEY)
    return {file.path: file.content.decode() for file in found if not file.path.startswith(paths.MANIFESTS)}


def told(pod: Any) -> dict[str, str]:
    """Its flags."""
    _, *words = pod["spec"]["containers"][0]["command"]
    return {name.removeprefix("--"): value for name, _, value in (word.partition("=") for word in words)}


@pytest.mark.parametrize(("check", "name", "passes"), CHECKS, ids=[check for check, *_ in CHECKS])
def test_a_check_of_the_cis_benchmark_passes(check: str, name: str, passes: Told) -> None:
    assert passes(told(pods()[name])), check


def test_every_scheduler_and_the_controller_manager_take_strong_ciphers_only() -> None:
    for name in (MANAGER, SCHEDULER, "batch-scheduler"):
        assert set(told(pods()[name])["tls-cipher-suites"].split(",")) <= STRONG
        assert told(pods()[name])["tls-min-version"] == "VersionTLS12"
    assert set(told(pods()[ETCD])["cipher-suites"].split(",")) <= STRONG


def test_profiling_is_off_where_the_flag_does_not_count() -> None:
    assert yaml.safe_load(policies()["/etc/kubernetes/batch-scheduler.yaml"])["enableProfiling"] is False


def test_a_container_can_gain_nothing_and_keeps_what_it_cannot_start_without() -> None:
    kept = {}
    for name, pod in pods().items():
        (container,) = pod["spec"]["containers"]
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        kept[name] = context["capabilities"].get("add", [])
    assert kept == {
        ETCD: ["DAC_OVERRIDE"],
        API: ["NET_BIND_SERVICE"],
        MANAGER: [],
        SCHEDULER: [],
        "batch-scheduler": [],
    }


def test_nobody_is_anonymous_but_who_asks_about_health() -> None:
    assert "anonymous-auth" not in told(pods()[API])
    anonymous = yaml.safe_load(policies()["/etc/kubernetes/policies/authentication.yaml"])["anonymous"]
    assert anonymous == {"enabled": True, "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")]}


def test_the_paths_anonymous_may_ask_are_those_that_are_probed() -> None:
    anonymous = yaml.safe_load(policies()["/etc/kubernetes/policies/authentication.yaml"])["anonymous"]
    (container,) = pods()[API]["spec"]["containers"]
    probed = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    (api,) = [it for it in components(cluster(), cluster().voters[0]) if it.name == API]
    assert probed | {api.probe.path} <= {condition["path"] for condition in anonymous["conditions"]}


def test_secrets_are_encrypted_before_etcd_sees_them_as_check_1_2_28_reads_it() -> None:
    lines = policies()["/etc/kubernetes/encryption.yaml"].splitlines()
    last = max(number for number, line in enumerate(lines) if line.strip() == "providers:")
    assert lines[last + 1].strip() == "- secretbox:"
    (resource,) = yaml.safe_load("\n".join(lines))["resources"]
    assert "secrets" in resource["resources"]
    assert resource["providers"] == [{"secretbox": {"keys": [{"name": "key1", "secret": golden_tree.KEY}]}}]


def audited(user: str, verb: str, resource: str, group: str = "", groups: tuple[str, ...] = ()) -> str:
    """The level of the first rule that fits, as the API server picks it."""
    (policy,) = [yaml.safe_load(text) for path, text in policies().items() if path.endswith("audit.yaml")]
    for rule in policy["rules"]:
        resources = rule.get("resources", [])
        fits = any(it["group"] == group and resource in it.get("resources", [resource]) for it in resources)
        if (
            "nonResourceURLs" not in rule
            and user in rule.get("users", [user])
            and (not rule.get("userGroups") or set(groups) & set(rule["userGroups"]))
            and verb in rule.get("verbs", [verb])
            and (fits or not resources)
        ):
            return str(rule["level"])
    return "None"


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "serviceaccounts/token"])
@pytest.mark.parametrize("verb", ["get", "list", "create", "update", "patch", "delete"])
def test_the_audit_log_has_who_touched_a_secret_and_never_what_is_in_it(resource: str, verb: str) -> None:
    assert audited("jane", verb, resource) == "Metadata"


def test_the_audit_log_has_what_was_done_to_rights_and_workloads_and_who_went_in() -> None:
    assert audited("jane", "create", "clusterrolebindings", "rbac.authorization.k8s.io") == "RequestResponse"
    assert audited("jane", "create", "pods/exec") == "Request"
    assert audited("jane", "patch", "deployments", "apps") == "Request"
    assert audited("jane", "get", "pods") == "Metadata"
    assert audited("jane", "update", "leases", "coordination.k8s.io") == "Metadata"


def test_the_audit_log_is_spared_what_the_control_plane_does_every_second() -> None:
    leases, nodes = "coordination.k8s.io", ("system:nodes", "system:authenticated")
    assert audited("system:kube-controller-manager", "update", "leases", leases) == "None"
    assert audited("system:kube-scheduler", "get", "leases", leases) == "None"
    assert audited("system:node:cp1", "update", "leases", leases, nodes) == "None"
    assert audited("system:apiserver", "list", "clusterroles", "rbac.authorization.k8s.io") == "None"
    assert audited("system:kube-scheduler", "create", "events", "events.k8s.io") == "None"
