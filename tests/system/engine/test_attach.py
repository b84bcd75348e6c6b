"""Clients at a container's streams: before its start, while it runs, several, and gone."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest

from casemate.errors import NotFound
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine, demultiplexed, eventually
from support.streams import attach

pytestmark = pytest.mark.root


def other_client(engine: RunningEngine) -> Client:
    return Client(f"unix://{engine.socket}", PREFIX)


def test_attached_before_the_start_nothing_is_missed(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sh", "-c", "echo first; echo bad >&2")
    streams = attach(engine.client, id_)
    engine.start_container(id_)
    assert streams.rest() == (b"first\n", b"bad\n")


@pytest.mark.parametrize("repetition", range(5))
def test_what_was_sent_before_the_start_is_input(engine: RunningEngine, repetition: int) -> None:
    id_ = engine.create("busybox", "cat", OpenStdin=True, StdinOnce=True)
    streams = attach(engine.client, id_)
    streams.end_input(b"early\n")
    engine.start_container(id_)
    assert streams.rest() == (b"early\n", b"")
    assert engine.wait(id_) == 0


def test_much_input_comes_back_byte_for_byte(engine: RunningEngine) -> None:
    data = os.urandom(3 << 20)
    id_ = engine.create("busybox", "md5sum", OpenStdin=True, StdinOnce=True)
    streams = attach(engine.client, id_)
    engine.start_container(id_)
    streams.end_input(data)
    assert streams.rest()[0].split()[0].decode() == hashlib.md5(data).hexdigest()


def test_input_stays_open_for_the_next_client_unless_asked_otherwise(
    engine: RunningEngine,
) -> None:
    id_ = engine.run_container("busybox", "cat", OpenStdin=True)
    first = attach(engine.client, id_)
    first.send(b"one\n")
    first.until(b"one\n")
    first.end_input()
    first.close()
    second = attach(other_client(engine), id_)
    second.send(b"two\n")
    second.until(b"two\n")
    second.close()
    assert engine.inspect(id_)["State"]["Running"]


def test_several_clients_see_the_same(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sh", "-c", "read x; echo got $x", OpenStdin=True)
    streams = [attach(other_client(engine), id_) for _ in range(5)]
    engine.start_container(id_)
    streams[2].send(b"hello\n")
    assert [one.rest()[0] for one in streams] == [b"got hello\n"] * 5


def test_streams_are_chosen(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sh", "-c", "echo out; echo err >&2")
    only = [attach(other_client(engine), id_, **{name: 1}) for name in ("stdout", "stderr")]
    engine.start_container(id_)
    assert [one.rest() for one in only] == [(b"out\n", b""), (b"", b"err\n")]


def test_a_terminal_is_one_raw_stream(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sh", Tty=True, OpenStdin=True)
    streams = attach(engine.client, id_, tty=True)
    engine.start_container(id_)
    engine.client.post(f"/containers/{id_}/resize?h=40&w=111")
    streams.send(b"stty size; echo err >&2; exit 9\n")
    streams.until(b"40 111\r\n")
    streams.until(b"err\r\n")
    streams.rest()
    assert engine.wait(id_) == 9


def test_what_was_said_before_can_be_had_first(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo old; read x; echo new", OpenStdin=True)
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"old\n")
    streams = attach(engine.client, id_, stdin=1, stdout=1, stderr=1, logs=1)
    streams.until(b"old\n")
    streams.send(b"\n")
    assert streams.rest()[0] == b"new\n"


def test_logs_without_a_stream_end_at_once(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo old; sleep 1000")
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"old\n")
    assert attach(engine.client, id_, stdout=1, logs=1, stream=0).rest()[0] == b"old\n"


def test_a_client_that_vanishes_takes_nothing_along(engine: RunningEngine) -> None:
    id_ = engine.run_container(
        "busybox", "sh", "-c", "while read x; do echo got $x; done; echo over", OpenStdin=True
    )
    first, second = (attach(other_client(engine), id_) for _ in range(2))
    first.send(b"1\n")
    first.until(b"got 1\n")
    first.close()
    second.send(b"2\n")
    second.until(b"got 2\n")
    second.close()


def test_vanished_clients_of_a_container_that_never_starts_are_let_go(
    engine: RunningEngine,
) -> None:
    id_ = engine.create("busybox", "true")
    engine.wait_for_rooms()
    engine.client.close()
    before = engine.descriptors()
    for _ in range(50):
        attach(other_client(engine), id_).close()
    assert engine.descriptors() <= before + 3


def test_a_thousand_attachments_leave_no_descriptor(engine: RunningEngine) -> None:
    """Escape table B.5, CVE-2025-64329: counts return to what they were."""
    id_ = engine.run_container("busybox", "sleep", "1000", OpenStdin=True)
    shim = engine.supervisor(id_)
    engine.wait_for_rooms()
    engine.client.close()
    before = engine.descriptors(), len(os.listdir(f"/proc/{shim}/fd"))
    for _ in range(1000):
        attach(other_client(engine), id_).close()
    eventually(
        lambda: (engine.descriptors(), len(os.listdir(f"/proc/{shim}/fd"))),
        lambda now: now[0] <= before[0] + 2 and now[1] <= before[1] + 2,
    )


def test_clients_with_early_input_that_vanish_leave_no_descriptor(engine: RunningEngine) -> None:
    """What they sent is copied by the engine, which must see them go though nothing is said."""
    id_ = engine.run_container("busybox", "sleep", "1000", OpenStdin=True)
    shim = engine.supervisor(id_)
    engine.wait_for_rooms()
    engine.client.close()
    before = engine.descriptors(), len(os.listdir(f"/proc/{shim}/fd"))
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(engine.socket)
            sock.sendall(
                f"POST {PREFIX}/containers/{id_}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n"
                "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly\n".encode()
            )
            assert sock.recv(65536).startswith(b"HTTP/1.1 101 UPGRADED")
    eventually(
        lambda: (engine.descriptors(), len(os.listdir(f"/proc/{shim}/fd"))),
        lambda now: now[0] <= before[0] + 2 and now[1] <= before[1] + 2,
    )


def test_a_client_that_does_not_read_stops_the_output_not_the_engine(
    engine: RunningEngine,
) -> None:
    id_ = engine.create("busybox", "sh", "-c", "yes | head -c 5000000; echo end >&2")
    streams = attach(engine.client, id_)
    engine.start_container(id_)
    assert engine.inspect(id_)["State"]["Running"]
    out, err = streams.rest()
    assert (len(out), err) == (5_000_000, b"end\n")
    assert engine.wait(id_) == 0


def test_a_client_that_never_reads_does_not_keep_the_container_from_ending(
    engine: RunningEngine,
) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo ready; yes")
    streams = attach(engine.client, id_)
    other = other_client(engine)
    other.post(f"/containers/{id_}/kill")
    assert other.post(f"/containers/{id_}/wait")["StatusCode"] == 137
    other.call("DELETE", f"/containers/{id_}")
    other.close()
    streams.close()


def test_the_end_of_the_container_ends_the_stream(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    streams = attach(engine.client, id_)
    engine.client.post(f"/containers/{id_}/kill")
    assert streams.rest() == (b"", b"")


def test_a_container_that_is_not_there_is_told_before_http_is_left(
    engine: RunningEngine,
) -> None:
    with pytest.raises(NotFound):
        attach(engine.client, "nope")


def test_input_behind_the_request_in_the_same_packet_is_input(engine: RunningEngine) -> None:
    """Clients that do not wait for the answer: what they sent must come first."""
    id_ = engine.run_container("busybox", "head", "-n2", OpenStdin=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(engine.socket)
        sock.sendall(
            f"POST {PREFIX}/containers/{id_}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n"
            "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly\n".encode()
        )
        sock.sendall(b"late\n")
        said = b""
        while data := sock.recv(65536):
            said += data
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert demultiplexed(body) == (b"early\nlate\n", b"")


def test_streams_go_on_while_the_engine_is_replaced(own_engine: RunningEngine) -> None:
    id_ = own_engine.run_container("busybox", "cat", OpenStdin=True)
    streams = attach(own_engine.client, id_)
    streams.send(b"1\n")
    streams.until(b"1\n")
    own_engine.kill()
    streams.send(b"2\n")
    streams.until(b"2\n")
    own_engine.start()
    streams.send(b"3\n")
    streams.until(b"3\n")
    late = attach(own_engine.client, id_)
    late.send(b"4\n")
    late.until(b"4\n")
    streams.until(b"4\n")
    late.close()
    streams.close()
