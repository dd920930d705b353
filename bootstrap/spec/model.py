"""What cluster.yaml says, as types: Cluster and its parts; field names follow kubeadm v1beta4 where it has them."""

from __future__ import annotations

from functools import cached_property
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from bootstrap import versions
from bootstrap.spec.addresses import (
    API_PORT,
    Address,
    Endpoint,
    HostKey,
    Jump,
    Port,
    ServiceSubnet,
    SshHost,
    SshUser,
    Subnet,
    bracketed,
)
from bootstrap.spec.directories import LocalPath
from bootstrap.spec.names import Domain, KubernetesVersion, LabelKey, LabelValue, Name, NodeName, Repository, Variable
from bootstrap.spec.parts import (
    Addon,
    ApiServer,
    Arg,
    Component,
    Dns,
    Env,
    Etcd,
    Many,
    Part,
    Proxy,
    Scheduler,
    StaticPod,
    Volume,
)

__all__ = [
    "API_PORT",
    "Addon",
    "ApiServer",
    "Arg",
    "Cluster",
    "Component",
    "Dns",
    "Env",
    "Etcd",
    "Networking",
    "Node",
    "Proxy",
    "Scheduler",
    "Ssh",
    "StaticPod",
    "Taint",
    "Volume",
    "bracketed",
]

FIRST_SCHEDULER_PORT = 10260  # kube-scheduler's own is 10259


class Networking(Part):
    """Subnets of pods and Services, the DNS domain, and who connects the pods."""

    pod_subnet: Subnet = "10.244.0.0/16"
    """Network of the pods; every node gets a /24 of it (IPv6: a /64)."""
    service_subnet: ServiceSubnet = "10.96.0.0/12"
    """Network of the Services; its first address is the API's, its tenth DNS's."""
    dns_domain: Domain = "cluster.local"
    """DNS domain of the Services."""
    plugin: Literal["bridge", "none"] = "bridge"
    """`bridge`: the tool connects the pods of nodes that share a network; `none`: you install a CNI plugin."""


class Ssh(Part):
    """How a node is reached: its own fields, then the cluster's `ssh`."""

    host: SshHost | None = None
    """Name or address to connect to; only on a node, whose `address` it is if not given."""
    port: Port | None = None
    """Port of sshd."""
    user: SshUser | None = None
    """User to log in as."""
    identity_file: LocalPath | None = None
    """Private key to log in with; `~` is your home directory."""
    passphrase_file: LocalPath | None = None
    """File whose first line is the passphrase of the private key; if none is named, you are asked."""
    passphrase_env: Variable | None = None
    """Environment variable that has it."""
    jump: Jump | None = None
    """Host to go through, as ssh's ProxyJump: `[user@]host[:port]`, several joined by commas; `none`: none."""
    host_key: HostKey | None = None
    """The only host key that is accepted, as `ssh-ed25519 AAAA…`; only on a node."""
    host_key_policy: Literal["strict", "accept-new"] | None = None
    """`strict`, the default: a key that nobody knows is refused; `accept-new`: it is written down, and then known."""
    sudo: bool | None = None
    """Whether to become root by sudo; if not given, whenever the user is not root."""
    sudo_password_file: LocalPath | None = None
    """File whose first line is the password sudo asks for; if none is named, you are asked, where it does."""
    sudo_password_env: Variable | None = None
    """Environment variable that has it."""
    config_file: LocalPath | None = None
    """Configuration of ssh that says what is not said here; if not given, yours and the machine's; `none`: none."""


class Taint(Part):
    """A taint the kubelet registers its node with."""

    key: LabelKey
    """Key of the taint."""
    value: LabelValue = ""
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What becomes of pods that don't tolerate it."""


class Node(Part):
    """One machine: `address` is its address in the cluster, `ssh.host` (if not the same) where it is reached."""

    name: NodeName
    """Name of the node, at most 52 characters; quoted where YAML would read a number: `"123"`."""
    address: Address
    """IP address at which the other nodes reach it."""
    role: Literal["control-plane", "worker"]
    """Whether it runs the control plane and etcd, or pods only."""
    ssh: Ssh = Ssh()
    """How it is reached, where that differs from the cluster's `ssh`."""
    kubelet: dict[str, Any] = Field(default={})
    """KubeletConfiguration fields of this node, over the cluster's; null removes one."""
    labels: dict[LabelKey, LabelValue] = Field(default={})
    """Labels of the node."""
    taints: Many[Taint] | None = None
    """Taints of the node; if not given, kubeadm's on a control-plane node, none on a worker."""

    @property
    def control_plane(self) -> bool:
        """Whether it runs the control plane."""
        return self.role == "control-plane"


class Cluster(Part):
    """The whole file."""

    # model_copy(update=…) would keep what is cached below: to have another cluster, read another file.

    api_version: Literal["bootstrap/v1"]
    """Version of this format."""
    kind: Literal["Cluster"]
    """Always `Cluster`."""
    name: Name
    """Name of the cluster; it can't change once the cluster exists."""
    kubernetes_version: KubernetesVersion = versions.DEFAULT
    """Kubernetes to run; etcd, CoreDNS and pause follow from it."""
    endpoint: Endpoint | None = None
    """`host:port` that leads to every API server (balancer, DNS name); needed with several control-plane nodes."""
    networking: Networking = Networking()
    """Subnets, DNS domain, and who connects the pods."""
    ssh: Ssh = Ssh()
    """How nodes are reached, where a node does not say otherwise."""
    nodes: Annotated[Many[Node], Field(min_length=1)]
    """The machines; at least one control-plane node, an odd number of them for high availability."""
    schedulers: Many[Scheduler] = ()
    """Schedulers beside kube-scheduler, which is always there."""
    api_server: ApiServer = ApiServer()
    """Additions to kube-apiserver."""
    controller_manager: Component = Component()
    """Additions to kube-controller-manager."""
    scheduler: Component = Component()
    """Additions to kube-scheduler."""
    etcd: Etcd = Etcd()
    """Additions to etcd."""
    kubelet: dict[str, Any] = Field(default={})
    """KubeletConfiguration fields of every node; `staticPodPath` chooses the manifest directory."""
    dns: Dns = Dns()
    """Names of Services and pods."""
    proxy: Proxy = Proxy()
    """Addresses of Services, on every node."""
    image_repository: Repository = "registry.k8s.io"
    """Where the images come from."""
    static_pods: Many[StaticPod] = ()
    """Static pods of your own."""
    addons: Many[Addon] = ()
    """Manifests to apply."""
    kubeadm_join: bool = False
    """Whether machines may join as workers by `kubeadm join`: bootstrap tokens, and a signer in the cluster."""
    encryption_algorithm: Literal["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"] = "ECDSA-P256"
    """Kind of the keys."""
    certificate_validity_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """How long certificates are valid."""
    ca_certificate_validity_days: Annotated[int, Field(ge=1, le=36500)] = 3650
    """How long the authorities' certificates are valid."""

    _base: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: object, /) -> None:
        """Keep the directory the file was read from, which `load` gives as the validation's context."""
        if isinstance(context, Path):
            self._base = context

    @property
    def base(self) -> Path:
        """The directory of cluster.yaml, which the paths in it start from; "." when it was not read from a file."""
        return self._base

    @cached_property
    def voters(self) -> tuple[Node, ...]:
        """The control-plane nodes, in the file's order."""
        return tuple(node for node in self.nodes if node.control_plane)

    def node(self, name: str) -> Node:
        """The node of this name; KeyError when the file has none."""
        return self._nodes[name]

    def ssh_of(self, node: Node) -> Ssh:
        """How this node is reached: its own fields over the cluster's; `host` is always set."""
        own, every = node.ssh.model_dump(exclude_none=True), self.ssh.model_dump(exclude_none=True)
        for pair in (("passphrase_file", "passphrase_env"), ("sudo_password_file", "sudo_password_env")):
            if own.keys() & pair:  # a place of its own, whichever of the two it is
                every = {name: value for name, value in every.items() if name not in pair}
        return Ssh(host=node.address).model_copy(update=every | own)

    def scheduler_port(self, name: str) -> int:
        """The port of one of `schedulers`; KeyError when the file has none of this name."""
        return self._scheduler_ports[name]

    @cached_property
    def six(self) -> bool:
        """Whether a node or a pod has an IPv6 address."""
        return any(":" in address for address in (self.networking.pod_subnet, *(node.address for node in self.nodes)))

    @cached_property
    def release(self) -> versions.Release:
        """What goes with its Kubernetes version."""
        return versions.release(self.kubernetes_version)

    def service_address(self, index: int) -> str:
        """The index-th address of the Service subnet: 1 is the API's, 10 is DNS's."""
        return str(ip_network(self.networking.service_subnet)[index])

    def api_url(self, node: Node) -> str:
        """Where this control-plane node's own API server is."""
        return f"https://{bracketed(node.address)}:{API_PORT}"

    @property
    def public_url(self) -> str:
        """Where people and workers reach the API: the endpoint, else the only control-plane node."""
        return f"https://{self.endpoint}" if self.endpoint else self.api_url(self.voters[0])

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _scheduler_ports(self) -> dict[str, int]:
        others = (*self.controller_manager.extra_args, *self.scheduler.extra_args)
        chosen = {arg.value for arg in others if arg.name == "secure-port"}
        chosen |= {str(scheduler.port) for scheduler in self.schedulers}
        free = (port for port in count(FIRST_SCHEDULER_PORT) if str(port) not in chosen)
        return {scheduler.name: scheduler.port or next(free) for scheduler in self.schedulers}
