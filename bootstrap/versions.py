"""Which etcd, CoreDNS and pause go with which Kubernetes; the same pairs kubeadm uses."""

from __future__ import annotations

from dataclasses import dataclass

# https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/constants/constants.go


@dataclass(frozen=True, slots=True)
class Release:
    """What one Kubernetes release is run with; image tags, etcd's without the `-0` its image carries."""

    kubernetes: str
    etcd: str
    coredns: str
    pause: str


RELEASES = (
    Release("v1.37.2", etcd="3.7.0", coredns="v1.14.6", pause="3.10.2"),
    Release("v1.36.3", etcd="3.6.8", coredns="v1.14.2", pause="3.10.2"),
    Release("v1.35.4", etcd="3.6.6", coredns="v1.13.1", pause="3.10.1"),
)
DEFAULT = RELEASES[0].kubernetes


def release(kubernetes: str) -> Release:
    """The release of exactly this version ("v1.37.2"); KeyError when it is none of ours."""
    return {known.kubernetes: known for known in RELEASES}[kubernetes]
