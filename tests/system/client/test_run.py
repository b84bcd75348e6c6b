"""``run``: results, streams, limits, and that nothing is left."""

from __future__ import annotations

import gc
import threading
import time

import pytest

import casemate
from casemate import Engine
from casemate.errors import Conflict, InvalidArgument, NotFound
from support.engine import RunningEngine, eventually

pytestmark = pytest.mark.root


def test_a_result_has_both_streams_and_the_exit_code(api: Engine) -> None:
    result = api.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"]).wait()
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert not result.ok


def test_a_run_is_its_own_result(api: Engine) -> None:
    run = api.run("busybox", ["echo", "hello"])
    assert (run.text, run.stdout, run.stderr, run.exit_code, run.ok) == (
        *("hello\n", b"hello\n", b""),
        *(0, True),
    )


def test_input_larger_than_any_pipe_comes_back(api: Engine) -> None:
    data = bytes(range(256)) * 8000
    assert api.run("busybox", ["cat"], input=data).stdout == data


def test_what_does_not_read_its_input_ends_all_the_same(api: Engine) -> None:
    assert api.run("busybox", ["true"], input=b"x" * 1_000_000).exit_code == 0


def test_check_raises_what_was_said_last(api: Engine) -> None:
    with pytest.raises(casemate.Failed, match="exit code 4: no such thing") as caught:
        api.run("busybox", ["sh", "-c", "echo no such thing >&2; exit 4"], check=True)
    assert caught.value.result.exit_code == 4


def test_the_time_over_kills_and_tells_what_there_was(api: Engine) -> None:
    before = time.monotonic()
    with pytest.raises(casemate.Timeout, match=r"killed after 0\.3 s") as caught:
        api.run("busybox", ["sh", "-c", "echo begun; sleep 60"], timeout=0.3).wait()
    assert time.monotonic() - before < 10
    assert caught.value.result.stdout == b"begun\n"


def test_the_time_counts_when_nobody_waits(api: Engine, engine: RunningEngine) -> None:
    with api.run("busybox", ["sleep", "60"], timeout="300ms") as c:
        eventually(lambda: engine.client.get("/containers/json?all=1"), lambda found: not found)
        with pytest.raises(casemate.Timeout):
            c.wait()


def test_more_output_than_is_kept_kills(api: Engine) -> None:
    with pytest.raises(casemate.OutputLimit, match="more than 100000 bytes") as caught:
        api.run("busybox", ["yes"], output_limit=100_000).wait()
    assert len(caught.value.result.stdout) == 100_000


def test_streams_can_be_read_while_it_runs(api: Engine) -> None:
    script = "while read line; do echo got $line; echo seen >&2; done; exit 5"
    with api.run("busybox", ["sh", "-c", script], stdin=True) as c:
        c.stdin.write(b"one\n")
        assert c.stdout.readline() == b"got one\n"
        assert c.exit_code is None
        c.stdin.write(b"two\nthree\n")
        c.stdin.close()
        assert list(c.stdout) == [b"got two\n", b"got three\n"]
        assert c.stderr.read() == b"seen\n" * 3
        assert (c.wait(), c.exit_code) == (5, 5)


def test_two_threads_may_read_the_two_streams(api: Engine) -> None:
    script = "for i in $(seq 2000); do echo $i; echo $i >&2; done"
    found: dict[str, bytes] = {}
    with api.run("busybox", ["sh", "-c", script]) as c:
        readers = {"out": c.stdout, "err": c.stderr}
        threads = [
            threading.Thread(target=lambda name=n, r=r: found.update({name: r.read()}))  # type: ignore[misc]
            for n, r in readers.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert found["out"] == found["err"] == b"".join(b"%d\n" % n for n in range(1, 2001))


def test_the_end_of_the_statement_is_the_end_of_the_container(
    api: Engine, engine: RunningEngine
) -> None:
    with pytest.raises(KeyboardInterrupt), api.run("busybox", ["sleep", "60"]) as c:
        assert c.status == "running"
        raise KeyboardInterrupt
    assert not engine.client.get("/containers/json?all=1")
    assert c.exit_code == 137


def test_a_run_that_nobody_waits_for_is_told_and_killed(api: Engine) -> None:
    with pytest.warns(RuntimeWarning, match="neither waited for nor used"):
        api.run("busybox", ["sleep", "60"])
        gc.collect()


def test_what_cannot_start_says_why_and_leaves_nothing(api: Engine) -> None:
    with pytest.raises(InvalidArgument, match="no-such-program"):
        api.run("busybox", ["no-such-program"])
    with pytest.raises(InvalidArgument, match="memory"):
        api.run("busybox", ["true"], memory=1)
    with pytest.raises(NotFound, match="docker/no/such"):
        api.images.get("docker/no/such")


def test_a_name_that_is_taken_stays_with_its_owner(api: Engine) -> None:
    with api.run("busybox", ["sleep", "60"], name="mine") as first:
        with pytest.raises(Conflict, match="mine"):
            api.run("busybox", ["true"], name="mine")
        assert first.status == "running"


def test_limits_and_walls_are_what_was_asked_for(api: Engine) -> None:
    with api.run(
        "busybox",
        ["sleep", "60"],
        memory="64m",
        cpus=0.5,
        pids=20,
        network="none",
        read_only=True,
        env={"A": "b c"},
        user="bob",
        workdir="/tmp",
        labels={"x": "y"},
    ) as c:
        host = c.inspect()["HostConfig"]
        assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 5 * 10**8, 20)
        assert c.exec(["sh", "-c", "echo $A; id -un; pwd; ls /sys/class/net"]).text.split("\n") == [
            *("b c", "bob", "/tmp", "lo", ""),
        ]
        assert [found.id for found in api.containers.list(labels={"x": "y"})] == [c.id]
        assert c.stats()["memory_stats"]["limit"] == 64 << 20


def test_an_engine_that_dies_meanwhile_is_no_loss(own_engine: RunningEngine) -> None:
    with Engine(run=own_engine.run, root=own_engine.root) as api:
        run = api.run("busybox", ["sh", "-c", "read x; echo $x; exit 6"], stdin=True)
        with run as c:
            own_engine.kill()
            c.stdin.write(b"still here\n")
            assert c.stdout.read() == b"still here\n"
            own_engine.start()
            try:
                assert c.wait() == 6
            except casemate.errors.Unavailable as error:
                assert "the engine left before it said so" in error.message
