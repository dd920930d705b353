"""The rules that concern several fields; they read the raw tree, so they speak even when some fields are wrong."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise
from pathlib import PurePosixPath

from bootstrap import paths
from bootstrap.spec import directories, owned
from bootstrap.spec.addresses import used_port
from bootstrap.spec.faults import Fault, Wrong, dotted, nearest
from bootstrap.spec.model import Networking
from bootstrap.spec.place import Place

Rule = Callable[[Place], Iterator[Fault]]
Network = IPv4Network | IPv6Network

_COMPONENTS = ("apiServer", "controllerManager", "scheduler", "etcd")


def node_identity(cluster: Place) -> Iterator[Fault]:
    """No two nodes share a name, an address, or the place where ssh reaches them."""
    nodes = list(cluster["nodes"])
    yield from _repeated((node["name"], node["name"].text) for node in nodes)
    yield from _repeated((node["address"], node["address"].text) for node in nodes)
    yield from _repeated(
        (node["ssh"]["host"], (node["ssh"]["host"].text, str(node["ssh"]["port"].value), node["ssh"]["jump"].text))
        for node in nodes
        if node["ssh"]["host"].text
    )


def control_plane(cluster: Place) -> Iterator[Fault]:
    """At least one node is a control-plane node; with several, `endpoint` says where all of them are reached."""
    roles = [node["role"].text for node in cluster["nodes"]]
    count = roles.count("control-plane")
    if roles and set(roles) == {"worker"}:
        yield cluster["nodes"].wrong("no node has the role control-plane", "at least one runs the control plane")
    if count > 1 and cluster["endpoint"].value is None:
        yield cluster["endpoint"].wrong(
            f"is missing, and there are {count} control-plane nodes: kubelets and people need one address that still "
            "answers when a node is down",
            "a balancer or DNS name before the API servers: write endpoint: api.demo.example:6443",
        )


def ssh_of_all(cluster: Place) -> Iterator[Fault]:
    """What is true of one machine only is not said of all of them: `ssh.host` and `ssh.hostKey`."""
    for name in ("host", "hostKey"):
        if cluster["ssh"][name].value is not None:
            yield cluster["ssh"][name].unwanted("belongs to one node", f"write it below nodes[].ssh.{name}")


def one_secret(cluster: Place) -> Iterator[Fault]:
    """A password or passphrase comes from a file or from the environment, not from both."""
    for ssh in (cluster["ssh"], *(node["ssh"] for node in cluster["nodes"])):
        for name in ("passphrase", "sudoPassword"):
            if ssh[f"{name}File"].value is not None and ssh[f"{name}Env"].value is not None:
                yield ssh[f"{name}Env"].wrong(f"can't be beside {name}File", "leave one of them out")


def one_family(cluster: Place) -> Iterator[Fault]:
    """Subnets and the addresses of the nodes are all IPv4 or all IPv6."""
    everything = [*_addresses(cluster), *_networks(cluster)]
    for place, found in everything:
        first, expected = everything[0]
        if found.version != expected.version:
            default = "" if place.text else f" by default ({found})"
            problem = f"is IPv{found.version}{default}, and {dotted(first.where)} is IPv{expected.version}"
            yield place.wrong(problem, f"a cluster is of one family: write an IPv{expected.version} one")


def apart(cluster: Place) -> Iterator[Fault]:
    """The networks of nodes, pods and Services do not overlap."""
    networks = list(_networks(cluster))
    for (_, pods), (place, services) in pairwise(networks):
        if pods[0] in services or services[0] in pods:
            yield place.wrong(f"{services} overlaps networking.podSubnet, {pods}")
    for place, ip in _addresses(cluster):
        for subnet, network in networks:
            if ip in network:
                yield place.wrong(f"{ip} lies in {dotted(subnet.where)}, {network}", f"choose another {subnet.name}")


def room_for_pods(cluster: Place) -> Iterator[Fault]:
    """The pod subnet has a /24 for every node (IPv6: a /64), and is not too large to be split so."""
    flags = {argument["name"].text for argument in cluster["controllerManager"]["extraArgs"]}
    other_size = any(flag.startswith("node-cidr-mask-size") for flag in flags)
    if other_size and cluster["networking"]["plugin"].value == "none":
        return  # the controller-manager splits it, and refuses to start where it can't
    for place, network in _networks(cluster):
        if place.name != "podSubnet":
            continue
        each = 24 if network.version == 4 else 64
        nodes = max(1, len(list(cluster["nodes"])))
        most = each - (nodes - 1).bit_length()
        if network.prefixlen > most:
            hint = f"/{most} has room for {2 ** (each - most)}"
            yield place.wrong(f"{network} has no /{each} for each of {nodes} nodes", hint)
        elif network.prefixlen < each - 16:
            yield place.wrong(f"{network} is too large to be split into /{each}s", f"/{each - 16} is the largest")


def validity(cluster: Place) -> Iterator[Fault]:
    """Certificates do not outlive the authority that issued them."""
    leaf, authority = cluster["certificateValidityDays"], cluster["caCertificateValidityDays"]
    if isinstance(leaf.value, int) and isinstance(authority.value, int) and leaf.value > authority.value:
        yield leaf.wrong(f"{leaf.value} days are more than the authorities' own {authority.value}")


def scheduler_identity(cluster: Place) -> Iterator[Fault]:
    """Each scheduler has its own name, and every profile says which pods it is for: none are for two."""
    served: list[tuple[Place, Hashable]] = []
    for scheduler in cluster["schedulers"]:
        name = scheduler["name"]
        if not scheduler["profiles"].value:
            served.append((name, name.text))
        for profile in scheduler["profiles"]:
            pods = profile["schedulerName"]
            served.append((pods, pods.text))
            if pods.value is None and isinstance(profile.value, dict):
                yield pods.wrong("is missing", f"write schedulerName: {name.text}")
            elif not pods.text and isinstance(profile.value, dict):
                yield pods.wrong("must be text")
            elif pods.text == "default-scheduler":
                yield pods.wrong("default-scheduler is kube-scheduler's, and two would race for its pods")
    yield from _repeated((scheduler["name"], scheduler["name"].text) for scheduler in cluster["schedulers"])
    yield from _repeated(served)


def ports(cluster: Place) -> Iterator[Fault]:
    """Each scheduler has its own port, and none that a `secure-port` has or another part of the control plane."""
    chosen: list[tuple[Place, Hashable]] = [
        (scheduler["port"], scheduler["port"].value) for scheduler in cluster["schedulers"]
    ]
    for component, own in (("controllerManager", 10257), ("scheduler", 10259)):
        for argument in cluster[component]["extraArgs"]:
            if argument["name"].text == "secure-port" and argument["value"].text:
                place, text = argument["value"], argument["value"].text
                chosen.append((place, int(text) if text.isdecimal() else None))
                if not text.isdecimal() or not 1 <= int(text) <= 65535:
                    yield place.wrong(f"{text} is not a port", "1 to 65535")
                elif int(text) != own and (owner := used_port(int(text))):
                    yield place.wrong(f"{text} is the port of {owner}", "leave it out")
    yield from _repeated(chosen)


def places(cluster: Place) -> Iterator[Fault]:
    """`nodes` of a scheduler name control-plane nodes, those of a static pod any nodes; each once."""
    known = {node["name"].text: node["role"].text for node in cluster["nodes"]}
    for kind in ("schedulers", "staticPods"):
        for entry in cluster[kind]:
            names = list(entry["nodes"])
            yield from _repeated((name, name.text) for name in names)
            for name in names:
                if name.text and name.text not in known:
                    hint = nearest(name.text, tuple(known)) or "the name of one of nodes"
                    yield name.wrong(f"there is no node {name.text}", hint)
                elif kind == "schedulers" and known.get(name.text) == "worker":
                    yield name.wrong(f"{name.text} is a worker", "schedulers run on control-plane nodes")


def additions(cluster: Place) -> Iterator[Fault]:
    """A component's volumes, mount paths and variables are there once, and its flags are not the tool's own."""
    components = [(name, cluster[name]) for name in _COMPONENTS]
    components += [("schedulers", scheduler) for scheduler in cluster["schedulers"]]
    for name, component in components:
        yield from owned.arguments(component, name)
        yield from _repeated((volume["name"], volume["name"].text) for volume in component["extraVolumes"])
        yield from _repeated((volume["mountPath"], volume["mountPath"].text) for volume in component["extraVolumes"])
        yield from _repeated((variable["name"], variable["name"].text) for variable in component["extraEnvs"])


def allotment(cluster: Place) -> Iterator[Fault]:
    """With the plugin `bridge`, who gets which pod addresses is decided by the tool, not by the cluster."""
    if cluster["networking"]["plugin"].value in (None, "bridge"):
        for argument in cluster["controllerManager"]["extraArgs"]:
            if argument["name"].text == "allocate-node-cidrs":
                problem = "can't be set with networking.plugin bridge"
                yield argument["name"].wrong(problem, "the tool allots the addresses")


def kubeadm_join(cluster: Place) -> Iterator[Fault]:
    """`kubeadmJoin` needs the plugin `none`: `bridge` joins only the pods of nodes that the tool reaches by SSH."""
    if cluster["kubeadmJoin"].value is True and cluster["networking"]["plugin"].value in (None, "bridge"):
        problem = "can't be true with networking.plugin bridge: a node that joins by itself would have no pod network"
        yield cluster["kubeadmJoin"].wrong(problem, "write networking.plugin: none, and install a network plugin")


def configurations(cluster: Place) -> Iterator[Fault]:
    """`kubelet` and `proxy.config` are of the right kind, and leave to the tool what is the tool's."""
    kubelets = [cluster["kubelet"], *(node["kubelet"] for node in cluster["nodes"])]
    for configuration in kubelets:
        yield from owned.fields(configuration, "kubelet")
        yield from _kind(configuration, "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
    yield from owned.fields(cluster["proxy"]["config"], "proxy.config")
    yield from _kind(cluster["proxy"]["config"], "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration")


def manifest_directory(cluster: Place) -> Iterator[Fault]:
    """`staticPodPath` is a directory of its own: the kubelet runs every file there, and etcd's data is elsewhere."""
    data = cluster["etcd"]["dataDir"].text or paths.ETCD
    for configuration in (cluster["kubelet"], *(node["kubelet"] for node in cluster["nodes"])):
        path = configuration["staticPodPath"]
        if path.value is None:
            continue
        try:
            directories.own_directory(path.text)
        except Wrong as wrong:
            yield path.wrong(wrong.problem, wrong.hint)
        if directories.nested(path.text, data):
            yield path.wrong(f"{path.text} is not apart from etcd's data, {data}")


def manifest_names(cluster: Place) -> Iterator[Fault]:
    """Static pods keep their files' names in a node's manifest directory, where each is there once and seen."""
    ours = {f"{name}.yaml" for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")}
    ours |= {f"{scheduler['name'].text}.yaml" for scheduler in cluster["schedulers"]}
    everywhere = {node["name"].text for node in cluster["nodes"]}
    first: dict[tuple[str, str], Place] = {}
    for entry in cluster["staticPods"]:
        file, name = entry["file"], PurePosixPath(entry["file"].text).name
        if name.startswith("."):
            yield file.wrong("the kubelet does not see a file whose name begins with a dot", "give it another name")
        if name in ours:
            yield file.wrong(f"{name} is the manifest of a part of the control plane", "give it another name")
        for node in sorted({place.text for place in entry["nodes"]} or everywhere):
            before = first.setdefault((node, name), file)
            if name and before is not file:
                yield file.wrong(
                    f"node {node} has a {name} already, from {dotted(before.where)}", "give it another name"
                )
                break


RULES: tuple[Rule, ...] = (
    *(node_identity, control_plane, ssh_of_all, one_secret, one_family, apart, room_for_pods, validity),
    *(scheduler_identity, ports, places, additions, allotment, kubeadm_join, configurations),
    *(manifest_directory, manifest_names),
)


def check(raw: object) -> Iterator[Fault]:
    """Every rule that the raw tree breaks."""
    cluster = Place((), raw)
    for rule in RULES:
        yield from rule(cluster)


def _repeated(values: Iterable[tuple[Place, Hashable]]) -> Iterator[Fault]:
    """A fault for each value that came before; those that are empty don't count."""
    first: dict[Hashable, Place] = {}
    for place, value in values:
        if value and value in first:
            yield place.wrong(f"is the same as {dotted(first[value].where)}", "each has its own")
        elif value:
            first[value] = place


def _networks(cluster: Place) -> Iterator[tuple[Place, Network]]:
    """The pod subnet and the Service subnet, or their defaults; those that are none are left out."""
    for name, field in (("podSubnet", "pod_subnet"), ("serviceSubnet", "service_subnet")):
        place = cluster["networking"][name]
        text = place.text if place.value is not None else str(Networking.model_fields[field].default)
        try:
            yield place, ip_network(text)
        except ValueError:
            continue


def _addresses(cluster: Place) -> Iterator[tuple[Place, IPv4Address | IPv6Address]]:
    for node in cluster["nodes"]:
        try:
            yield node["address"], ip_address(node["address"].text)
        except ValueError:
            continue


def _kind(configuration: Place, version: str, kind: str) -> Iterator[Fault]:
    for name, right in (("apiVersion", version), ("kind", kind)):
        if configuration[name].value not in (None, right):
            yield configuration[name].wrong(f"must be {right}", "or leave it out")
