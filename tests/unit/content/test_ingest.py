"""Writing a blob: proved before it is named, continued after a crash, one writer at a time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.content.store import ContentStore
from casemate.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
)
from casemate.oci import digest as digests

DATA = random.Random(1).randbytes(700_000)
DIGEST = digests.of(DATA)


def test_a_blob_appears_only_when_it_is_committed(store: ContentStore) -> None:
    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        writer.write(DATA)
        assert not store.has(DIGEST)
        assert writer.commit() == DIGEST
    assert store.read(DIGEST, len(DATA)) == DATA
    assert os.listdir(store.layout.ingests) == []


def test_closing_keeps_what_was_written_and_the_next_writer_continues(store: ContentStore) -> None:
    with store.lease() as lease:
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            writer.write(DATA[:300_000])
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            assert writer.offset == writer.resumed == 300_000
            writer.write(memoryview(DATA)[300_000:])
            writer.commit()
    assert store.verify(DIGEST) == len(DATA)


def test_a_killed_writer_leaves_a_beginning_that_is_continued(
    store: ContentStore, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(DATA)
    script = (
        "import sys, os, signal\n"
        "from casemate.content.store import ContentStore\n"
        "store = ContentStore(sys.argv[1])\n"
        "data = open(sys.argv[2], 'rb').read()\n"
        "writer = store.ingest(store.lease(), sys.argv[3], len(data))\n"
        "writer.write(data[:444_444])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, store.layout.root, str(tmp_path / "data"), DIGEST]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        assert writer.offset == 444_444
        writer.write(DATA[444_444:])
        writer.commit()


def test_a_beginning_that_lies_is_found_out_and_removed(store: ContentStore) -> None:
    Path(store.layout.partial(DIGEST)).write_bytes(bytes(1000))
    with store.lease() as lease:
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            writer.write(DATA[1000:])
            with pytest.raises(DataLoss, match="has the digest sha256:"):
                writer.commit()
        assert not store.has(DIGEST)
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            assert writer.offset == 0


def test_a_beginning_longer_than_the_blob_is_forgotten(store: ContentStore) -> None:
    Path(store.layout.partial(DIGEST)).write_bytes(bytes(len(DATA) + 1))
    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        assert writer.offset == 0


def test_what_is_there_can_be_read_by_those_who_need_it_all(store: ContentStore) -> None:
    with store.lease() as lease:
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            assert list(writer.read_partial(1000)) == []
            writer.write(DATA[:2500])
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            pieces = list(writer.read_partial(1000))
            assert [len(piece) for piece in pieces] == [1000, 1000, 500]
            assert b"".join(pieces) == DATA[:2500]
            os.truncate(store.layout.partial(DIGEST), 100)
            with pytest.raises(DataLoss, match="cut off at 100"):
                list(writer.read_partial(1000))


def test_restarting_forgets_what_was_written(store: ContentStore) -> None:
    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        writer.write(bytes(5000))
        writer.restart()
        assert (writer.offset, writer.resumed) == (0, 0)
        writer.write(DATA)
        writer.commit()
    assert store.verify(DIGEST) == len(DATA)


def test_more_bytes_than_promised_are_refused(store: ContentStore) -> None:
    with store.lease() as lease, store.ingest(lease, DIGEST, 10) as writer:
        writer.write(DATA[:10])
        with pytest.raises(DataLoss, match="longer than the 10 bytes"):
            writer.write(b"x")
        assert writer.offset == 10


def test_fewer_bytes_than_promised_are_not_committed(store: ContentStore) -> None:
    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        writer.write(DATA[:10])
        with pytest.raises(DataLoss, match="10 bytes instead of 700000"):
            writer.commit()
    assert not store.has(DIGEST)


def test_a_negative_size_is_refused(store: ContentStore) -> None:
    with store.lease() as lease, pytest.raises(InvalidArgument):
        store.ingest(lease, DIGEST, -1)


def test_aborting_leaves_nothing(store: ContentStore) -> None:
    with store.lease() as lease:
        with store.ingest(lease, DIGEST, len(DATA)) as writer:
            writer.write(b"x")
            writer.abort()
            writer.abort()
        with store.ingest_unnamed(lease) as writer:
            writer.write(b"x")
    assert os.listdir(store.layout.ingests) == []


def test_a_closed_writer_refuses(store: ContentStore) -> None:
    with store.lease() as lease:
        writer = store.ingest(lease, DIGEST, len(DATA))
        writer.close()
        with pytest.raises(FailedPrecondition):
            writer.write(b"x")


def test_the_second_writer_waits_and_then_finds_the_blob(store: ContentStore) -> None:
    outcome: list[BaseException] = []

    def second() -> None:
        try:
            with store.lease() as lease:
                store.ingest(lease, DIGEST, len(DATA)).close()
        except AlreadyExists as error:
            outcome.append(error)

    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        thread = threading.Thread(target=second)
        thread.start()
        writer.write(DATA)
        assert outcome == []
        writer.commit()
    thread.join(10)
    assert len(outcome) == 1


def test_many_writers_of_one_digest_store_it_once_and_whole(store: ContentStore) -> None:
    stored: list[int] = []

    def write() -> None:
        try:
            with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
                for start in range(writer.offset, len(DATA), 50_000):
                    writer.write(DATA[start : start + 50_000])
                writer.commit()
                stored.append(1)
        except AlreadyExists:
            pass

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert stored == [1]
    assert store.verify(DIGEST) == len(DATA)


def test_an_unnamed_blob_gets_its_digest_at_the_end(store: ContentStore) -> None:
    with store.lease() as lease, store.ingest_unnamed(lease) as writer:
        writer.write(DATA[:5])
        writer.write(bytearray(DATA[5:]))
        assert writer.commit() == DIGEST
    assert store.verify(DIGEST) == len(DATA)


def test_a_full_disk_is_unavailable_and_the_write_can_be_repeated(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset >= 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, memoryview(data)[:100], offset)

    with store.lease() as lease, store.ingest(lease, DIGEST, len(DATA)) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(Unavailable, match="no space"):
                writer.write(DATA)
        assert writer.offset == 0
        writer.write(DATA)
        writer.commit()
    assert store.verify(DIGEST) == len(DATA)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(0, 8))
def test_any_split_of_the_bytes_gives_the_same_blob(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], stop: int
) -> None:
    store = ContentStore(str(tmp_path_factory.mktemp("content")))
    data = b"".join(pieces)
    digest = digests.of(data)
    with store.lease() as lease:
        with store.ingest(lease, digest, len(data)) as writer:
            for piece in pieces[:stop]:
                writer.write(piece)
        with store.ingest(lease, digest, len(data)) as writer:
            for piece in pieces[stop:]:
                writer.write(piece)
            writer.commit()
    assert store.read(digest, 1000) == data
