"""The engine's side of a connection to a shim, with a test in the shim's place."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.supervise import protocol
from casemate.supervise.connection import Connection, Descriptors, Gone
from casemate.supervise.protocol import Message, RelayTarget, decode


class Played:
    """A connection, and the end of it that a shim would have."""

    def __init__(self) -> None:
        ours, self.shim = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.shim.setblocking(False)
        self.events: list[tuple[Message, Descriptors]] = []
        self.closed = asyncio.Event()
        self.connection = Connection(ours, lambda m, d: self.events.append((m, d)), self.closed.set)

    async def heard(self) -> tuple[Message, list[int]]:
        """Return the next request, with its descriptors."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self.shim, lambda: ready.done() or ready.set_result(None))
        await asyncio.wait_for(ready, 5)
        loop.remove_reader(self.shim)
        data, descriptors, _, _ = socket.recv_fds(self.shim, 10_000, 300)
        return decode(data), list(descriptors)

    def say(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Say something as the shim."""
        socket.send_fds(self.shim, [message.encode()], descriptors)

    def close(self) -> None:
        """Close both ends."""
        self.shim.close()
        self.connection.close()


def played(test: Callable[[Played], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run ``test`` with a connection of its own."""

    def run() -> None:
        async def whole() -> None:
            play = Played()
            try:
                await asyncio.wait_for(test(play), 20)
            finally:
                play.close()

        asyncio.run(whole())

    return run


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def test_answers_belong_to_requests_in_their_order() -> None:
    @played
    async def run(play: Played) -> None:
        asked = [play.connection.request(Message(protocol.REQ_STATUS, n)) for n in range(3)]
        for number in range(3):
            message, _ = await play.heard()
            assert message == Message(protocol.REQ_STATUS, number)
        play.say(Message(protocol.EV_DONE, 0, 0))
        play.say(Message(protocol.EV_STARTED, 9, 5, 6))
        play.say(Message(protocol.EV_DONE, 1, errno.ESRCH))
        play.say(Message(protocol.EV_DONE, 2, 0), (0,))
        assert await asked[0] == ()
        with pytest.raises(ProcessLookupError):
            await asked[1]
        (descriptor,) = await asked[2]
        os.close(descriptor)
        assert play.events == [(Message(protocol.EV_STARTED, 9, 5, 6), ())]

    run()


def test_descriptors_of_an_answer_that_nobody_wants_are_closed() -> None:
    @played
    async def run(play: Played) -> None:
        before = descriptors()
        given_up = play.connection.request(Message(protocol.REQ_NETLINK))
        failed = play.connection.request(Message(protocol.REQ_NETLINK))
        given_up.cancel()
        play.say(Message(protocol.EV_DONE, 0, 0), (0, 1))
        play.say(Message(protocol.EV_DONE, 0, errno.EIO), (0,))
        with pytest.raises(OSError, match="Input/output"):
            await failed
        assert descriptors() == before

    run()


def test_what_does_not_fit_is_sent_later_with_its_descriptors() -> None:
    @played
    async def run(play: Played) -> None:
        reader, writer = os.pipe()
        for number in range(1000):  # more than the socket takes
            play.connection.send(Message(protocol.REQ_ATTACH, number), [writer])
        os.close(writer)  # the caller may, at once
        for number in range(1000):
            message, passed = await play.heard()
            assert message.id == number and len(passed) == 1
            os.close(passed[0])
        assert os.read(reader, 1) == b""  # nobody holds the other end any more
        os.close(reader)

    run()


def test_what_was_not_sent_is_closed_with_the_connection() -> None:
    @played
    async def run(play: Played) -> None:
        before = descriptors()
        reader, writer = os.pipe()
        for number in range(1000):
            play.connection.send(Message(protocol.REQ_ATTACH, number), [writer])
        os.close(writer)
        play.close()
        assert os.read(reader, 1) == b""
        os.close(reader)
        assert descriptors() == before - 2

    run()


def test_the_end_of_the_shim_ends_every_request() -> None:
    @played
    async def run(play: Played) -> None:
        waiting = play.connection.request(Message(protocol.REQ_STATUS))
        await play.heard()
        play.shim.close()
        with pytest.raises(Gone):
            await waiting
        assert play.closed.is_set() and play.connection.closed
        with pytest.raises(Gone):
            play.connection.send(Message(protocol.REQ_STATUS))

    run()


def test_the_last_words_of_a_shim_are_heard_although_it_left_something_unread() -> None:
    @played
    async def run(play: Played) -> None:
        play.connection.send(Message(protocol.REQ_STATUS))
        play.say(Message(protocol.EV_EXITED, 0, 256, 7))
        play.shim.close()  # with the request unread: the other side is reset
        await asyncio.wait_for(play.closed.wait(), 5)
        assert play.events == [(Message(protocol.EV_EXITED, 0, 256, 7), ())]

    run()


def test_a_busy_shim_leaves_others_their_turn() -> None:
    @played
    async def run(play: Played) -> None:
        turns = []
        for number in range(100):
            play.say(Message(protocol.EV_STARTED, number))
        asyncio.get_running_loop().call_soon(lambda: turns.append(len(play.events)))
        while len(play.events) < 100:
            await asyncio.sleep(0)
            turns.append(len(play.events))
        assert max(b - a for a, b in itertools.pairwise(turns)) <= 16

    run()


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=100),
)
def test_messages_come_back(kind: int, number: int, a: int, b: int, payload: bytes) -> None:
    message = Message(kind, number, a, b, payload)
    assert decode(message.encode()) == message


def test_a_relays_target_is_as_the_shim_reads_it() -> None:
    four = RelayTarget(socket.AF_INET, socket.IPPROTO_TCP, 80, b"\x0a\0\0\x01").encode()
    assert four == b"\x02\0\x06\0\x50\0\0\0" + b"\x0a\0\0\x01" + bytes(12)
    six = RelayTarget(socket.AF_INET6, socket.IPPROTO_UDP, 53, bytes(range(16))).encode()
    assert six == b"\x0a\0\x11\0\x35\0\0\0" + bytes(range(16))
