"""Binding published ports on loopback of whatever machine this is."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from casemate.errors import Conflict, PermissionDenied, Unavailable
from casemate.network import binding, ports


def _nobody(protocol: str, address: str, port: int) -> bool:
    return False


@pytest.fixture
def bound() -> Iterator[list[binding.Published]]:
    """Return a list whose sockets are closed afterwards."""
    made: list[binding.Published] = []
    yield made
    for one in made:
        one.socket.close()


def _bind(*texts: str) -> list[binding.Published]:
    return binding.bind([one for text in texts for one in ports.parse(text)], _nobody)


@pytest.mark.parametrize("protocol", ports.PROTOCOLS)
def test_an_ephemeral_port_is_the_same_for_both_versions(
    protocol: str, bound: list[binding.Published]
) -> None:
    bound += _bind(f"80/{protocol}")
    assert [one.address for one in bound] == ["0.0.0.0", "::"]
    assert len({one.port for one in bound}) == 1
    assert bound[0].port > 0
    for one in bound:
        assert one.socket.getsockname()[1] == one.port
        assert not one.socket.get_inheritable()
    assert bound[1].socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_tcp_port_listens_and_an_udp_port_hears(bound: list[binding.Published]) -> None:
    bound += _bind("127.0.0.1::80", "127.0.0.1::80/udp")
    tcp, udp = bound
    with socket.create_connection(("127.0.0.1", tcp.port), timeout=5):
        tcp.socket.accept()[0].close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", ("127.0.0.1", udp.port))
    assert udp.socket.recv(16) == b"hello"


def test_a_port_of_another_program_is_told_from_one_of_ours(bound: list[binding.Published]) -> None:
    bound += _bind("127.0.0.1::80")
    port = bound[0].port
    asked = ports.parse(f"127.0.0.1:{port}:80")
    with pytest.raises(Conflict, match="address already in use"):
        binding.bind(asked, _nobody)
    with pytest.raises(Conflict) as caught:
        binding.bind(asked, lambda *who: who == ("tcp", "127.0.0.1", port))
    said = f"Bind for 127.0.0.1:{port} failed: port is already allocated"
    assert said in caught.value.message


@pytest.mark.parametrize("protocol", ports.PROTOCOLS)
def test_a_port_is_never_shared(protocol: str, bound: list[binding.Published]) -> None:
    bound += _bind(f"127.0.0.1::80/{protocol}")
    for place in ("", "127.0.0.1:", "0.0.0.0:"):
        with pytest.raises(Conflict):
            _bind(f"{place}{bound[0].port}:80/{protocol}")


def test_a_port_whose_connections_linger_is_bound_again() -> None:
    first = _bind("127.0.0.1::80")[0]
    client = socket.create_connection(("127.0.0.1", first.port), timeout=5)
    accepted = first.socket.accept()[0]
    accepted.close()  # this side now lingers in TIME_WAIT
    assert client.recv(1) == b""
    client.close()
    first.socket.close()
    _bind(f"127.0.0.1:{first.port}:80")[0].socket.close()


def test_a_range_gives_the_first_port_that_is_free(bound: list[binding.Published]) -> None:
    bound += _bind("127.0.0.1::80")
    low = bound[0].port - 1 if bound[0].port > 60000 else bound[0].port
    again = _bind(f"127.0.0.1:{low}-{low + 20}:80")
    bound += again
    assert low <= again[0].port <= low + 20
    assert again[0].port != bound[0].port


def test_nothing_stays_bound_when_one_port_cannot_be(bound: list[binding.Published]) -> None:
    free = _bind("127.0.0.1::80")
    free[0].socket.close()
    bound += _bind("127.0.0.1::81")
    with pytest.raises(Conflict):
        _bind(f"127.0.0.1:{free[0].port}:80", f"127.0.0.1:{bound[0].port}:81")
    bound += _bind(f"127.0.0.1:{free[0].port}:80")


def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(Unavailable, match="the host has no such address"):
        _bind("203.0.113.9:8080:80")


def _refusing(code: int, family: int) -> type[socket.socket]:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:  # type: ignore[override]
            if self.family == family:
                raise OSError(code, "refused")
            super().bind(address)  # type: ignore[arg-type]

    return Refusing


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.EACCES, PermissionDenied, "ip_unprivileged_port_start"),
        (errno.EMFILE, Unavailable, "more sockets than"),
        (errno.ENOMEM, Unavailable, "cannot publish 80/tcp on"),
    ],
)
def test_the_kernels_reason_is_explained(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], said: str
) -> None:
    monkeypatch.setattr(socket, "socket", _refusing(code, socket.AF_INET))
    with pytest.raises(kind, match=said):
        _bind("80")


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_host_without_ipv6_publishes_on_ipv4(
    monkeypatch: pytest.MonkeyPatch, bound: list[binding.Published], code: int
) -> None:
    monkeypatch.setattr(socket, "socket", _refusing(code, socket.AF_INET6))
    bound += _bind("80")
    assert [one.address for one in bound] == ["0.0.0.0"]
