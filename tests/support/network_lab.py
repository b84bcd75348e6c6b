"""A host of the test's own: network namespaces that stand for it, containers and the outside.

``on_private_host`` runs a test in a child process with a network namespace of its own, so that
the machine's interfaces, rules and settings are never touched; everything is gone when it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import ipaddress
import os
import signal
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import pytest

from casemate.database import Database
from casemate.linux import nftables, rtnetlink
from casemate.linux.netlink import NETLINK_ROUTE, Socket
from casemate.network.bridge import Bridges
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network
from casemate.network.networks import Networks
from casemate.network.store import Store

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
T = TypeVar("T")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


def unshare() -> None:
    """Give this process a new network namespace."""
    if _libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


def on_private_host(test: Callable[P, None]) -> Callable[P, None]:
    """Run ``test`` in a child process that is a host of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            code = 1
            try:
                os.setpgid(0, 0)
                unshare()
                with Socket() as netlink:
                    netlink.execute(rtnetlink.set_up(rtnetlink.LOOPBACK))
                test(*args, **kwargs)
                code = 0
            except BaseException:
                os.write(writer, traceback.format_exc().encode()[-60000:])
            finally:
                os._exit(code)
        os.close(writer)
        try:
            with open(reader, "rb") as file:
                # The children of the test hold the pipe, too: it ends with the child, not them.
                said = _read_until_exit(file.fileno(), pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if said is not None:
            pytest.fail(said, pytrace=False)

    return run


def _read_until_exit(fd: int, pid: int) -> str | None:
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return None
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 65536).decode()
    except BlockingIOError:
        return f"the test's process ended with status {status}"


class Room:
    """A network namespace with a process in it, and a netlink socket opened inside."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                unshare()
                inside = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
                socket.send_fds(theirs, [b"ready"], [inside.fileno()])
                inside.close()
                theirs.close()
                mine.close()
                signal.pause()
            finally:
                os._exit(0)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(mine, 16, 1)
        mine.close()
        self.netlink = Socket(fd=fds[0])

    def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns when a thread inside the namespace does it."""
        return in_network_of(self.pid, work)

    def set(self, key: str, value: str) -> None:
        """Write a setting of /proc/sys inside; dots or slashes divide."""
        path = "/proc/sys/" + key.replace(".", "/")

        def write() -> None:
            with open(path, "w") as file:
                file.write(value)

        self.run(write)

    def kill(self) -> None:
        """End the process, and with it the namespace."""
        self.netlink.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def in_network_of(pid: int, work: Callable[[], T]) -> T:
    """Return what ``work`` returns when a thread in the network namespace of ``pid`` does it."""
    result: list[Any] = []

    def enter() -> None:
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            try:
                if _libc.setns(fd, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            result.extend((work(), None))
        except BaseException as error:
            result.extend((None, error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if result[1] is not None:
        raise result[1]
    found: T = result[0]
    return found


class Engine:
    """What an engine has of networks, with its records in ``directory``."""

    def __init__(self, directory: str, instance: str = "casemate") -> None:
        self.database = Database(f"{directory}/{instance}.db")
        self.store = Store(self.database)
        self.host = Socket()
        self.bridges = Bridges(self.host, instance)
        self.firewall = Firewall(nftables.connect(), instance)
        self.networks = Networks(self.store, self.host, self.bridges, self.firewall)

    def start(self, network: Network, container: str, **asked: Any) -> tuple[Room, Endpoint]:
        """Connect a new room to ``network`` as ``container``."""
        endpoint = self.store.connect(network, container, **asked)
        room = Room()
        for key, value in sysctls(endpoint).items():
            room.set(key, value)
        self.networks.attach([endpoint], room.pid, room.netlink)
        return room, endpoint


def sysctls(*endpoints: Endpoint) -> dict[str, str]:
    """Return the settings for a room with these endpoints."""
    from casemate.network import inside

    return inside.sysctls(ipv6=any(endpoint.ipv6 for endpoint in endpoints))


OUTSIDE4, HOST4 = "192.0.2.2", "192.0.2.1"
OUTSIDE6, HOST6 = "2001:db8::2", "2001:db8::1"


def outside(mtu: int = 1500) -> Room:
    """Return the world beyond the host's ``uplink``, over which its default routes lead."""
    world = Room()
    with Socket() as host:
        host.execute(
            rtnetlink.create_veth(
                "uplink", rtnetlink.Peer("eth0", pid=world.pid), master=0, mtu=mtu
            )
        )
        _give(host, "uplink", f"{HOST4}/24", f"{HOST6}/64")
        _give(world.netlink, "eth0", f"{OUTSIDE4}/24", f"{OUTSIDE6}/64")
        index = rtnetlink.index_of(host, "uplink")
        host.execute(
            rtnetlink.add_route(
                index, ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address(OUTSIDE4)
            ),
            rtnetlink.add_route(
                index, ipaddress.ip_network("::/0"), ipaddress.ip_address(OUTSIDE6)
            ),
        )
    return world


def _give(netlink: Socket, name: str, *addresses: str) -> None:
    index = rtnetlink.index_of(netlink, name)
    netlink.execute(
        rtnetlink.set_up(rtnetlink.LOOPBACK),
        *(rtnetlink.add_address(index, ipaddress.ip_interface(one)) for one in addresses),
        rtnetlink.set_up(index),
    )


def wildcard(port: int = 7) -> socket.socket:
    """Return a listening TCP socket for both IP versions, in the namespace of the caller."""
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)


Client = Callable[[Callable[[], socket.socket]], socket.socket]


def reached_from(client: Client, server: socket.socket, address: str) -> str:
    """Return the peer address that ``server`` sees when ``client`` connects to ``address``."""
    with client(_connecting(server, address, 5)) as connection:
        accepted, peer = server.accept()
        with accepted:
            accepted.sendall(b"hello")
            assert connection.recv(16) == b"hello"
    return str(peer[0]).removeprefix("::ffff:")


def cut_off(client: Client, server: socket.socket, address: str) -> bool:
    """Whether ``client`` cannot connect to ``server`` at ``address``.

    What a firewall drops can only be told by waiting: half a second, all of it in memory.
    """
    try:
        client(_connecting(server, address, 0.5)).close()
    except OSError:
        return True
    return False


def _connecting(
    server: socket.socket, address: str, timeout_s: float
) -> Callable[[], socket.socket]:
    place = (address, server.getsockname()[1])
    return lambda: socket.create_connection(place, timeout=timeout_s)


def here(work: Callable[[], T]) -> T:
    """Do ``work`` on the host itself; the counterpart of ``Room.run``."""
    return work()


def frames(interface: str) -> socket.socket:
    """Return a socket for whole Ethernet frames on ``interface``."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind((interface, 0))
    opened.settimeout(5)
    return opened


def received_until(listener: socket.socket, mark: bytes) -> Iterator[bytes]:
    """Yield the frames that come before the one with ``mark``, which ends it."""
    while True:
        frame = listener.recv(65536)
        if mark in frame:
            return
        yield frame


def raw_mac(text: str) -> bytes:
    """Return the six bytes of a MAC address."""
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """Return the Internet checksum of ``data``. Source: RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def icmpv6(source: str, destination: str, body: bytes) -> bytes:
    """Return an IPv6 packet that carries the ICMPv6 message ``body``, its checksum filled in."""
    start, end = (ipaddress.IPv6Address(one).packed for one in (source, destination))
    pseudo = start + end + struct.pack("!II", len(body), 58)
    filled = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + start + end + filled
