"""Encoding and decoding of netlink, and what a socket believes."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.linux import netlink, rtnetlink

_KINDS = st.integers(1, 0x3FFF)


@given(st.dictionaries(_KINDS, st.binary(max_size=64), max_size=8))
def test_attributes_come_back_as_they_were(wanted: dict[int, bytes]) -> None:
    encoded = b"".join(netlink.attribute(kind, value) for kind, value in wanted.items())
    assert len(encoded) % 4 == 0
    assert netlink.attributes(encoded) == wanted
    inside = netlink.attributes(netlink.nest(7, encoded))
    assert netlink.attributes(inside[7]) == wanted


@given(st.binary(max_size=64))
def test_bytes_that_are_no_attributes_are_an_error_at_most(data: bytes) -> None:
    try:
        netlink.attributes(data)
    except OSError as error:
        assert error.errno == errno.EBADMSG


def test_the_last_of_equal_attributes_counts() -> None:
    encoded = netlink.number(1, 5) + netlink.text(1, "x")
    assert netlink.attributes(encoded) == {1: b"x\0"}


class _Kernel:
    """Plays the kernel's part: answers every request with the next of the datagrams."""

    def __init__(self, *answers: bytes | OSError, sender: int = 0) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []
        self.sender = sender

    def sendto(self, data: bytes, address: Any) -> None:
        self.sent.append(data)

    def recvmsg(self, size: int) -> tuple[bytes, list[Any], int, tuple[int, int]]:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer[:size], [], socket.MSG_TRUNC if len(answer) > size else 0, (self.sender, 0)


def _message(kind: int, sequence: int, body: bytes = b"", flags: int = 0) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + padded


def _error(sequence: int, code: int, said: str = "") -> bytes:
    body = struct.pack("=i", -code) + bytes(16)
    flags = 0x100
    if said:
        body, flags = body + netlink.text(1, said), 0x300
    return _message(2, sequence, body, flags)


def _done(sequence: int, flags: int = 0, code: int = 0) -> bytes:
    return _message(3, sequence, struct.pack("=i", -code), flags)


def _socket(*answers: bytes | OSError, sender: int = 0) -> tuple[netlink.Socket, _Kernel]:
    kernel = _Kernel(*answers, sender=sender)
    made = netlink.Socket.__new__(netlink.Socket)
    made._socket = kernel  # type: ignore[assignment]
    made._lock = threading.Lock()
    made._sequence = 0
    return made, kernel


def _requests(count: int) -> Iterable[netlink.Message]:
    return (netlink.Message(16, 0, b"body", f"step {number}") for number in range(1, count + 1))


def test_a_batch_is_one_datagram_and_only_its_last_message_asks_for_an_answer() -> None:
    made, kernel = _socket(_error(3, 0))
    made.execute(*_requests(3))
    assert len(kernel.sent) == 1
    flags = [struct.unpack_from("=H", kernel.sent[0], 20 * number + 6)[0] for number in range(3)]
    assert flags == [1, 1, 5]


def test_a_batch_reports_its_first_failure_in_the_kernels_words() -> None:
    made, _ = _socket(_error(2, errno.EEXIST, "it is there"), _error(3, errno.ENODEV))
    with pytest.raises(FileExistsError, match="step 2: File exists: it is there"):
        made.execute(*_requests(3))


def test_an_empty_batch_sends_nothing() -> None:
    made, kernel = _socket()
    made.execute()
    assert kernel.sent == []


def test_answers_to_earlier_requests_are_passed_over() -> None:
    made, _ = _socket(_error(1, errno.EPERM) + _error(2, 0))
    made._sequence = 1
    made.execute(*_requests(1))


def test_the_sequence_number_starts_again_before_it_overflows() -> None:
    made, kernel = _socket(_error(2, 0))
    made._sequence = 0xFFFFFFFE
    made.execute(*_requests(2))
    assert struct.unpack_from("=I", kernel.sent[0], 8)[0] == 1


def test_a_dump_that_was_interrupted_is_asked_for_again() -> None:
    torn = _message(16, 1, b"old!", 0x10) + _done(1, 0x10)
    made, kernel = _socket(torn, _done(2, code=errno.EINTR), _message(16, 3, b"good") + _done(3))
    replies = made.dump(netlink.Message(18, 0, b"", "list"))
    assert [reply.body for reply in replies] == [b"good"]
    assert len(kernel.sent) == 3


def test_a_dump_that_never_holds_still_is_an_error() -> None:
    made, _ = _socket(*(_done(sequence, 0x10) for sequence in range(1, 30)))
    with pytest.raises(BlockingIOError, match="changed during every attempt"):
        made.dump(netlink.Message(18, 0, b"", "list"))


def test_a_dump_that_fails_is_an_error() -> None:
    made, _ = _socket(_error(1, errno.EPERM))
    with pytest.raises(PermissionError, match="list: "):
        made.dump(netlink.Message(18, 0, b"", "list"))


def test_an_acknowledgement_is_no_answer_to_a_question() -> None:
    made, _ = _socket(_error(1, 0))
    with pytest.raises(OSError, match="no answer"):
        made.ask(netlink.Message(18, 0, b"", "look"))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (BlockingIOError(errno.EAGAIN, "again"), errno.ETIMEDOUT),
        (OSError(errno.ENOBUFS, "full"), errno.ENOBUFS),
        (bytes(100_000), errno.EMSGSIZE),
        (struct.pack("=IHHII", 400, 2, 0, 1, 0), errno.EBADMSG),
        (struct.pack("=IHHII", 3, 2, 0, 1, 0), errno.EBADMSG),
    ],
)
def test_a_lost_or_broken_answer_is_an_error(answer: bytes | OSError, code: int) -> None:
    made, _ = _socket(answer)
    with pytest.raises(OSError) as caught:
        made.execute(*_requests(1))
    assert caught.value.errno == code


def test_a_descriptor_that_is_no_netlink_socket_is_refused_and_stays_open() -> None:
    with socket.socket() as other:
        with pytest.raises(OSError, match="not a netlink socket"):
            netlink.Socket(fd=other.fileno())
        assert os.fstat(other.fileno())
    reader, writer = os.pipe()
    with pytest.raises(OSError, match=r"not a socket|non-socket"):
        netlink.Socket(fd=reader)
    os.close(reader)
    os.close(writer)


def test_a_socket_that_was_opened_elsewhere_is_taken_over() -> None:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE)
    with netlink.Socket(fd=opened.detach()) as made:
        assert rtnetlink.index_of(made, "lo") == rtnetlink.LOOPBACK
        assert rtnetlink.link(made, "lo").name == "lo"


def test_threads_may_share_a_socket() -> None:
    with netlink.Socket() as made:
        found: list[int] = []

        def ask() -> None:
            for _ in range(50):
                found.append(rtnetlink.link(made, rtnetlink.LOOPBACK).ifindex)
                assert rtnetlink.links(made)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [rtnetlink.LOOPBACK] * 200


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="writing to another netlink port needs root")
def test_only_the_kernel_is_believed() -> None:
    with netlink.Socket() as made:
        port = made._socket.getsockname()[0]
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE) as liar:
            for sequence in range(1, 4):
                liar.sendto(_error(sequence, errno.EPERM, "believe me"), (port, 0))
        assert rtnetlink.link(made, "lo").ifindex == rtnetlink.LOOPBACK
