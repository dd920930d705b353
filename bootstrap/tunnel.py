"""HTTP through a Host: to the API, etcd and probes on a node's own loopback; no port is opened here, no thread runs."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import httpcore2
import httpx2
import paramiko

from bootstrap import trace

T = TypeVar("T")
BROKEN = (  # every way a line can break
    OSError,
    EOFError,
    paramiko.SSHException,
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
)
Dial = Callable[[str, int], paramiko.Channel]  # an address and a port, as the node sees them -> a stream to it


class ChannelStream(httpcore2.NetworkStream):
    """An SSH channel as httpcore wants it; TLS goes through memory, since a channel has no file descriptor."""

    def __init__(self, channel: paramiko.Channel) -> None:
        """The channel is open."""
        self._channel = channel
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most so many bytes; b"" at the end."""
        self._channel.settimeout(timeout)
        tls = self._tls
        if tls is None:
            return self._channel.recv(max_bytes)
        try:
            return self._pump(lambda: tls.read(max_bytes))
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of it."""
        self._channel.settimeout(timeout)
        tls = self._tls
        if tls is None:
            self._channel.sendall(buffer)
            return
        while buffer:
            buffer = buffer[self._pump(partial(tls.write, buffer)) :]

    def close(self) -> None:
        """The channel too."""
        self._channel.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Handshake; the stream is then the encrypted one."""
        self._channel.settimeout(timeout)
        self._tls = ssl_context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        try:
            self._pump(self._tls.do_handshake)
        except BaseException:
            self.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks: the TLS object, and whether a kept connection has gone stale."""
        if info == "ssl_object":
            return self._tls
        if info == "is_readable":
            return self._channel.recv_ready() or self._channel.closed or self._channel.eof_received
        return None

    def _pump(self, call: Callable[[], T]) -> T:
        while True:
            try:
                result, waits = call(), False
            except ssl.SSLWantReadError:
                waits = True
            if out := self._outgoing.read():
                self._channel.sendall(out)
            if not waits:
                return result
            if received := self._channel.recv(32768):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()


class Backend(httpcore2.NetworkBackend):
    """Every connection is a channel: the node itself reaches what the URL names."""

    def __init__(self, dial: Dial) -> None:
        """`dial` opens them."""
        self._dial = dial

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore2.NetworkStream:
        """A stream to that place."""
        try:
            return ChannelStream(self._dial(host.strip("[]"), port))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise httpcore2.ConnectError(str(error)) from error

    def sleep(self, seconds: float) -> None:
        """Between httpcore's own retries, of which we ask none."""
        time.sleep(seconds)


class Body(httpx2.SyncByteStream):
    """A response's body, as it comes."""

    def __init__(self, stream: Any) -> None:
        """httpcore's stream."""
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        """Its pieces; a server that dies in the middle of one is a TransportError too."""
        try:
            yield from self._stream
        except BROKEN as error:
            raise httpx2.TransportError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Gives the connection back."""
        self._stream.close()


class Through(httpx2.BaseTransport):
    """An httpx transport whose connections are channels."""

    def __init__(self, dial: Dial, tls: ssl.SSLContext | None) -> None:
        """`tls` None: plain HTTP only."""
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, network_backend=Backend(dial), keepalive_expiry=30)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request; every way a line can break is a TransportError."""
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = f"{request.method} :{request.url.port}{request.url.path}"  # no query, and nothing of either body
        try:
            with trace.span(asked, kind="http"):
                response = self._pool.handle_request(
                    httpcore2.Request(
                        request.method,
                        url,
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BROKEN as error:
            raise httpx2.TransportError(str(error) or type(error).__name__) from error
        return httpx2.Response(
            response.status, headers=response.headers, stream=Body(response.stream), extensions=response.extensions
        )

    def close(self) -> None:
        """All its connections."""
        self._pool.close()


def served(dial: Dial, address: str, port: int, tls: ssl.SSLContext) -> bytes:
    """The certificate (DER) that is shown there; one of BROKEN when nobody speaks TLS."""
    stream = Backend(dial).connect_tcp(address, port)
    try:
        secure = stream.start_tls(tls, timeout=5)
        shown: bytes = secure.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        stream.close()


def context(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """TLS to one of our own servers, with a client certificate; all PEM. The key touches no disk."""
    tls = ssl.create_default_context(cadata=authority.decode())
    memory = os.memfd_create("identity", os.MFD_CLOEXEC)
    with os.fdopen(memory, "wb") as file:
        file.write(certificate + key)
        file.flush()
        tls.load_cert_chain(f"/proc/self/fd/{memory}")
    return tls


def client(dial: Dial, url: str, tls: ssl.SSLContext | None, timeout: float = 10.0) -> httpx2.Client:
    """A client of what listens there, as the node sees it."""
    return httpx2.Client(transport=Through(dial, tls), base_url=url, timeout=timeout, trust_env=False)
