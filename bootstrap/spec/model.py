"""What cluster.yaml says, as types: Cluster and its parts; field names follow kubeadm v1beta4 where it has them."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bootstrap import versions


class Part(BaseModel):
    """Any mapping of cluster.yaml: frozen, camelCase in the file, unknown fields refused."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False
    )


class Networking(Part):
    """Subnets of pods and Services, the DNS domain, and who connects the pods."""

    pod_subnet: str = "10.244.0.0/16"
    service_subnet: str = "10.96.0.0/12"
    dns_domain: str = "cluster.local"
    plugin: Literal["bridge", "none"] = "bridge"


class Ssh(Part):
    """How a node is reached; what is not said comes from the cluster's `ssh`, then from ~/.ssh/config."""

    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str | None = None
    identity_file: str | None = None
    host_key: str | None = None


class Taint(Part):
    """A taint the kubelet registers its node with."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Node(Part):
    """One machine: `address` is its address in the cluster, `ssh.host` (if not the same) where it is reached."""

    name: str
    address: str
    role: Literal["control-plane", "worker"]
    ssh: Ssh = Ssh()
    kubelet: dict[str, Any] = {}  # KubeletConfiguration fields of this node, over the cluster's
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] | None = None  # None: kubeadm's taint on control-plane nodes, none on workers

    @property
    def control_plane(self) -> bool:
        """Whether it runs the control plane."""
        return self.role == "control-plane"


class Arg(Part):
    """One `--name=value` of a component; the same name may come several times."""

    name: str
    value: str


class Volume(Part):
    """A hostPath mount of a static pod."""

    name: str
    host_path: str
    mount_path: str
    read_only: bool = True
    path_type: Literal["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket"] = ""


class Env(Part):
    """One environment variable of a component."""

    name: str
    value: str


class Component(Part):
    """What the user adds to a static pod: `extraArgs` replace every default of the same name."""

    extra_args: tuple[Arg, ...] = ()
    extra_volumes: tuple[Volume, ...] = ()
    extra_envs: tuple[Env, ...] = ()


class ApiServer(Component):
    """The API server: `certSANs` are further names and addresses of its certificate."""

    cert_sans: tuple[str, ...] = Field(default=(), alias="certSANs")


class Etcd(Component):
    """etcd on the control-plane nodes."""

    data_dir: str = "/var/lib/etcd"
    server_cert_sans: tuple[str, ...] = Field(default=(), alias="serverCertSANs")
    peer_cert_sans: tuple[str, ...] = Field(default=(), alias="peerCertSANs")


class Scheduler(Component):
    """One more scheduler; its lease, file, pod and profile are named like it."""

    name: str
    port: Annotated[int, Field(ge=1, le=65535)] | None = None  # None: the next free one from 10260
    profiles: tuple[dict[str, Any], ...] = ()  # KubeSchedulerConfiguration's; (): one profile of its name
    nodes: tuple[str, ...] = ()  # (): every control-plane node


class Dns(Part):
    """CoreDNS."""

    disabled: bool = False


class Proxy(Part):
    """kube-proxy; `config` holds KubeProxyConfiguration fields."""

    disabled: bool = False
    mode: Literal["nftables", "iptables"] = "nftables"
    config: dict[str, Any] = {}


class StaticPod(Part):
    """A static pod of the user's own, on these nodes (none named: on every node)."""

    file: str
    nodes: tuple[str, ...] = ()


class Addon(Part):
    """A manifest file, or a directory of them, applied to the cluster."""

    file: str


class Cluster(Part):
    """The whole file."""

    api_version: Literal["bootstrap/v1"]
    kind: Literal["Cluster"]
    name: str
    kubernetes_version: str = versions.DEFAULT
    endpoint: str | None = None  # host:port of a balancer or DNS name before the API servers
    networking: Networking = Networking()
    ssh: Ssh = Ssh()
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    schedulers: tuple[Scheduler, ...] = ()
    api_server: ApiServer = ApiServer()
    controller_manager: Component = Component()
    scheduler: Component = Component()
    etcd: Etcd = Etcd()
    kubelet: dict[str, Any] = {}  # KubeletConfiguration fields of every node
    dns: Dns = Dns()
    proxy: Proxy = Proxy()
    image_repository: str = "registry.k8s.io"
    static_pods: tuple[StaticPod, ...] = ()
    addons: tuple[Addon, ...] = ()
    encryption_algorithm: Literal["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"] = "ECDSA-P256"
    certificate_validity_days: Annotated[int, Field(ge=1, le=3650)] = 365
    ca_certificate_validity_days: Annotated[int, Field(ge=1, le=36500)] = 3650

    @cached_property
    def voters(self) -> tuple[Node, ...]:
        """The control-plane nodes, in the file's order."""
        return tuple(node for node in self.nodes if node.control_plane)

    def node(self, name: str) -> Node:
        """The node of this name; KeyError when the file has none."""
        return {node.name: node for node in self.nodes}[name]

    @cached_property
    def release(self) -> versions.Release:
        """What goes with its Kubernetes version."""
        return versions.release(self.kubernetes_version)

    def service_address(self, index: int) -> str:
        """The index-th address of the Service subnet: 1 is the API's, 10 is DNS's."""
        return str(ipaddress.ip_network(self.networking.service_subnet)[index])

    def api_url(self, node: Node) -> str:
        """Where this control-plane node's own API server is."""
        return f"https://{bracketed(node.address)}:{API_PORT}"

    @property
    def public_url(self) -> str:
        """Where people and workers reach the API: the endpoint, else the only control-plane node."""
        return f"https://{self.endpoint}" if self.endpoint else self.api_url(self.voters[0])


API_PORT = 6443


def bracketed(address: str) -> str:
    """An address as it stands in a URL: IPv6 goes into brackets."""
    return f"[{address}]" if ":" in address else address
