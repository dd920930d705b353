"""What each program of the control plane is told: kubeadm's flags, and what hardens it beyond them.

Every difference from kubeadm is a row in tests/kubeadm_differences.py, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bootstrap import paths
from bootstrap.spec.addresses import API_PORT, ETCD_PORT, bracketed
from bootstrap.spec.model import Arg, Cluster, Node

Flags = dict[str, str]

POLICIES = f"{paths.KUBERNETES}/policies"
ENCRYPTION = f"{paths.KUBERNETES}/encryption.yaml"
# With kubeadmJoin: our authority, and that of kubelets which joined by it.
CLIENTS = f"{paths.PKI}/kubernetes-cas.crt"

# Forward secrecy and authenticated encryption only. TLS 1.3 has suites of its own, which nobody can choose;
# HTTP/2 over TLS 1.2 needs AES_128_GCM_SHA256 (https://www.rfc-editor.org/rfc/rfc9113#section-9.2.2).
CIPHERS = ",".join(
    f"TLS_ECDHE_{key}_WITH_AES_{cipher}" for cipher in ("128_GCM_SHA256", "256_GCM_SHA384") for key in ("ECDSA", "RSA")
)
TLS = {"tls-cipher-suites": CIPHERS, "tls-min-version": "VersionTLS12"}

# A flag the user sets -> the default of ours the program would refuse to start with beside it.
EXCLUDES = {
    "anonymous-auth": "authentication-config",
    "authorization-config": "authorization-mode",
    "oidc-issuer-url": "authentication-config",
    "tls-min-version": "cipher-suites",  # etcd, where it is TLS1.3
}


def command_line(defaults: Flags, extra: Iterable[Arg]) -> tuple[tuple[str, str], ...]:
    """Name and value of every flag, in kubeadm's order: defaults by name, then the user's as in the file.

    A flag of the user's replaces all defaults of its name; it may come several times.
    """
    mine = tuple((arg.name, arg.value) for arg in extra)
    names = {name for name, _ in mine}
    gone = names | {EXCLUDES[name] for name in names & EXCLUDES.keys()}
    return (*sorted((name, value) for name, value in defaults.items() if name not in gone), *mine)


def loopback(node: Node) -> str:
    """The loopback address of the node's own address family."""
    return "::1" if ":" in node.address else "127.0.0.1"


def client_url(node: Node) -> str:
    """Where etcd's clients reach this node's member."""
    return f"https://{bracketed(node.address)}:{ETCD_PORT}"


def peer_url(address: str) -> str:
    """Where the other members reach the member at `address`."""
    return f"https://{bracketed(address)}:2380"


def etcd(cluster: Cluster, node: Node) -> Flags:
    """The flags of etcd, less those of its birth: see `birth`."""
    here, pki = bracketed(loopback(node)), f"{paths.PKI}/etcd"
    return {
        "name": node.name,
        "data-dir": cluster.etcd.data_dir,
        "listen-client-urls": f"https://{here}:{ETCD_PORT},{client_url(node)}",
        "advertise-client-urls": client_url(node),
        "listen-peer-urls": peer_url(node.address),
        "initial-advertise-peer-urls": peer_url(node.address),
        "initial-cluster-token": cluster.name,  # members of another cluster at a reused address are refused
        "listen-metrics-urls": f"http://{here}:2381",
        "cert-file": f"{pki}/server.crt",
        "key-file": f"{pki}/server.key",
        "trusted-ca-file": f"{pki}/ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": f"{pki}/peer.crt",
        "peer-key-file": f"{pki}/peer.key",
        "peer-trusted-ca-file": f"{pki}/ca.crt",
        "peer-client-cert-auth": "true",
        "cipher-suites": CIPHERS,
        "snapshot-count": "10000",
        "watch-progress-notify-interval": "5s",
        "feature-gates": "InitialCorruptCheck=true",
    }


def birth(founders: Iterable[tuple[str, str]], state: str) -> Flags:
    """What etcd reads only in an empty data directory; `founders` are names and addresses.

    They come from the node's record, not from the file: computed anew, they would restart etcd for nothing.
    """
    urls = ",".join(f"{name}={peer_url(address)}" for name, address in founders)
    return {"initial-cluster": urls, "initial-cluster-state": state}


def apiserver(cluster: Cluster, node: Node) -> Flags:
    """The flags of the API server, which speaks to its own node's etcd only."""
    pki = paths.PKI
    authorities = CLIENTS if cluster.kubeadm_join else f"{pki}/ca.crt"
    tokens = {"enable-bootstrap-token-auth": "true"} if cluster.kubeadm_join else {}
    return TLS | (drain() if cluster.endpoint else {}) | tokens | {
        "advertise-address": node.address,
        "secure-port": str(API_PORT),
        "service-cluster-ip-range": cluster.networking.service_subnet,
        "allow-privileged": "true",
        "profiling": "false",
        "request-timeout": "60s",
        "shutdown-watch-termination-grace-period": "2s",  # else it waits for its clients' watches as for requests
        # who is who
        "authentication-config": f"{POLICIES}/authentication.yaml",
        "client-ca-file": authorities,
        "tls-cert-file": f"{pki}/apiserver.crt",
        "tls-private-key-file": f"{pki}/apiserver.key",
        "service-account-issuer": f"https://kubernetes.default.svc.{cluster.networking.dns_domain}",
        "service-account-key-file": f"{pki}/sa.pub",
        "service-account-signing-key-file": f"{pki}/sa.key",
        "service-account-lookup": "true",
        "service-account-extend-token-expiration": "false",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-client-ca-file": f"{pki}/front-proxy-ca.crt",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        # who may do what, and what is kept of it
        "authorization-mode": "Node,RBAC",
        "admission-control-config-file": f"{POLICIES}/admission.yaml",
        "enable-admission-plugins": "NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
        "audit-policy-file": f"{POLICIES}/audit.yaml",
        "audit-log-path": f"{paths.AUDIT_LOGS}/audit.log",
        "audit-log-maxage": "30",  # days
        "audit-log-maxbackup": "10",  # files
        "audit-log-maxsize": "100",  # MB each
        # whom it speaks to
        "encryption-provider-config": ENCRYPTION,
        "etcd-servers": f"https://{bracketed(loopback(node))}:{ETCD_PORT}",
        "etcd-cafile": f"{pki}/etcd/ca.crt",
        "etcd-certfile": f"{pki}/apiserver-etcd-client.crt",
        "etcd-keyfile": f"{pki}/apiserver-etcd-client.key",
        "kubelet-certificate-authority": authorities,
        "kubelet-client-certificate": f"{pki}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{pki}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
        "proxy-client-cert-file": f"{pki}/front-proxy-client.crt",
        "proxy-client-key-file": f"{pki}/front-proxy-client.key",
    }  # fmt: skip


def drain() -> Flags:
    """How an API server leaves where a balancer asks it: unready first, so that requests go elsewhere.

    Whatever the number of nodes: a second one may join without a restart of the first.
    """
    return {"shutdown-delay-duration": "4s", "shutdown-send-retry-after": "true"}


def controller_manager(cluster: Cluster) -> Flags:
    """The flags of the controller manager.

    Without kubeadmJoin it gets no CA key, so it signs no certificate requests: told of no --cluster-signing-* file,
    its signer does not start; whoever wants one can still name the files:
    https://github.com/kubernetes/kubernetes/blob/v1.37.2/cmd/kube-controller-manager/app/certificates.go
    """
    conf, pki, networking = f"{paths.KUBERNETES}/controller-manager.conf", paths.PKI, cluster.networking
    # With our own plugin we allot the pod CIDRs: they must be known before the API is.
    allots = networking.plugin == "none"
    subnets = {
        "cluster-cidr": networking.pod_subnet,
        "service-cluster-ip-range": networking.service_subnet,
    }
    return TLS | (subnets if allots else {}) | (signing(cluster) if cluster.kubeadm_join else {}) | {
        "allocate-node-cidrs": str(allots).lower(),
        "authentication-kubeconfig": conf,
        "authorization-kubeconfig": conf,
        "kubeconfig": conf,
        "bind-address": "127.0.0.1",
        "client-ca-file": f"{pki}/ca.crt",
        "cluster-name": cluster.name,
        "leader-elect": "true",
        "profiling": "false",
        "requestheader-client-ca-file": f"{pki}/front-proxy-ca.crt",
        "root-ca-file": f"{pki}/ca.crt",
        "service-account-private-key-file": f"{pki}/sa.key",
        "terminated-pod-gc-threshold": "1000",
        "use-service-account-credentials": "true",
    }  # fmt: skip


def signing(cluster: Cluster) -> Flags:
    """What lets kubelets in that join by kubeadm: tokens, and certificates of an authority that signs nothing else."""
    key = f"{paths.PKI}/kubelet-ca"
    return {
        "controllers": "*,bootstrapsigner,tokencleaner",
        "cluster-signing-duration": f"{24 * cluster.certificate_validity_days}h0m0s",
        **{
            f"cluster-signing-kubelet-{use}-{half}-file": f"{key}.{suffix}"
            for use in ("client", "serving")
            for half, suffix in (("cert", "crt"), ("key", "key"))
        },
    }


def scheduler(name: str) -> Flags:
    """The flags of the scheduler whose kubeconfig has this name."""
    conf = f"{paths.KUBERNETES}/{name}.conf"
    return TLS | {
        "authentication-kubeconfig": conf,
        "authorization-kubeconfig": conf,
        "kubeconfig": conf,
        "bind-address": "127.0.0.1",
        "leader-elect": "true",
        "profiling": "false",
    }


def seconds(duration: str) -> float:
    """Go's way to write a time ("1m30s"), in seconds; what is no time at all is 0."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|us|µs|ns)", duration))
