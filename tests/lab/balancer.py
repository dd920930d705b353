"""The load balancer before the API servers: haproxy, which passes TCP on and asks each server whether it is ready."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.node import Node

PORT = 6443


def configuration(nodes: Iterable[Node]) -> str:
    """haproxy.cfg with these control-plane nodes behind port 6443."""
    servers = "".join(f"  server {node.name} {node.address}:{PORT} check check-ssl verify none\n" for node in nodes)
    return f"""global
  maxconn 4000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 2s
frontend api
  bind *:{PORT}
  default_backend apiservers
backend apiservers
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""
