"""Rows about the network: ports that are taken, addresses, names, and whether nodes reach each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bootstrap.checks.check import Check, Ground, Level, Words
from bootstrap.components import components
from bootstrap.spec.addresses import API_PORT, ETCD_PORT

KUBELET_PORTS = (10248, 10250)
ETCD_PORTS = (ETCD_PORT, 2380)


def ports(ground: Ground) -> tuple[int, ...]:
    """Every port on which something of ours would listen."""
    probed = {component.probe.port for component in components(ground.cluster, ground.node)}
    return tuple(sorted({*probed, *KUBELET_PORTS, *(ETCD_PORTS if ground.node.control_plane else ())}))


def _ports(ground: Ground) -> Iterator[Words]:
    for port in ports(ground):
        for each in ground.survey.listeners:
            kubelets = each.program == "kubelet" and port in KUBELET_PORTS  # it starts again as ours
            if each.port == port and not (each.part or kubelets):
                who = f"{each.program}, process {each.pid}," if each.pid else "something"
                yield {"port": str(port), "who": who}
                break


def _firewall(name: str) -> Callable[[Ground], Iterator[Words]]:
    def ask(ground: Ground) -> Iterator[Words]:
        if name in ground.survey.guards:
            server = (str(API_PORT), "2380/tcp", "10250/tcp") if ground.node.control_plane else ("10250/tcp",)
            yield {"ports": ", ".join(port if "/" in port else f"{port}/tcp" for port in server)}

    return ask


def _address(ground: Ground) -> Iterator[Words]:
    if ground.survey.addresses and ground.node.address not in ground.survey.addresses:
        yield {"address": ground.node.address}


def _taken(ground: Ground) -> Iterator[Words]:
    for node in ground.cluster.nodes:
        if node.name != ground.node.name and node.address in ground.survey.addresses:
            yield {"address": node.address, "other": node.name}


def _name(ground: Ground) -> Iterator[Words]:
    led = ground.survey.resolves
    if ground.node.address not in led and not any(address.startswith("127.") or address == "::1" for address in led):
        where = f"leads to {', '.join(sorted(led))} there, not to its address" if led else "leads nowhere there"
        yield {"where": where, "address": ground.node.address}


def _reach(ground: Ground) -> Iterator[Words]:
    for each in ground.survey.unreached:
        yield {"port": str(each.port), "start": each.start, "end": each.end, "why": each.why}


NETWORK = (
    Check(
        "Port-{port}",
        Level.ERROR,
        "{who} listens on port {port}",
        "stop what listens there (ss -ltnp shows it on {node})",
        _ports,
    ),
    Check(
        "Firewalld",
        Level.WARNING,
        "firewalld is active: it has to let in {ports}, and what pods need",
        "firewall-cmd --permanent --add-port=PORT, for each, on {node}; firewall-cmd --reload",
        _firewall("firewalld"),
    ),
    Check(
        "Ufw",
        Level.WARNING,
        "ufw is active: it has to let in {ports}, and what pods need",
        "ufw allow PORT, for each, on {node}",
        _firewall("ufw"),
    ),
    Check(
        "NodeAddress",
        Level.ERROR,
        "its address {address} is on none of its interfaces",
        "correct the node's address in cluster.yaml (an address to reach it by goes into ssh.host), "
        "or give it that address (ip address)",
        _address,
    ),
    Check(
        "Unique-address",
        Level.ERROR,
        "the address of {other}, {address}, is on an interface of this node",
        "take it away from {node} (ip address), or correct cluster.yaml",
        _taken,
    ),
    Check(
        "Hostname",
        Level.WARNING,
        "its name {where}",
        "name {node} in /etc/hosts there ({address} {node}), or in your DNS",
        _name,
    ),
    Check(
        "Connection-{port}",
        Level.ERROR,
        "{start} does not reach port {port} of {end}: {why}",
        "let {start} through to {end}: firewalls, security groups, routes",
        _reach,
    ),
)
