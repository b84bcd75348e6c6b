"""The log: what is written can be read back, byte for byte, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.engine.logfile import LogReader
from casemate.linux import mount
from casemate.runtime.plan import Stdio
from support.shims import Lab, Task, asynchronous, within

pytestmark = pytest.mark.root

HOSTILE = (
    bytes(range(256)) * 3,
    b'"}\n{"log":"forged\\n","stream":"stderr","time":"2020-01-01T00:00:00.000000000Z"}\n',
    b'\\u0000 \\n \\\\ \\" \x7f \x1b[2J\n',
    "ä € 😀 \u2028 \u2029 \ufeff \uffff\n".encode(),
    b"\xc0\x80 \xc1\xbf \xe0\x80\x80 \xf0\x80\x80\x80 \xf4\x90\x80\x80 \xf8 \xff\n",  # no UTF-8
    b"\xed\xa0\x80 \xed\xb2\x80 \xed\xa0\x80\xed\xb2\x80\n",  # encoded surrogates
    b"\xe2\x82 \xf0\x9f\x98 \x80\xbf\n",  # cut off
    b"\n\n\r\n\r\n",
    b"no newline at the end \xf0\x9f",
)


async def logged(lab: Lab, data: bytes, stdio: Stdio | None = None) -> Task:
    """Return a task that has written ``data`` and ended."""
    (lab.root / "tmp" / "data").write_bytes(data)
    task = await lab.run("cat", "/tmp/data", stdio=stdio or Stdio())
    assert (await within(task.exit())).code == 0
    return task


def raw(task: Task) -> list[bytes]:
    """Return the lines of the log, the oldest first."""
    files = sorted(task.state.glob("log.json.*"), key=lambda f: -int(f.suffix[1:]))
    return b"".join(f.read_bytes() for f in [*files, task.state / "log.json"]).splitlines()


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
@asynchronous
async def test_any_bytes_come_back_and_every_line_is_strict_json(lab: Lab, data: bytes) -> None:
    task = await logged(lab, data)
    assert b"".join(entry.data for entry in task.log()) == data
    for line in raw(task):
        assert set(json.loads(line)) == {"log", "stream", "time"}
        line.decode("utf-8")


@asynchronous
async def test_random_bytes_of_any_length_come_back(lab: Lab) -> None:
    dice = random.Random(7)
    data = b"".join(
        dice.choice([dice.randbytes(dice.randrange(60000)), b"a" * dice.randrange(40000), b"\n"])
        for _ in range(60)
    )
    task = await logged(lab, data)
    assert b"".join(entry.data for entry in task.log()) == data


@asynchronous
async def test_a_long_line_is_written_in_parts(lab: Lab) -> None:
    task = await logged(lab, b"x" * 40000 + b"\nshort\n" + b"y" * 16384 + b"\n")
    assert [len(entry.data) for entry in task.log()] == [16384, 16384, 7233, 6, 16384, 1]


@asynchronous
async def test_a_last_line_without_its_newline_is_written_at_the_end(lab: Lab) -> None:
    task = await logged(lab, b"first\nlast")
    assert [entry.data for entry in task.log()] == [b"first\n", b"last"]


@asynchronous
async def test_both_streams_keep_their_lines_apart(lab: Lab) -> None:
    script = "printf one; printf two >&2; printf ' 1\n'; printf ' 2\n' >&2"
    task = await lab.run("sh", "-c", script)
    await task.exit()
    assert {(e.stream, e.data) for e in task.log()} == {(1, b"one 1\n"), (2, b"two 2\n")}


@asynchronous
async def test_rotation_keeps_whole_lines_in_a_bounded_number_of_files(lab: Lab) -> None:
    data = "".join(f"line {n}\n" for n in range(20000)).encode()
    task = await logged(lab, data, Stdio(log_bytes=65536, log_files=3))
    names = sorted(f.name for f in task.state.glob("log.json*"))
    assert names == ["log.json", "log.json.1", "log.json.2", "log.json.3"]
    assert all(f.stat().st_size <= 65536 + 200 for f in task.state.glob("log.json*"))
    kept = b"".join(entry.data for entry in task.log())
    assert data.endswith(kept) and kept.count(b"\n") > 2000


@asynchronous
async def test_rotation_without_old_files_keeps_the_newest_lines(lab: Lab) -> None:
    data = "".join(f"line {n}\n" for n in range(20000)).encode()
    task = await logged(lab, data, Stdio(log_bytes=65536))
    assert [f.name for f in task.state.glob("log.json*")] == ["log.json"]
    kept = b"".join(entry.data for entry in task.log())
    assert data.endswith(kept) and kept


@asynchronous
async def test_a_reader_follows_across_rotations(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach()
    await task.start("seq", "1", "30000", stdio=Stdio(log_bytes=65536, log_files=50))
    reading = asyncio.create_task(client.rest())
    reader = LogReader(str(task.state))
    seen = b""
    try:
        while not task.shim.first.exited.done():
            seen += b"".join(entry.data for entry in reader.entries())
            await asyncio.sleep(0)
        seen += b"".join(entry.data for entry in reader.entries())
    finally:
        reader.close()
    await reading
    assert seen == "".join(f"{n}\n" for n in range(1, 30001)).encode()


@asynchronous
async def test_an_entry_that_a_crash_cut_off_does_not_swallow_the_next(lab: Lab) -> None:
    for torn in (b'{"log":"half', b'{"log":"x\\n","stream":"stdout","time":"2020', b"\0" * 100):
        (lab.root / "tmp" / "data").write_bytes(b"whole\n")
        task = await lab.room()
        (task.state / "log.json").write_bytes(torn)
        await task.start("cat", "/tmp/data", stdio=Stdio())
        await task.exit()
        assert [entry.data for entry in task.log()] == [b"whole\n"]


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """Mount a small file system at ``place``."""
    mount.mount("tmpfs", str(place), "tmpfs", 0, f"size={size}")
    try:
        yield
    finally:
        mount.unmount(str(place), mount.MNT_DETACH)


@asynchronous
async def test_a_full_disk_stops_neither_the_workload_nor_the_exit_record(lab: Lab) -> None:
    task = await lab.room()
    with small_disk(task.state, "32k"):
        client = await task.attach()
        await task.start("sh", "-c", "seq 1 50000; exit 4", stdio=Stdio())
        out, _ = await within(client.rest())
        assert out.endswith(b"\n50000\n")
        assert (await within(task.exit())).code == 4
        record = task.record()
        assert record and os.waitstatus_to_exitcode(record[0]) == 4
        assert record[3] > 1_000_000
        kept = [int(entry.data) for entry in task.log()]
        assert kept[0] == 1 and kept == sorted(set(kept))
        for line in raw(task):
            json.loads(line)


@asynchronous
async def test_a_disk_that_has_room_again_is_written_to(lab: Lab) -> None:
    task = await lab.room()
    with small_disk(task.state, "32k"):
        ballast = task.state / "ballast"
        client = await task.attach()
        await task.start("cat", stdio=Stdio(stdin=True, stdin_once=True))
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        await client.send(b"lost " * 2000 + b"\n")
        await client.until(b"\n")
        ballast.unlink()
        await client.send(b"kept\n")
        await client.until(b"kept\n")
        client.half_close()
        await task.exit()
        assert task.log()[-1].data == b"kept\n"


@asynchronous
async def test_a_disk_that_is_full_at_the_start_is_the_reason_why_there_is_none(lab: Lab) -> None:
    task = await lab.room()
    with small_disk(task.state, "32k"):
        with contextlib.suppress(OSError), open(task.state / "ballast", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises(Exception, match="state directory: No space left"):
            await task.start("true", stdio=Stdio())
        await within(task.shim.gone)


@asynchronous
async def test_without_a_log_nothing_is_written(lab: Lab) -> None:
    task = await logged(lab, b"secret\n", Stdio(log=False))
    await within(task.shim.gone)
    assert os.listdir(task.state) == ["exit"]
