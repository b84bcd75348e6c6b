"""A container's output, as it was and as it goes on."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from casemate.errors import InvalidArgument, NotFound, Unsupported
from casemate.http.client import Client, Reply
from support.engine import PREFIX, RunningEngine, demultiplexed, eventually

pytestmark = pytest.mark.root

WAITS = "while [ ! -e /go ]; do sleep 0.05; done;"


def logs(engine: RunningEngine, id_: str, query: str = "stdout=1&stderr=1") -> bytes:
    with engine.client.request("GET", f"/containers/{id_}/logs?{query}") as reply:
        return demultiplexed(reply.read())[0]


def ended(engine: RunningEngine, script: str, **host: object) -> str:
    id_ = engine.run_container("busybox", "sh", "-c", script, **host)
    engine.wait(id_)
    return id_


@contextlib.contextmanager
def followed(engine: RunningEngine, id_: str, query: str = "") -> Iterator[Reply]:
    other = Client(f"unix://{engine.socket}", PREFIX)
    path = f"/containers/{id_}/logs?stdout=1&stderr=1&follow=1{query}"
    with other.request("GET", path) as reply:
        yield reply
    other.close()


def test_streams_are_chosen(engine: RunningEngine) -> None:
    id_ = ended(engine, "echo out; echo err >&2")
    assert engine.output(id_) == (b"out\n", b"err\n")
    assert logs(engine, id_, "stdout=1") == b"out\n"
    assert logs(engine, id_, "stderr=1") == b""
    with pytest.raises(InvalidArgument, match="choose at least one stream"):
        logs(engine, id_, "")


@pytest.mark.parametrize(("tail", "lines"), [("0", 0), ("1", 1), ("3", 3), ("99", 9), ("all", 9)])
def test_the_last_lines(engine: RunningEngine, tail: str, lines: int) -> None:
    id_ = ended(engine, "seq 1 9")
    expected = "".join(f"{n}\n" for n in range(1, 10)[9 - lines :]).encode()
    assert logs(engine, id_, f"stdout=1&tail={tail}") == expected


def test_bytes_are_those_of_the_program(engine: RunningEngine) -> None:
    data = os.urandom(200_000) + b"\xff\xfe\xed\xa0\x80 without a newline at the end"
    octal = "".join(f"\\{b:03o}" for b in data[:2000])
    id_ = ended(engine, f"printf '{octal}'")
    assert logs(engine, id_) == data[:2000]


def test_a_line_of_a_megabyte_is_one_line(engine: RunningEngine) -> None:
    id_ = ended(engine, "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert logs(engine, id_) == b"x" * 1_000_000 + b"\nlast\n"
    assert logs(engine, id_, "stdout=1&tail=2") == b"x" * 1_000_000 + b"\nlast\n"
    stamped = logs(engine, id_, "stdout=1&timestamps=1")
    assert stamped.count(b"Z x") == 1


def test_times_are_rfc_3339_and_choose(engine: RunningEngine) -> None:
    id_ = ended(engine, "echo 1; sleep 0.02; echo 2; sleep 0.02; echo 3")
    lines = logs(engine, id_, "stdout=1&timestamps=1").decode().splitlines()
    times = [line.split()[0] for line in lines]
    assert [datetime.datetime.fromisoformat(t).tzinfo for t in times] == [datetime.UTC] * 3
    assert times == sorted(times)
    assert logs(engine, id_, f"stdout=1&since={times[1]}") == b"2\n3\n"
    assert logs(engine, id_, f"stdout=1&until={times[1]}") == b"1\n2\n"
    assert logs(engine, id_, f"stdout=1&since={times[1]}&until={times[1]}") == b"2\n"
    whole, _, fraction = times[1].removesuffix("Z").partition(".")
    epoch = int(datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp())
    assert logs(engine, id_, f"stdout=1&since={epoch}.{fraction}") == b"2\n3\n"
    assert logs(engine, id_, "stdout=1&since=1h") == b"1\n2\n3\n"
    with pytest.raises(InvalidArgument, match="invalid time"):
        logs(engine, id_, "stdout=1&since=yesterday")


def test_following_sees_the_past_and_the_future_and_the_end(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", f"echo past; {WAITS} echo future")
    with followed(engine, id_) as reply:
        chunks = reply.chunks()
        assert b"past\n" in next(chunks)
        engine.exec(id_, "touch", "/go")
        assert demultiplexed(b"".join(chunks))[0] == b"future\n"


def test_following_from_the_end_on(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", f"echo past; {WAITS} echo future")
    eventually(lambda: logs(engine, id_), lambda said: said == b"past\n")
    with followed(engine, id_, "&tail=0") as reply:
        engine.exec(id_, "touch", "/go")
        assert demultiplexed(reply.read())[0] == b"future\n"


def test_following_what_has_ended_ends(engine: RunningEngine) -> None:
    id_ = ended(engine, "echo 1")
    assert logs(engine, id_, "stdout=1&follow=1") == b"1\n"
    created = engine.create("busybox", "true")
    assert logs(engine, created, "stdout=1&follow=1") == b""


def test_following_ends_at_its_time_even_in_silence(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo 1; sleep 1000")
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.3)).isoformat()
    query = f"&until={until.replace('+', '%2B')}"
    with followed(engine, id_, query) as reply:
        assert demultiplexed(reply.read())[0] == b"1\n"


def test_a_removed_container_ends_who_follows_it(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo 1; sleep 1000")
    with followed(engine, id_) as reply:
        chunks = reply.chunks()
        assert b"1\n" in next(chunks)
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        assert list(chunks) == []


def test_many_followers_see_every_line(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", f"{WAITS} seq 1 2000")
    said: list[bytes] = []

    def follow() -> None:
        with followed(engine, id_) as reply:
            said.append(demultiplexed(reply.read())[0])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    engine.exec(id_, "touch", "/go")
    for thread in threads:
        thread.join(60)
    expected = "".join(f"{n}\n" for n in range(1, 2001)).encode()
    assert said == [expected] * 8


def test_followers_that_leave_leave_nothing(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo 1; sleep 1000")
    with followed(engine, id_):
        pass  # the queue of changes is opened once
    engine.wait_for_rooms()
    before = engine.descriptors()
    for _ in range(100):
        with followed(engine, id_) as reply:
            next(reply.chunks())
    eventually(engine.descriptors, lambda now: now <= before + 2)


def test_old_lines_go_when_there_are_too_many(engine: RunningEngine) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "10k", "max-file": "3"}}
    id_ = engine.run_container("busybox", "sh", "-c", "seq 1 5000", LogConfig=config)
    engine.wait(id_)
    numbers = [int(line) for line in logs(engine, id_).split()]
    assert numbers == list(range(numbers[0], 5001))
    assert 150 < len(numbers) < 800
    files = os.listdir(f"{engine.root}/containers/{id_}")
    assert sorted(f for f in files if f.startswith("log.json")) == [
        *("log.json", "log.json.1", "log.json.2"),
    ]


def test_a_follower_misses_nothing_over_rotations(engine: RunningEngine) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "100k", "max-file": "50"}}
    script = f"{WAITS} seq 1 20000"
    id_ = engine.run_container("busybox", "sh", "-c", script, LogConfig=config)
    with followed(engine, id_) as reply:
        engine.exec(id_, "touch", "/go")
        said = demultiplexed(reply.read())[0]
    assert said == "".join(f"{n}\n" for n in range(1, 20001)).encode()


def test_the_smallest_files_keep_nobody_waiting(engine: RunningEngine) -> None:
    """A log that is rotated every few lines: readers and followers come to an end, as do others."""
    config = {"Type": "json-file", "Config": {"max-size": "1k", "max-file": "2"}}
    id_ = engine.run_container("busybox", "sh", "-c", "yes", LogConfig=config)
    for query in ("stdout=1", "stdout=1&tail=5", "stdout=1&follow=1&until=0.1"):
        assert set(logs(engine, id_, query).split()) <= {b"y"}
    assert engine.inspect(id_)["State"]["Running"]


def test_details_are_none_and_a_blank(engine: RunningEngine) -> None:
    id_ = ended(engine, "echo 1; echo 2")
    assert logs(engine, id_, "stdout=1&details=1") == b" 1\n 2\n"
    stamped = logs(engine, id_, "stdout=1&details=1&timestamps=1").splitlines()
    assert [text[-4:] for text in stamped] == [b"Z  1", b"Z  2"]


def test_a_slow_follower_holds_up_neither_the_container_nor_others(engine: RunningEngine) -> None:
    """It has read nothing when the container has written more than is kept, and ended."""
    config = {"Type": "json-file", "Config": {"max-size": "100k", "max-file": "3"}}
    id_ = engine.run_container("busybox", "sh", "-c", f"{WAITS} seq 1 100000", LogConfig=config)
    with followed(engine, id_) as slow:
        engine.exec(id_, "touch", "/go")
        assert engine.wait(id_) == 0
        assert logs(engine, id_).endswith(b"100000\n")
        numbers = [int(n) for n in demultiplexed(slow.read())[0].split()]
    # What is gone is gone, but nothing comes twice, in pieces or in another order.
    assert numbers == sorted(set(numbers)) and numbers[-1] == 100_000


def test_a_killed_supervisor_ends_who_follows_with_every_whole_line(engine: RunningEngine) -> None:
    script = "i=0; while :; do i=$((i+1)); echo line $i; done"
    id_ = engine.run_container("busybox", "sh", "-c", script)
    with followed(engine, id_) as reply:
        chunks = reply.chunks()
        said = next(chunks)
        os.kill(engine.supervisor(id_), signal.SIGKILL)
        said += b"".join(chunks)
    lines = demultiplexed(said)[0].split(b"\n")
    assert lines.pop() == b""
    assert lines == [b"line %d" % n for n in range(1, len(lines) + 1)]
    assert logs(engine, id_) == b"".join(line + b"\n" for line in lines)


def test_two_hundred_followers_of_two_hundred_logs(engine: RunningEngine) -> None:
    """Every line once, in bounded memory. A few containers, and many who follow each."""
    containers = [
        engine.run_container("busybox", "sh", "-c", f"{WAITS} seq 1 500", NetworkMode="none")
        for _ in range(10)
    ]
    before = engine.resident_kib()
    said: list[bytes] = []
    with contextlib.ExitStack() as stack:
        replies = [stack.enter_context(followed(engine, c)) for c in containers for _ in range(20)]
        for container in containers:
            engine.exec(container, "touch", "/go")
        said = [demultiplexed(reply.read())[0] for reply in replies]
    assert said == ["".join(f"{n}\n" for n in range(1, 501)).encode()] * 200
    assert engine.resident_kib() - before < 30 << 10


def test_without_a_log_there_is_nothing_to_read(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "echo", "1", LogConfig={"Type": "none"})
    engine.wait(id_)
    with pytest.raises(Unsupported, match="does not support reading"):
        logs(engine, id_)
    assert "log.json" not in os.listdir(f"{engine.root}/containers/{id_}")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"Type": "json-file", "Config": {"tag": "x"}}, "unknown log opt 'tag'"),
        ({"Type": "json-file", "Config": {"max-size": "0"}}, "max-size='0'"),
        ({"Type": "json-file", "Config": {"max-size": "1000"}}, "max-size='1000': less than 1k"),
        ({"Type": "json-file", "Config": {"max-size": "10x"}}, "max-size='10x'"),
        ({"Type": "json-file", "Config": {"max-file": "0"}}, "max-file='0'"),
        ({"Type": "none", "Config": {"max-file": "2"}}, "unknown log opt 'max-file' for none"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    engine: RunningEngine, config: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        engine.create("busybox", "true", LogConfig=config)


def test_a_terminals_log_is_raw(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo 1; echo 2 >&2", Tty=True)
    engine.wait(id_)
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1&stderr=1") as reply:
        assert reply.headers["content-type"] == "application/vnd.docker.raw-stream"
        assert reply.read() == b"1\r\n2\r\n"


def test_what_was_said_without_an_engine_is_there(own_engine: RunningEngine) -> None:
    script = f"echo 1; {WAITS} echo 2; exit 3"
    id_ = own_engine.run_container("busybox", "sh", "-c", script)
    pid = own_engine.inspect(id_)["State"]["Pid"]
    own_engine.kill()
    with open(f"/proc/{pid}/root/go", "w", encoding="ascii"):
        pass
    pidfd = os.pidfd_open(pid)
    own_engine.start()
    assert own_engine.wait(id_) == 3
    assert own_engine.output(id_)[0] == b"1\n2\n"
    os.close(pidfd)


def test_no_such_container(engine: RunningEngine) -> None:
    with pytest.raises(NotFound, match="No such container: nope"):
        logs(engine, "nope")
