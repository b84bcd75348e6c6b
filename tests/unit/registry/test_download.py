"""From a registry into the store: verified, continued, never wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casemate.content.store import ContentStore
from casemate.errors import DataLoss, Unavailable
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry.client import Registry
from casemate.registry.download import download
from support.registry import OCI_LAYER, FakeRegistry

Name = Callable[[str], Reference]
DATA = random.Random(3).randbytes(2_000_000)


@pytest.fixture
def blob(fake: FakeRegistry) -> Descriptor:
    return Descriptor(OCI_LAYER, Digest(fake.add_blob("app", DATA)), len(DATA))


def test_a_blob_is_stored_and_not_fetched_again(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    seen: list[tuple[str, int, int]] = []
    with store.lease() as lease:
        for _ in range(2):
            download(client, name("app"), blob, store, lease, lambda *a: seen.append(a))
    assert store.read(blob.digest, len(DATA)) == DATA
    assert len(fake.asked("GET", "/blobs/")) == 1
    assert seen[-1] == (blob.digest, len(DATA), len(DATA))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_what_a_failed_download_has_got_is_not_fetched_again(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    fake.wrong.truncate_at, fake.wrong.truncate_times = 100_000, 3
    with store.lease() as lease:
        with pytest.raises(Unavailable):
            download(client, name("app"), blob, store, lease)
        download(client, name("app"), blob, store, lease)
    assert store.verify(blob.digest) == len(DATA)
    assert [r.range for r in fake.asked("GET", "/blobs/")] == [
        None,
        "bytes=100000-1999999",
        "bytes=200000-1999999",
        "bytes=300000-1999999",
    ]


def test_a_killed_download_is_continued_by_range(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    script = (
        "import os, signal, sys\n"
        "from casemate.content.store import ContentStore\n"
        "from casemate.oci import reference\n"
        "from casemate.oci.descriptor import Descriptor\n"
        "from casemate.registry.client import Registry\n"
        "from casemate.registry.config import RegistryConfig\n"
        "from casemate.registry.download import download\n"
        "def kill(digest, done, total):\n"
        "    if done > 1_000_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = ContentStore(sys.argv[1])\n"
        "blob = Descriptor('x', sys.argv[3], int(sys.argv[4]))\n"
        "name = reference.parse(sys.argv[2])\n"
        "registry = Registry(RegistryConfig(certificates=()))\n"
        "download(registry, name, blob, store, store.lease(), kill)\n"
    )
    arguments = [store.layout.root, str(name("app")), blob.digest, str(len(DATA))]
    child = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert child.returncode == -signal.SIGKILL
    kept = os.stat(store.layout.partial(blob.digest)).st_size
    assert 1_000_000 < kept < len(DATA)
    with store.lease() as lease:
        download(client, name("app"), blob, store, lease)
    assert store.verify(blob.digest) == len(DATA)
    assert fake.asked("GET", "/blobs/")[-1].range == f"bytes={kept}-1999999"


def test_wrong_bytes_are_never_stored(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    fake.wrong.corrupt = True
    with store.lease() as lease, pytest.raises(DataLoss, match="has the digest"):
        download(client, name("app"), blob, store, lease)
    assert not store.has(blob.digest)
    assert os.listdir(store.layout.ingests) == []
    assert len(fake.asked("GET", "/blobs/")) == 1


def test_a_beginning_spoiled_by_a_crash_is_fetched_anew(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    Path(store.layout.partial(blob.digest)).write_bytes(bytes(500_000))
    with store.lease() as lease:
        download(client, name("app"), blob, store, lease)
    assert store.verify(blob.digest) == len(DATA)
    assert [r.range for r in fake.asked("GET", "/blobs/")] == ["bytes=500000-1999999", None]


def test_a_blob_larger_than_the_disk_is_refused_before_a_byte_is_asked_for(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, store: ContentStore
) -> None:
    huge = Descriptor(OCI_LAYER, blob.digest, 1 << 60)
    with store.lease() as lease, pytest.raises(Unavailable, match="no space"):
        download(client, name("app"), huge, store, lease)
    assert fake.requests == []
