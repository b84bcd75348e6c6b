"""Opening connections: directly or through a proxy, in TLS or, where allowed, without."""

from __future__ import annotations

import socket
import ssl
import threading
import time

from casemate.errors import Unavailable
from casemate.registry import tls
from casemate.registry.config import RegistryConfig
from casemate.registry.failures import translating
from casemate.registry.proxy import Proxy
from casemate.registry.retry import Transient
from casemate.registry.sockets import AnySocket, TimedSocket
from casemate.registry.urls import PORTS, Origin

_MAX_CONNECT_ANSWER = 16 << 10


class Dialer:
    """Opens connections as ``config`` says; shared by threads."""

    def __init__(self, config: RegistryConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def open(self, origin: Origin) -> AnySocket:
        """Connect to ``origin``. Raises Unavailable, or Transient when it may work next time."""
        with translating(origin):
            plain = self._connect(origin)
            try:
                return plain if origin.scheme == "http" else self._secured(plain, origin)
            except BaseException:
                plain.close()
                raise

    def find_scheme(self, host: str, port: int | None) -> Origin:
        """Return the origin of ``host``: TLS, or plain HTTP where that is allowed and spoken.

        A host that must speak TLS is not asked: it is never fallen back for.
        """
        secure = Origin("https", host, port or PORTS["https"])
        if not self._config.may_be_plain(host, port):
            return secure
        plain = Origin("http", host, port or PORTS["http"])
        try:
            with translating(secure):
                connection = self._connect(secure)
        except (Unavailable, Transient):
            # Nobody at 443; with an explicit port the coming request says so better.
            return plain
        try:
            self._secured(connection, secure).close()
        except ssl.SSLCertVerificationError:
            return secure
        except OSError:
            return plain
        finally:
            connection.close()
        return secure

    def _connect(self, origin: Origin) -> TimedSocket:
        """Connect to ``origin`` or its proxy, and through the proxy where TLS is to follow."""
        proxy = self._config.proxies.serving(origin)
        address = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        timeout_s = self._config.timeouts.connect_s
        try:
            made = socket.create_connection(address, timeout_s)
        except TimeoutError as error:
            # Not worth another quarter of a minute.
            raise Unavailable(f"{origin}: no connection in {timeout_s:g} s") from error
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain = TimedSocket(fileno=made.detach())
        plain.settimeout(timeout_s)
        plain.deadline = time.monotonic() + timeout_s
        if proxy and origin.scheme == "https":
            try:
                _tunnel(plain, origin, proxy)
            except BaseException:
                plain.close()
                raise
        return plain

    def _secured(self, plain: TimedSocket, origin: Origin) -> AnySocket:
        secured = self._context(origin).wrap_socket(plain, server_hostname=origin.host)
        if not isinstance(secured, AnySocket):
            raise TypeError("the context makes its own sockets")
        return secured

    def _context(self, origin: Origin) -> ssl.SSLContext:
        directories = self._config.certificates
        special = tls.has_directory(directories, origin.netloc)
        verify = not self._config.may_be_plain(origin.host, origin.port) or (
            not self._config.insecure.contains(origin.host, origin.port)
            and tls.has_roots(directories, origin.netloc)
        )
        # Reading the system's roots takes 40 ms, so ordinary hosts share a context.
        key = (origin.netloc if special else "", verify)
        with self._lock:
            if key not in self._contexts:
                own = directories if special else ()
                self._contexts[key] = tls.context(own, origin.netloc, verify=verify)
            return self._contexts[key]


def _tunnel(plain: TimedSocket, origin: Origin, proxy: Proxy) -> None:
    """Ask ``proxy`` for a way to ``origin`` (RFC 9110 section 9.3.6). Raises OSError."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    place = f"{host}:{origin.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    plain.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = bytearray()
    one = bytearray(1)
    # Byte by byte: what follows the answer belongs to TLS.
    while not answer.endswith(b"\r\n\r\n"):
        if len(answer) > _MAX_CONNECT_ANSWER or not plain.recv_into(one):
            raise OSError(f"the proxy {proxy.host} gave no valid answer")
        answer += one
    status = answer.split(b" ", 2)[1:2]
    if not answer.startswith(b"HTTP/1.") or status != [b"200"]:
        shown = status[0][:3].decode("latin-1") if status else "nothing"
        raise OSError(f"the proxy {proxy.host} refused with {shown}")
