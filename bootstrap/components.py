"""The static pods of a control-plane node: a row each, and the files that come of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from urllib.parse import SplitResult, urlsplit

from bootstrap import flags, images, paths
from bootstrap.flags import Flags
from bootstrap.render import render
from bootstrap.spec import model
from bootstrap.spec.model import API_PORT, Cluster, Node, bracketed
from bootstrap.template_files import text
from bootstrap.world import GENERATION, File

GRACE = 30  # seconds from SIGTERM to SIGKILL; Kubernetes' default
SPARE = 10  # seconds between the end of the last request and SIGKILL

# What /etc/ssl/certs has links into, on one distribution or another; kubeadm's list.
CA_DIRECTORIES = (
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
)


@dataclass(frozen=True, slots=True)
class Place:
    """What only the node can tell: its manifest directory, its CA_DIRECTORIES, how its etcd was born.

    `initial_cluster` is name and address of every founding member, in an order that never changes.
    """

    manifests: str
    ca_directories: tuple[str, ...]
    initial_cluster: tuple[tuple[str, str], ...]
    initial_state: str = "new"


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the node in a container; `type` is Kubernetes' hostPath type, "" where nothing is checked."""

    name: str
    host_path: str
    path: str
    type: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Probe:
    """Where `part` is asked, on its own node, whether it can do its work; status 200 says that it can."""

    part: str
    port: int
    path: str
    scheme: str
    host: str

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Component:
    """A static pod; its name is also its part's, its container's and its manifest's."""

    name: str
    template: str  # of templates/manifests
    image: str
    port: int  # where it answers probes, unless its flags say otherwise
    ready: str  # the path that says it can do its work
    flags: Flags  # less the user's
    extra: model.Component  # what the user adds
    mounts: tuple[Mount, ...]
    node: Node
    config: tuple[File, ...] = ()  # files of its own that it mounts
    founded: bool = False  # it is told how it was born
    trusts: bool = False  # it may call the outside, so it sees the CA certificates of the node

    def told(self, flag: str, default: str = "") -> str:
        """The value this flag ends up with: the user's last, else ours, else `default`."""
        return (self.flags | {arg.name: arg.value for arg in self.extra.extra_args}).get(flag, default)

    @property
    def listens(self) -> SplitResult:
        """The URL below which it answers probes, with the address it is bound to."""
        bound = bracketed(self.told("bind-address", "::"))
        https = f"https://{bound}:{self.told('secure-port', str(self.port))}"
        return urlsplit(self.told("listen-metrics-urls", https).split(",")[0])

    @property
    def host(self) -> str:
        """Where the kubelet probes it; "" is the node's own address."""
        return self.told("advertise-address") or _one(self.listens)

    @property
    def probe(self) -> Probe:
        """Where it is asked from the workstation, through the node."""
        url = self.listens
        return Probe(
            part=self.name,
            port=url.port or self.port,
            path=self.ready,
            scheme=url.scheme,
            host=_one(url) or flags.loopback(self.node),
        )

    @property
    def grace(self) -> int:
        """Seconds it is given to end by itself: longer than it waits for balancers, and then for requests."""
        delay = flags.seconds(self.told("shutdown-delay-duration", "0s"))
        return ceil(delay + flags.seconds(self.told("request-timeout"))) + SPARE if delay else GRACE


def _one(bound: SplitResult) -> str:
    """The address it is bound to, "" where that is all of them."""
    host = bound.hostname or ""
    return "" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound to)


def components(cluster: Cluster, node: Node) -> tuple[Component, ...]:
    """What this node runs, each after what it needs; nothing where it is a worker."""
    if not node.control_plane:
        return ()
    return (
        Component(
            name="etcd",
            template="etcd",
            image=images.etcd(cluster),
            port=2381,
            ready="/readyz",
            flags=flags.etcd(cluster, node),
            extra=cluster.etcd,
            mounts=(
                _mount("etcd-certs", f"{paths.PKI}/etcd", "Directory"),
                _mount("etcd-data", cluster.etcd.data_dir, "Directory", read_only=False),
            ),
            node=node,
            founded=True,
        ),
        Component(
            name="kube-apiserver",
            template="kube-apiserver",
            image=images.kubernetes(cluster, "kube-apiserver"),
            port=API_PORT,
            ready="/readyz",
            flags=flags.apiserver(cluster, node),
            extra=cluster.api_server,
            mounts=(
                _mount("audit-logs", paths.AUDIT_LOGS, "DirectoryOrCreate", read_only=False),
                _mount("encryption", flags.ENCRYPTION, "File"),
                _mount("k8s-certs", paths.PKI, "Directory"),
                _mount("policies", flags.POLICIES, "Directory"),
            ),
            node=node,
            config=tuple(
                _config(f"{flags.POLICIES}/{name}", content, "kube-apiserver")
                for name, content in (
                    ("admission.yaml", text("policies/admission.yaml")),
                    ("audit.yaml", text("policies/audit.yaml")),
                    ("authentication.yaml", render("policies/authentication.yaml.j2", {"open": _open(cluster)})),
                )
            ),
            trusts=True,
        ),
        Component(
            name="kube-controller-manager",
            template="kube-controller-manager",
            image=images.kubernetes(cluster, "kube-controller-manager"),
            port=10257,
            ready="/healthz",
            flags=flags.controller_manager(cluster),
            extra=cluster.controller_manager,
            mounts=(
                _mount("k8s-certs", paths.PKI, "Directory"),
                _mount("kubeconfig", f"{paths.KUBERNETES}/controller-manager.conf", "File"),
            ),
            node=node,
            trusts=True,
        ),
        Component(
            name="kube-scheduler",
            template="kube-scheduler",
            image=images.kubernetes(cluster, "kube-scheduler"),
            port=10259,
            ready="/readyz",
            flags=flags.scheduler("scheduler"),
            extra=cluster.scheduler,
            mounts=(_mount("kubeconfig", f"{paths.KUBERNETES}/scheduler.conf", "File"),),
            node=node,
        ),
        *(
            _further(cluster, node, another)
            for another in cluster.schedulers
            if not another.nodes or node.name in another.nodes
        ),
    )


def _open(cluster: Cluster) -> list[str]:
    """Paths of the API that need no credential, beside those about health: what `kubeadm join` asks first."""
    return ["/api/v1/namespaces/kube-public/configmaps/cluster-info"] if cluster.kubeadm_join else []


def _further(cluster: Cluster, node: Node, another: model.Scheduler) -> Component:
    """kube-scheduler once more, under a name, a port, an identity and a lease of its own."""
    conf, config = (f"{paths.KUBERNETES}/{another.name}.{suffix}" for suffix in ("conf", "yaml"))
    profiles = another.profiles or ({"schedulerName": another.name},)
    port = cluster.scheduler_port(another.name)
    wanted = {"name": another.name, "kubeconfig": conf, "profiles": profiles}
    return Component(
        name=another.name,
        template="kube-scheduler",
        image=images.kubernetes(cluster, "kube-scheduler"),
        port=port,
        ready="/readyz",
        flags=flags.scheduler(another.name) | {"config": config, "secure-port": str(port)},
        extra=another,
        mounts=(_mount("config", config, "File"), _mount("kubeconfig", conf, "File")),
        node=node,
        config=(_config(config, render("policies/scheduler.yaml.j2", wanted), another.name),),
    )


def _mount(name: str, path: str, type: str, *, read_only: bool = True) -> Mount:
    """A path that is the same inside and outside."""
    return Mount(name, path, path, type, read_only)


def _config(path: str, content: str, part: str) -> File:
    """A file people may see, root's, which `part` reads when it starts."""
    return File(path, content.encode(), part=part, secret=False)


def every(_component: str) -> bool:
    """All of them."""
    return True


def files(
    cluster: Cluster, node: Node, place: Place, encryption_key: str, only: Callable[[str], bool] = every
) -> Iterator[File]:
    """The manifests of this node and what they mount, less credentials; each restarts the part it names.

    `encryption_key` is 32 random bytes in base64, the same on every node and for ever; `only` says by a component's
    name whether its files are asked for.
    """
    for component in components(cluster, node):
        if only(component.name):
            yield _config(f"{place.manifests}/{component.name}.yaml", manifest(component, place), component.name)
            yield from component.config
    if node.control_plane and only("kube-apiserver"):
        encryption = render("policies/encryption.yaml.j2", {"key": encryption_key})
        yield File(flags.ENCRYPTION, encryption.encode(), part="kube-apiserver", secret=True)


def manifest(component: Component, place: Place) -> str:
    """The pod, as the kubelet reads it; `GENERATION` still stands where its generation goes."""
    birth = flags.birth(place.initial_cluster, place.initial_state) if component.founded else {}
    env = {"BOOTSTRAP_PART": component.name, "BOOTSTRAP_GENERATION": GENERATION.decode()}
    return render(
        f"manifests/{component.template}.yaml.j2",
        {
            "name": component.name,
            "image": component.image,
            "flags": flags.command_line(component.flags | birth, component.extra.extra_args),
            "env": (*env.items(), *((it.name, it.value) for it in component.extra.extra_envs)),
            "mounts": _mounts(component, place),
            "host": component.host,
            "port": component.probe.port,
            "scheme": component.probe.scheme.upper(),
            "grace": component.grace,
            "endpoint": f"{bracketed(component.node.address)}:{API_PORT}",
            "client_url": flags.client_url(component.node),
        },
    )


def _mounts(component: Component, place: Place) -> list[Mount]:
    """What it mounts, by name; the user's take the place of ours of the same name."""
    trusted = ("/etc/ssl/certs", *place.ca_directories) if component.trusts else ()
    names = {"/etc/ssl/certs": "ca-certs"}
    mounts = (
        *component.mounts,
        *(_mount(names.get(it, it[1:].replace("/", "-")), it, "DirectoryOrCreate") for it in trusted),
        *(
            Mount(it.name, it.host_path, it.mount_path, it.path_type, it.read_only)
            for it in component.extra.extra_volumes
        ),
    )
    return sorted({it.name: it for it in mounts}.values(), key=lambda it: it.name)
