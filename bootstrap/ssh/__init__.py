"""The only package that knows SSH: a Host, which tells its facts, takes a Turn, and dials its own loopback."""

from __future__ import annotations

from bootstrap.ssh.client import Client
from bootstrap.ssh.host import Host, Read
from bootstrap.ssh.login import Login, hops
from bootstrap.ssh.secret import Source

__all__ = ["Client", "Host", "Login", "Read", "Source", "hops"]
