"""Every difference between kubeadm's static pods and ours, with its reason: tests/test_kubeadm_manifests.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bootstrap.flags import CIPHERS, ENCRYPTION, POLICIES
from bootstrap.paths import AUDIT_LOGS, PKI
from bootstrap.world import GENERATION

API, MANAGER, SCHEDULER, ETCD = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"
PODS = (ETCD, API, MANAGER, SCHEDULER)


class Field(NamedTuple):
    """A field of a pod with both values; None = absent."""

    pod: str
    name: str
    theirs: str | None
    ours: str | None


SAID = "the default, said so that scanners see it"
STRONG = "forward secrecy and authenticated encryption only (CIS 1.2.29)"
AUDIT = "what was done is kept: 30 days or 1.1 GB (CIS 1.2.16-19, 3.2.1)"
NO_SIGNER = "no node has the key of an authority, so nothing signs there (the way kubeadm goes with an external CA)"
NO_TOKENS = "nodes are trusted by SSH: no bootstrap tokens, no cluster-info"
OUR_CIDRS = "with the bridge plugin the tool allots the pods' subnets itself"
NO_GAIN = "a container gains nothing, and writes only where it must"
THERE = "what must be there is an error where it is not, never made empty by the kubelet"
OBSERVED = "what runs is read from its environment"
SERVERS = (API, MANAGER, SCHEDULER)

DIFFERENCES: tuple[tuple[Sequence[str], str, str | None, str | None, str], ...] = (
    (PODS, "container.securityContext.allowPrivilegeEscalation", None, "False", NO_GAIN),
    (PODS, "container.securityContext.capabilities.drop.0", None, "ALL", NO_GAIN),
    (PODS, "container.securityContext.readOnlyRootFilesystem", None, "True", NO_GAIN),
    (PODS, "env BOOTSTRAP_GENERATION", None, GENERATION.decode(), OBSERVED),
    *(((pod,), "env BOOTSTRAP_PART", None, pod, OBSERVED) for pod in PODS),
    (PODS, "spec.automountServiceAccountToken", None, "False", "static pods get no token anyway, but scanners ask"),
    (PODS, "status", "{}", None, "what is wanted has no status"),
    (SERVERS, "--profiling", None, "false", "nobody profiles a control plane by surprise (CIS 1.2.15, 1.3.2, 1.4.1)"),
    (SERVERS, "--tls-cipher-suites", None, CIPHERS, STRONG),
    (SERVERS, "--tls-min-version", None, "VersionTLS12", STRONG),
    # etcd
    ((ETCD,), "--cipher-suites", None, CIPHERS, STRONG),
    ((ETCD,), "--initial-cluster-state", None, "new", "part of its birth, said once and for ever"),
    ((ETCD,), "--initial-cluster-token", None, "demo", "members of another cluster at a reused address are refused"),
    ((ETCD,), "container.securityContext.capabilities.add.0", None, "DAC_OVERRIDE", "the data may be the user etcd's"),
    ((ETCD,), "volume etcd-certs, type", "DirectoryOrCreate", "Directory", THERE),
    ((ETCD,), "volume etcd-certs, use", "writable", "read-only", NO_GAIN),
    ((ETCD,), "volume etcd-data, type", "DirectoryOrCreate", "Directory", f"{THERE}: a lost disk is no new member"),
    # kube-apiserver: who is who
    ((API,), "--authentication-config", None, f"{POLICIES}/authentication.yaml", "anonymous asks about health only"),
    ((API,), "--enable-bootstrap-token-auth", "true", None, NO_TOKENS),
    ((API,), "--service-account-extend-token-expiration", None, "false", "tokens end when they say (CIS 1.2.30)"),
    ((API,), "--service-account-lookup", None, "true", SAID),
    # kube-apiserver: who may do what, and what is kept of it
    ((API,), "--admission-control-config-file", None, f"{POLICIES}/admission.yaml", "EventRateLimit has to be told"),
    (
        *((API,), "--enable-admission-plugins", "NodeRestriction"),
        "NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
        "CVE-2020-8554, and a flood of events (CIS 1.2.3, 1.2.9)",
    ),
    ((API,), "--audit-log-maxage", None, "30", AUDIT),
    ((API,), "--audit-log-maxbackup", None, "10", AUDIT),
    ((API,), "--audit-log-maxsize", None, "100", AUDIT),
    ((API,), "--audit-log-path", None, f"{AUDIT_LOGS}/audit.log", AUDIT),
    ((API,), "--audit-policy-file", None, f"{POLICIES}/audit.yaml", AUDIT),
    # kube-apiserver: the rest
    ((API,), "--encryption-provider-config", None, ENCRYPTION, "Secrets are not in the clear in etcd (CIS 1.2.27)"),
    (
        (API,),
        "--kubelet-certificate-authority",
        None,
        f"{PKI}/ca.crt",
        "kubelets have certificates of ours (CIS 1.2.5)",
    ),
    ((API,), "--request-timeout", None, "60s", SAID),
    (
        (API,),
        "--shutdown-watch-termination-grace-period",
        None,
        "2s",
        "without it, it waits for watches until it is killed: 0.7 s instead of 30",
    ),
    ((API,), "container.securityContext.capabilities.add.0", None, "NET_BIND_SERVICE", "its file has this capability"),
    ((API,), "spec.terminationGracePeriodSeconds", None, "30", "the default; more where it drains for a balancer"),
    *(
        ((API,), f"volume {name}, {what}", None, value, f"for {why}")
        for name, path, type, use, why in (
            ("audit-logs", AUDIT_LOGS, "DirectoryOrCreate", "writable", "--audit-log-path"),
            ("encryption", ENCRYPTION, "File", "read-only", "--encryption-provider-config"),
            ("policies", POLICIES, "Directory", "read-only", "three flags"),
        )
        for what, value in (("path", f"{path} at {path}"), ("type", type), ("use", use))
    ),
    ((API, MANAGER), "volume k8s-certs, type", "DirectoryOrCreate", "Directory", THERE),
    # kube-controller-manager and kube-scheduler
    ((MANAGER,), "--allocate-node-cidrs", "true", "false", OUR_CIDRS),
    ((MANAGER,), "--cluster-cidr", "10.244.0.0/16", None, OUR_CIDRS),
    ((MANAGER,), "--service-cluster-ip-range", "10.96.0.0/12", None, OUR_CIDRS),
    ((MANAGER,), "--cluster-signing-cert-file", f"{PKI}/ca.crt", None, NO_SIGNER),
    ((MANAGER,), "--cluster-signing-key-file", f"{PKI}/ca.key", None, NO_SIGNER),
    ((MANAGER,), "--controllers", "*,bootstrapsigner,tokencleaner", None, NO_TOKENS),
    ((MANAGER,), "--terminated-pod-gc-threshold", None, "1000", "finished pods go sooner than at 12500 (CIS 1.3.1)"),
    ((MANAGER, SCHEDULER), "volume kubeconfig, type", "FileOrCreate", "File", THERE),
)
# FlexVolume is deprecated since 1.23, and kubeadm left it out one version later:
# https://github.com/kubernetes/kubernetes/pull/136423
PLUGINS = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
FLEXVOLUME = {
    Field(MANAGER, f"volume flexvolume-dir, {what}", theirs, None): "FlexVolume is on its way out"
    for what, theirs in (("path", f"{PLUGINS} at {PLUGINS}"), ("type", "DirectoryOrCreate"), ("use", "writable"))
}


def reasons(version: str) -> dict[Field, str]:
    """Every difference there should be, and why."""
    always = {Field(pod, name, theirs, ours): why for pods, name, theirs, ours, why in DIFFERENCES for pod in pods}
    return always | (FLEXVOLUME if version.startswith("v1.35.") else {})
