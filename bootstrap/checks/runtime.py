"""Rows about the container runtime: whether it serves the kubelet, as the kubelet is configured, and has the images."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from urllib.parse import urlsplit

from bootstrap import images
from bootstrap.checks.check import Check, Ground, Level, Words

TELLS = 2  # the major version of containerd that tells the kubelet its cgroup driver


def _none(ground: Ground) -> Iterator[Words]:
    if not ground.facts.machine.runtime:
        yield {}


def _stopped(ground: Ground) -> Iterator[Words]:
    if ground.facts.machine.runtime and not ground.survey.runtime.listens:
        yield {"socket": ground.facts.machine.runtime.removeprefix("unix://")}


def _plugin(ground: Ground) -> Iterator[Words]:
    runtime = ground.survey.runtime
    if runtime.listens and runtime.cri not in (None, "ok"):
        yield {"state": f"in the state {runtime.cri}" if runtime.cri else "not loaded"}


def _containerd(ground: Ground) -> int:
    major = ground.survey.runtime.containerd.partition(".")[0]
    of_it = ground.facts.machine.runtime.endswith("containerd.sock") and major.isdigit()
    return int(major) if of_it else 0


def _version(ground: Ground) -> Iterator[Words]:
    if 0 < _containerd(ground) < TELLS:
        yield {"version": ground.survey.runtime.containerd}


def _driver(ground: Ground) -> Iterator[Words]:
    systemd = ground.survey.runtime.systemd
    if not 0 < _containerd(ground) < TELLS or systemd is None:
        return  # newer ones tell the kubelet, which follows them
    theirs, ours = "systemd" if systemd else "cgroupfs", ground.setting("cgroupDriver", "--cgroup-driver")
    if theirs != ours:
        yield {"theirs": theirs, "ours": str(ours), "right": "true" if ours == "systemd" else "false"}


def _sandbox(ground: Ground) -> Iterator[Words]:
    sandbox, pause = ground.survey.runtime.sandbox, images.pause(ground.cluster)
    if sandbox and sandbox != pause:
        yield {"sandbox": sandbox, "pause": pause}


def _missing(ground: Ground) -> Iterator[Words]:
    reasons: dict[str, list[str]] = {}
    for image in absent(ground):
        if why := ground.survey.unpullable.get(image):
            reasons.setdefault(why, []).append(image)
    for why, missing in reasons.items():
        rest = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        yield {"images": missing[0] + rest, "why": why}


def absent(ground: Ground) -> list[str]:
    """Images that the node needs and lacks, the runtime's own sandbox among them; none where nobody could ask."""
    runtime, pause = ground.survey.runtime, images.pause(ground.cluster)
    needed = (runtime.sandbox or it if it == pause else it for it in images.needed(ground.cluster, ground.node))
    return [] if runtime.images is None else [image for image in needed if image not in runtime.images]


def _plugins(ground: Ground) -> Iterator[Words]:
    if ground.cluster.networking.plugin == "bridge":
        for name in ground.survey.runtime.unplugged:
            yield {"plugin": name, "directory": ground.survey.runtime.plugins}


def _endpoint(ground: Ground) -> Iterator[Words]:
    public = urlsplit(ground.cluster.public_url).hostname or ""
    host = ground.node.address if ground.node.control_plane else public
    if not covered(ground.survey.proxied.get("kubelet", ("*",)), host):
        yield {"host": host}


def _ranges(ground: Ground) -> Iterator[Words]:
    networking = ground.cluster.networking
    for name, past in sorted(ground.survey.proxied.items()):
        ranges = (networking.service_subnet, networking.pod_subnet)
        if lacking := [each for each in ranges if not covered(past, each)]:
            yield {"unit": name, "ranges": ",".join(lacking)}


def covered(past: tuple[str, ...], place: str) -> bool:
    """Whether NO_PROXY, as Go reads it, keeps a name, an address or a whole network away from the proxy."""
    for each in past:
        bare = each.lstrip(".")
        if place in (each, bare) or each == "*" or place.endswith(f".{bare}"):
            return True
        try:
            wide, narrow = ip_network(each, strict=False), ip_network(place, strict=False)
        except ValueError:
            continue
        if wide.version == narrow.version and narrow.subnet_of(wide):  # type: ignore[arg-type]  # of one version
            return True
    return False


STARTED = "on {node}: systemctl start containerd (journalctl -u containerd says why it ended); or install it"
RUNTIME = (
    Check(
        "CRI",
        Level.ERROR,
        "no container runtime is there, or it is stopped (containerd, CRI-O or cri-dockerd)",
        STARTED,
        _none,
        surveyed=False,
    ),
    Check("CRI-socket", Level.ERROR, "the container runtime is stopped: nobody listens at {socket}", STARTED, _stopped),
    Check(
        "CRI-plugin",
        Level.ERROR,
        "containerd's CRI plugin is {state}: no kubelet can use it",
        "on {node}: take cri out of disabled_plugins in /etc/containerd/config.toml; systemctl restart containerd",
        _plugin,
    ),
    Check(
        "ContainerRuntimeVersion",
        Level.WARNING,
        "containerd {version} does not tell the kubelet its cgroup driver, and kubelets after 1.37 rely on it",
        f"install containerd {TELLS} before an upgrade",
        _version,
    ),
    Check(
        "CgroupDriver",
        Level.ERROR,
        "containerd uses the cgroup driver {theirs}, and the kubelet would use {ours}",
        "set SystemdCgroup = {right} in /etc/containerd/config.toml on {node}, "
        "or kubelet.cgroupDriver: {theirs} in cluster.yaml",
        _driver,
    ),
    Check(
        "SandboxImage",
        Level.WARNING,
        "the runtime holds pods by the image {sandbox}, not by {pause}, which goes with this Kubernetes",
        "name {pause} as sandbox image in the runtime's configuration on {node}, or see that it can have its own",
        _sandbox,
    ),
    Check(
        "ImagePull",
        Level.ERROR,
        "{images} not on the node, and the registry does not answer it: {why}",
        "let {node} reach the registry, use a mirror (imageRepository in cluster.yaml), or import the images; "
        "bootstrap images list names them",
        _missing,
    ),
    Check(
        "CNIPlugin-{plugin}",
        Level.ERROR,
        "the CNI plugin {plugin} is not in {directory}",
        "install containernetworking-plugins on {node}, or use another network (networking.plugin in cluster.yaml)",
        _plugins,
    ),
    Check(
        "HTTPProxy",
        Level.WARNING,
        "the kubelet would reach the API at {host} through a proxy",
        "add {host} to NO_PROXY in the kubelet's unit on {node}",
        _endpoint,
    ),
    Check(
        "HTTPProxyCIDR",
        Level.WARNING,
        "{unit} has a proxy, and its NO_PROXY lacks {ranges}",
        "add them to NO_PROXY in the unit of {unit} on {node}; systemctl daemon-reload; systemctl restart {unit}",
        _ranges,
    ),
)
