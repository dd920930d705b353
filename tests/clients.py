"""Clients of the API that send all the time, through the balancer: one retries as client-go does, one never."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import yaml

from bootstrap import credentials, tunnel
from bootstrap.state import Store
from tests.cluster import Desk

PATH = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
RETRIES = 10  # client-go's: https://github.com/kubernetes/client-go/blob/v0.37.2/rest/request.go (maxRetries)
BREATH = 0.02  # seconds between two requests: the machine has other work too


@dataclass(slots=True)
class Client:
    """Asks for one object again and again, over one connection as long as that lasts, and counts."""

    url: str
    tls: ssl.SSLContext
    retries: int
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds the slowest answer took
    _connection: http.client.HTTPSConnection | None = None

    def send(self) -> None:
        """One request, repeated where client-go would repeat it."""
        self.sent += 1
        began = time.monotonic()
        for left in reversed(range(self.retries + 1)):
            why, wait = self._ask()
            if not why:
                break
            if not left or wait is None:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {why}")
                break
            time.sleep(wait)
        self.longest = max(self.longest, time.monotonic() - began)

    def _ask(self) -> tuple[str, float | None]:
        """What went wrong ("": nothing), and after how many seconds client-go asks again (None: it does not)."""
        try:
            if self._connection is None:
                place = urlsplit(self.url)
                self._connection = http.client.HTTPSConnection(
                    str(place.hostname), place.port, context=self.tls, timeout=30
                )
            self._connection.request("GET", PATH)
            response = self._connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            self.hang_up()
            return f"{type(error).__name__}", None
        except (OSError, http.client.HTTPException) as error:  # reset, refused, or closed before it answered
            self.hang_up()
            return f"{type(error).__name__}: {error}", 0.05
        if response.getheader("Connection") == "close":
            self.hang_up()
        if response.status == 200:
            json.loads(body)
            return "", None
        again = response.getheader("Retry-After")
        return f"{response.status} {body[-200:].decode(errors='replace')}", float(again) if again else None

    def hang_up(self) -> None:
        """The connection ends."""
        if self._connection:
            self._connection.close()
            self._connection = None


@contextmanager
def clients(cluster: Desk) -> Iterator[tuple[Client, Client]]:
    """Both, sending from now on until the block ends."""
    identity = credentials.api_identity(Store(cluster.state))
    tls = tunnel.context(identity.ca, identity.certificate, identity.key)
    kubeconfig = yaml.safe_load((cluster.state / "admin.conf").read_text())
    url = kubeconfig["clusters"][0]["cluster"]["server"]
    both = Client(url, tls, RETRIES), Client(url, tls, 0)
    stop = threading.Event()

    def send(client: Client) -> None:
        while not stop.wait(BREATH):
            client.send()

    threads = [threading.Thread(target=send, args=(client,)) for client in both]
    for thread in threads:
        thread.start()
    try:
        yield both
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for client in both:
            client.hang_up()
