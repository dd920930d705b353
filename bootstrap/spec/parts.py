"""What runs on the nodes, as types: what you add to the control plane, schedulers, pods and add-ons of your own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bootstrap import paths
from bootstrap.spec.addresses import CertificateName, SchedulerPort
from bootstrap.spec.directories import AbsolutePath, DataDirectory, LocalPath
from bootstrap.spec.names import Argument, Name, SchedulerName, Variable

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]  # YAML has lists; the entries stay strict


class Part(BaseModel):
    """Any mapping of cluster.yaml: frozen, camelCase in the file, unknown fields refused, nothing coerced."""

    model_config = ConfigDict(
        strict=True,
        defer_build=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=False,
        use_attribute_docstrings=True,
    )


class Arg(Part):
    """One `--name=value` of a component; the same name may come several times."""

    name: Argument
    """Name of the flag, without dashes before it."""
    value: str
    """Its value, always text: `"5"`, `"true"`."""


class Volume(Part):
    """A directory or file of the node, mounted into a static pod; one of the same name as a default replaces it."""

    name: Name
    """Name of the volume, once per component."""
    host_path: AbsolutePath
    """Path on the node."""
    mount_path: AbsolutePath
    """Path in the container, once per component."""
    read_only: bool = True
    """Whether the component may not write there."""
    path_type: Literal["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket"] = ""
    """What the kubelet checks or makes before the mount; empty: nothing."""


class Env(Part):
    """One environment variable of a component."""

    name: Variable
    """Name of the variable, once per component."""
    value: str
    """Its value, always text."""


class Component(Part):
    """What you add to a static pod of the control plane."""

    extra_args: Many[Arg] = ()
    """Flags; they replace every default of the same name."""
    extra_volumes: Many[Volume] = ()
    """Mounts of the node's files."""
    extra_envs: Many[Env] = ()
    """Environment variables."""


class ApiServer(Component):
    """The API server on every control-plane node."""

    cert_sans: Many[CertificateName] = Field(default=(), alias="certSANs")
    """Further names and addresses of its certificate."""


class Etcd(Component):
    """etcd on every control-plane node."""

    data_dir: DataDirectory = paths.ETCD
    """Where its data lies on a node; it can't change once the cluster exists."""
    server_cert_sans: Many[CertificateName] = Field(default=(), alias="serverCertSANs")
    """Further names and addresses of its certificate for clients."""
    peer_cert_sans: Many[CertificateName] = Field(default=(), alias="peerCertSANs")
    """Further names and addresses of its certificate for other members."""


class Scheduler(Component):
    """One more scheduler beside kube-scheduler; its lease, file and pod are named like it."""

    name: SchedulerName
    """Name of the scheduler: what pods write as `schedulerName`, unless `profiles` say otherwise."""
    port: SchedulerPort | None = None
    """Port of its health and metrics; if not given, the next free one from 10260, in the order of the file."""
    profiles: Many[dict[str, Any]] = ()
    """KubeSchedulerConfiguration profiles, each with its `schedulerName`; none: one profile of its own name."""
    nodes: Many[str] = ()
    """Control-plane nodes it runs on; none: all of them."""


class Dns(Part):
    """CoreDNS."""

    disabled: bool = False
    """Whether to leave it out."""


class Proxy(Part):
    """kube-proxy."""

    disabled: bool = False
    """Whether to leave it out."""
    mode: Literal["nftables", "iptables"] = "nftables"
    """How it programs the nodes."""
    config: dict[str, Any] = Field(default={})
    """KubeProxyConfiguration fields, over the defaults."""


class StaticPod(Part):
    """A static pod of your own; it may not refer to objects of the API (Secrets, ConfigMaps, …)."""

    file: LocalPath
    """Manifest of one pod, from the directory of cluster.yaml."""
    nodes: Many[str] = ()
    """Nodes it runs on; none: all of them."""


class Addon(Part):
    """Objects to apply to the cluster, by server-side apply; never forced over what somebody else owns."""

    file: LocalPath
    """Manifest file, or directory of them, from the directory of cluster.yaml."""
