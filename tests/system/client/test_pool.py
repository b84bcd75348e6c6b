"""Pools of warm sandboxes."""

from __future__ import annotations

import threading

import pytest

import casemate
from casemate import Engine, Pool
from casemate.errors import FailedPrecondition, InvalidArgument, NotFound
from support.engine import eventually

pytestmark = pytest.mark.root

IN_MEMORY = {"/in": "mode=1777", "/out": "mode=1777"}


def test_a_sandbox_takes_files_and_gives_files(api: Engine) -> None:
    script = "tr a-z A-Z < /in/x > /out/x; mkdir /out/d; echo deep > /out/d/y; id -u; exit 3"
    with Pool("busybox", 1, engine=api, tmpfs=IN_MEMORY) as pool:
        result = pool.run(["sh", "-c", script], files={"/in/x": b"data"}, collect=["/out", "/none"])
    assert (result.exit_code, result.text) == (3, "0\n")
    assert result.files == {"/out/x": b"DATA", "/out/d/y": b"deep\n"}


def test_each_sandbox_is_used_once(api: Engine) -> None:
    with Pool("busybox", 2, engine=api) as pool:
        for _ in range(6):
            assert pool.run(["sh", "-c", "test ! -e /tmp/x && echo > /tmp/x"]).ok


@pytest.mark.parametrize("isolation", ["sandbox", "container"])
def test_a_sandbox_has_its_walls_and_limits(api: Engine, isolation: str) -> None:
    with Pool("busybox", 1, engine=api, isolation=isolation, memory="32m", network="none") as pool:
        (container,) = api.containers.list()
        host = container.inspect()["HostConfig"]
        assert (host["Isolation"], host["Memory"]) == (isolation, 32 << 20)
        ids = pool.run(["cat", "/proc/self/uid_map"]).text.split()
        assert (ids == ["0", "0", "4294967295"]) == (isolation == "container")
        assert pool.run(["ls", "/sys/class/net"]).text == "lo\n"


def test_many_threads_share_a_pool(api: Engine) -> None:
    found: list[str] = []
    with Pool("busybox", 3, engine=api) as pool:

        def use(number: int) -> None:
            found.extend(pool.run(["cat"], input=b"%d" % number).text for _ in range(3))

        threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == sorted(str(n) for n in range(8) for _ in range(3))


def test_what_takes_too_long_or_says_too_much_is_killed_and_replaced(api: Engine) -> None:
    with Pool("busybox", 1, engine=api) as pool:
        with pytest.raises(casemate.Timeout):
            pool.run(["sleep", "60"], timeout=0.2)
        with pytest.raises(casemate.OutputLimit):
            pool.run(["yes"], output_limit="64k")
        with pytest.raises(casemate.Failed):
            pool.run(["false"], check=True)
        assert pool.run(["echo", "well"]).text == "well\n"


def test_a_sandbox_that_somebody_else_has_ended_is_not_used(api: Engine) -> None:
    with Pool("busybox", 1, engine=api) as pool:
        (container,) = api.containers.list()
        container.kill()
        eventually(lambda: api.containers.list(all=True), lambda found: not found)
        assert pool.run(["echo", "well"]).text == "well\n"


def test_a_pool_that_cannot_be_made_says_why(api: Engine) -> None:
    with pytest.raises(InvalidArgument, match="no-such-program"):
        Pool("busybox", 2, engine=api, idle=["no-such-program"]).__enter__()
    with pytest.raises(InvalidArgument, match="size=0"):
        Pool("busybox", 0, engine=api)
    with pytest.raises(InvalidArgument, match="name='x'"):
        Pool("busybox", 1, engine=api, name="x")


def test_a_pool_that_can_go_on_no_more_says_why(api: Engine) -> None:
    api.images.tag("busybox", "127.0.0.1:1/gone:1")
    with Pool("127.0.0.1:1/gone:1", 1, engine=api) as pool:
        api.images.remove("127.0.0.1:1/gone:1")
        assert pool.run(["true"]).ok
        with pytest.raises(casemate.Error, match=r"127\.0\.0\.1:1"):
            pool.run(["true"])
        api.images.tag("busybox", "127.0.0.1:1/gone:1")
        with pytest.raises(casemate.Error):  # what is tried again may still be known to have failed
            while True:
                assert pool.run(["true"]).ok
                raise FailedPrecondition("it goes on")
    api.images.remove("127.0.0.1:1/gone:1")
    with pytest.raises(FailedPrecondition, match="the pool is not open"):
        pool.run(["true"])
    with pytest.raises(NotFound):
        api.images.get("127.0.0.1:1/gone:1")
