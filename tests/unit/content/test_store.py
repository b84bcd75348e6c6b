"""Blobs by digest: what is stored is what was promised, and nothing else is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.content.store import ContentStore
from casemate.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

DATA = b"a document"
DIGEST = digests.of(DATA)


def put(store: ContentStore, data: bytes) -> Digest:
    with store.lease() as lease:
        return store.put(lease, data)


def test_the_top_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir(mode=0o755)
    store = ContentStore(str(tmp_path / "content"))
    assert stat.S_IMODE(os.stat(store.layout.root).st_mode) == 0o700


def test_a_relative_root_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ContentStore("content")
    monkeypatch.chdir("/")
    assert put(store, DATA) == DIGEST
    assert (tmp_path / "content/blobs/sha256").is_dir()


def test_a_document_is_found_by_its_digest(store: ContentStore) -> None:
    assert put(store, DATA) == DIGEST
    assert store.has(DIGEST)
    assert store.size(DIGEST) == len(DATA)
    assert store.read(DIGEST, 100) == DATA
    assert store.verify(DIGEST) == len(DATA)
    with store.open(DIGEST) as file:
        assert file.read() == DATA
    assert list(store.walk()) == [(DIGEST, len(DATA))]


def test_a_stored_blob_is_read_only(store: ContentStore) -> None:
    put(store, DATA)
    assert stat.S_IMODE(os.stat(store.layout.blob(DIGEST)).st_mode) == 0o400


def test_the_same_document_is_written_once(store: ContentStore) -> None:
    put(store, DATA)
    before = os.stat(store.layout.blob(DIGEST)).st_ino
    put(store, DATA)
    assert os.stat(store.layout.blob(DIGEST)).st_ino == before


def test_an_empty_blob_is_a_blob(store: ContentStore) -> None:
    assert store.read(put(store, b""), 0) == b""


def test_a_missing_blob_is_not_found(store: ContentStore) -> None:
    assert not store.has(DIGEST)
    for ask in (store.size, store.open, store.verify, store.delete):
        with pytest.raises(NotFound, match=DIGEST):
            ask(DIGEST)
    with pytest.raises(NotFound):
        store.read(DIGEST, 10)


def test_a_larger_blob_than_the_limit_is_refused_whole(store: ContentStore) -> None:
    put(store, DATA)
    with pytest.raises(InvalidArgument, match="larger than 9 bytes"):
        store.read(DIGEST, len(DATA) - 1)
    assert store.read(DIGEST, len(DATA)) == DATA


def test_damage_is_seen_when_reading(store: ContentStore) -> None:
    put(store, DATA)
    Path(store.layout.blob(DIGEST)).chmod(0o600)
    Path(store.layout.blob(DIGEST)).write_bytes(b"b document")
    with pytest.raises(DataLoss, match="damaged"):
        store.read(DIGEST, 100)
    with pytest.raises(DataLoss, match="damaged"):
        store.verify(DIGEST)


def test_deleting_tells_the_bytes_freed_and_leaves_readers_alone(store: ContentStore) -> None:
    put(store, DATA)
    with store.open(DIGEST) as reader:
        assert store.delete(DIGEST) == len(DATA)
        assert reader.read() == DATA
    assert not store.has(DIGEST)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_only_a_digest_becomes_a_path(text: str) -> None:
    from casemate.content.layout import Layout

    layout = Layout("/root")
    try:
        path = layout.blob(Digest(text))
    except InvalidArgument:
        return
    assert os.path.dirname(os.path.dirname(path)) == "/root/blobs"
    assert os.path.normpath(path) == path


def test_paths_in_digests_are_refused_everywhere(store: ContentStore) -> None:
    evil = Digest("sha256:../../../../etc/passwd")
    for ask in (store.has, store.size, store.open, store.verify, store.delete):
        with pytest.raises(InvalidArgument):
            ask(evil)
    with store.lease() as lease, pytest.raises(InvalidArgument):
        store.ingest(lease, evil, 1)


def test_a_symlink_is_not_a_blob(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    os.symlink(tmp_path / "secret", store.layout.blob(DIGEST))
    assert list(store.walk()) == []
    with pytest.raises(Exception, match="symbolic link"):
        store.read(DIGEST, 100)


def test_sha512_blobs_are_kept_beside_sha256(store: ContentStore) -> None:
    import hashlib

    digest = Digest("sha512:" + hashlib.sha512(DATA).hexdigest())
    with store.lease() as lease, store.ingest(lease, digest, len(DATA)) as writer:
        writer.write(DATA)
        assert writer.commit() == digest
    assert store.read(digest, 100) == DATA


def test_what_is_stored_is_not_ingested_again(store: ContentStore) -> None:
    put(store, DATA)
    with store.lease() as lease, pytest.raises(AlreadyExists):
        store.ingest(lease, DIGEST, len(DATA))
