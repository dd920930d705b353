"""The addresses in a cluster.yaml, of nodes, networks and hosts: each type checks one value, and says what to write."""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from bootstrap.spec import names
from bootstrap.spec.faults import Wrong, quoted

API_PORT = 6443
ETCD_PORT = 2379
USED_PORTS = (  # on the address of a control-plane node, by what the tool itself puts there
    (ETCD_PORT, "etcd"),
    (2380, "etcd"),
    (2381, "etcd"),
    (API_PORT, "the API server"),
    (10248, "the kubelet"),
    (10249, "kube-proxy"),
    (10250, "the kubelet"),
    (10256, "kube-proxy"),
    (10257, "the controller-manager"),
    (10259, "kube-scheduler"),
)

_USER = r"[A-Za-z0-9_][^\s@:/,]*"  # not "-": ssh would take it for an option
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_HOP = rf"({_USER}@)?(\[[0-9a-fA-F:.]+\]|{_HOST})(:[0-9]{{1,5}})?"


def bracketed(address: str) -> str:
    """An address as it stands in a URL: IPv6 goes into brackets."""
    return f"[{address}]" if ":" in address else address


def node_address(text: str) -> str:
    """An IP address other machines can reach, as the kubelet takes it for `--node-ip`, in its canonical form."""
    ip = _ip(text)
    if ip is None:
        raise Wrong(f"{quoted(text)} is not an IP address", "a name to reach the node by goes into ssh.host")
    for kind in ("loopback", "unspecified", "multicast", "link_local"):
        if getattr(ip, f"is_{kind}"):
            raise Wrong(f"{text} is {kind.replace('_', '-')}: other machines can't reach the node there")
    if isinstance(ip, IPv6Address) and (ip.scope_id or ip.ipv4_mapped):
        raise Wrong(f"{text} is not a plain IPv6 address", "leave out the zone, and write IPv4 as IPv4")
    if str(ip) != text:
        raise Wrong(f"{text} is not the usual way to write this address", f"write {ip}")
    return text


def subnet(text: str) -> str:
    """A network in its canonical form."""
    if "," in text:
        raise Wrong("only one network is supported, not two stacks", f"write {text.partition(',')[0].strip()}")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Wrong(f"{quoted(text)} is not a network", "such as 10.244.0.0/16") from None
    if "/" not in text:
        raise Wrong(f"{text} has no prefix length", f"such as {text}/16")
    if str(network) != text:
        raise Wrong(f"{text} is not the usual way to write this network", f"write {network}")
    if network.is_loopback or network.is_multicast or network.is_link_local or network.prefixlen == 0:
        raise Wrong(f"{text} can't carry pods or Services", "a private network, such as 10.244.0.0/16")
    return text


def service_subnet(text: str) -> str:
    """A network no larger than the API server takes, with room for the addresses of the API and of DNS."""
    network = ip_network(subnet(text))
    longest = network.max_prefixlen
    if network.prefixlen < longest - 20:
        raise Wrong(f"{text} is larger than the API server takes", f"/{longest - 20} is the largest")
    if network.prefixlen > longest - 4:
        raise Wrong(f"{text} has no 10th address, which is DNS's", f"/{longest - 4} is the smallest")
    return text


def endpoint(text: str) -> str:
    """`host:port`, with brackets around IPv6: what goes between `https://` and the path."""
    host, colon, port = text.rpartition(":")
    bare = re.sub(r"^[a-z]+://|/.*$", "", text).removeprefix("[").removesuffix("]")
    if _is_host(bare):
        raise Wrong(f"{quoted(text)} is not host:port", f'write "{bracketed(bare)}:{API_PORT}"')
    if "/" in text or not colon or not re.fullmatch(r"[0-9]+", port):
        raise Wrong(f"{quoted(text)} is not host:port", "such as api.demo.example:6443")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise Wrong(f"{port} is not a port", "1 to 65535")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(inner) or bracketed(inner) != host:
        raise Wrong(f"{quoted(host)} is neither an IP address nor a DNS name in lower case")
    return text


def certificate_name(text: str) -> str:
    """What a serving certificate can be made out to: an IP address, a DNS name, or `*.` before a DNS name."""
    if not _is_host(text) and not (text.startswith("*.") and re.fullmatch(names.SUBDOMAIN, text[2:])):
        hint = "no scheme, no port, lower case; such as api.demo.example"
        raise Wrong(f"{quoted(text)} is neither an IP address nor a DNS name", hint)
    return text


def ssh_host(text: str) -> str:
    """What ssh can be asked for: a DNS name or an address."""
    if not re.fullmatch(_HOST, text) and _ip(text) is None:
        raise Wrong(f"{quoted(text)} is not a host", "its port and user have fields of their own")
    return text


def ssh_user(text: str) -> str:
    """The name of a login."""
    if not re.fullmatch(_USER, text):
        raise Wrong(f"{quoted(text)} is not a user's name")
    return text


def jump(text: str) -> str:
    """One or more hosts to go through, as ssh's ProxyJump has them: `[user@]host[:port]`, joined by commas."""
    if not all(re.fullmatch(_HOP, hop) for hop in text.split(",")):
        raise Wrong(f"{quoted(text)} is not a host to go through", "such as admin@bastion.example:22")
    return text


def host_key(text: str) -> str:
    """A public host key, as a line of known_hosts has it after the host: type and base64."""
    kind, _, encoded = text.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if not blob[4:].startswith(kind.encode()) or int.from_bytes(blob[:4], "big") != len(kind.encode()):
        hint = "as printed by ssh-keyscan -t ed25519 HOST, without the host"
        raise Wrong(f"{quoted(text)} is not a public host key", hint)
    return text


def scheduler_port(port: int) -> int:
    """A port that nothing else on a control-plane node listens on."""
    if owner := used_port(port):
        raise Wrong(f"{port} is the port of {owner}", "leave it out for the next free one from 10260")
    return port


def used_port(port: int) -> str:
    """Who listens on this port of a control-plane node; "" when nobody does."""
    return dict(USED_PORTS).get(port, "")


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_host(text: str) -> bool:
    """An IP address in its canonical form, or a DNS name in lower case that can't be taken for an address."""
    ip = _ip(text)
    name = re.fullmatch(names.SUBDOMAIN, text) and not text.rpartition(".")[2].isdigit() and len(text) <= 253
    return str(ip) == text if ip else bool(name)


Address = Annotated[str, AfterValidator(node_address)]
Subnet = Annotated[str, AfterValidator(subnet)]
ServiceSubnet = Annotated[str, AfterValidator(service_subnet)]
Endpoint = Annotated[str, AfterValidator(endpoint)]
CertificateName = Annotated[str, AfterValidator(certificate_name)]
SshHost = Annotated[str, AfterValidator(ssh_host)]
SshUser = Annotated[str, AfterValidator(ssh_user)]
Jump = Annotated[str, AfterValidator(jump)]
HostKey = Annotated[str, AfterValidator(host_key)]
Port = Annotated[int, Field(ge=1, le=65535)]
SchedulerPort = Annotated[int, Field(ge=1, le=65535), AfterValidator(scheduler_port)]
