"""Checking a store: damage and strays are found, and taken out of the way without loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from casemate.content.collect import collect
from casemate.content.fsck import check, repair
from casemate.content.store import ContentStore
from casemate.oci import digest as digests
from casemate.oci.digest import Digest


def put(store: ContentStore, data: bytes) -> Digest:
    with store.lease() as lease:
        return store.put(lease, data)


def test_a_healthy_store_has_no_findings(store: ContentStore) -> None:
    put(store, b"x")
    with store.lease() as lease, store.ingest(lease, digests.of(b"yy"), 2) as writer:
        writer.write(b"y")
        assert list(check(store)) == []
    assert list(check(store)) == []


def test_a_damaged_blob_is_quarantined_and_can_be_stored_again(store: ContentStore) -> None:
    digest = put(store, b"good")
    path = Path(store.layout.blob(digest))
    path.chmod(0o600)
    path.write_bytes(b"evil")
    (finding,) = check(store)
    assert (finding.problem, finding.digest) == ("damaged", digest)
    assert repair(store, finding) == "quarantined"
    assert repair(store, finding) == "gone"
    assert not store.has(digest)
    assert [p.read_bytes() for p in Path(store.layout.quarantine).iterdir()] == [b"evil"]
    assert put(store, b"good") == digest
    assert list(check(store)) == []


@pytest.mark.parametrize(
    "place",
    ["stray", "blobs/stray", "blobs/sha256/stray", "blobs/sha512/" + "a" * 64, "blobs/md5"],
)
def test_strays_are_found_and_moved(store: ContentStore, place: str) -> None:
    Path(store.layout.root, place).write_bytes(b"?")
    (finding,) = check(store)
    assert finding.problem == "stray"
    assert repair(store, finding) == "quarantined"
    assert list(check(store)) == []


@pytest.mark.parametrize("place", ["leases/x", "ingests/x", "blobs/sha256/" + "a" * 64])
def test_a_directory_where_files_belong_is_a_stray(store: ContentStore, place: str) -> None:
    Path(store.layout.root, place).mkdir()
    (finding,) = check(store)
    assert finding.problem == "stray"
    repair(store, finding)
    assert list(check(store)) == []


def test_leases_and_ingests_of_the_dead_are_found_and_removed(store: ContentStore) -> None:
    script = (
        "import sys, os, signal\n"
        "from casemate.content.store import ContentStore\n"
        "store = ContentStore(sys.argv[1])\n"
        "store.ingest_unnamed(store.lease()).write(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, store.layout.root]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with store.lease():
        findings = list(check(store))
        assert [finding.problem for finding in findings] == ["dead", "dead"]
        assert [repair(store, finding) for finding in findings] == ["removed", "removed"]
        assert len(os.listdir(store.layout.leases)) == 1


def test_old_quarantine_is_emptied_by_a_collection(store: ContentStore) -> None:
    Path(store.layout.quarantine, "x").write_bytes(b"12345")
    Path(store.layout.quarantine, "directory/below").mkdir(parents=True)
    assert collect(store, list, lambda _: []).freed_bytes == 0
    assert collect(store, list, lambda _: [], keep_s=-1).freed_bytes == 5
    assert os.listdir(store.layout.quarantine) == []
