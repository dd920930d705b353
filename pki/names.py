"""Subject alternative names: plain strings in, addresses and DNS names told apart, each once, in order."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from cryptography import x509

# RFC 1123 §2.1 labels, the first of which may be a wildcard (RFC 9525 §6.3).
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def alternative_names(names: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    """DNS names in lower case, sorted; then addresses, IPv4 first, in numeric order; what is said twice once.

    Two spellings of an address are one ("::1", "0:0::1"). ValueError when a name is neither.
    """
    addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    domains: set[str] = set()
    for name in names:
        match _address(name):
            case None:
                domains.add(_domain(name))
            case address:
                addresses.add(address)
    return (
        *(x509.DNSName(domain) for domain in sorted(domains)),
        *(x509.IPAddress(address) for address in sorted(addresses, key=lambda a: (a.version, int(a)))),
    )


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, when the name is one; with a zone ("fe80::1%eth0") it means nothing to others."""
    if "%" in name:
        return None
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _domain(name: str) -> str:
    lower = name.lower()
    if len(lower) > 253 or not _DNS_NAME.fullmatch(lower):
        raise ValueError(f"neither an IP address nor a DNS name: {name!r}")
    return lower
