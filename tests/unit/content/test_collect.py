"""Collection: what is reached or leased stays, the rest goes, and nothing races."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from casemate.content.collect import clean, collect, mark
from casemate.content.store import ContentStore
from casemate.errors import FailedPrecondition
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

DIFF_ID = digests.of(b"a layer that lives elsewhere")


def put(store: ContentStore, data: bytes) -> Digest:
    with store.lease() as lease:
        return store.put(lease, data)


def no_edges(_: Digest) -> list[Digest]:
    return []


def test_what_is_reached_stays_and_the_rest_goes(store: ContentStore) -> None:
    manifest, config, layer, other = (put(store, bytes([n])) for n in range(4))
    edges = {manifest: [config, layer]}
    done = collect(store, lambda: [manifest], lambda digest: edges.get(digest, []))
    assert done.blobs == (other,)
    assert done.freed_bytes == 1
    assert {digest for digest, _ in store.walk()} == {manifest, config, layer}


def test_marking_ends_in_circles() -> None:
    a, b = digests.of(b"a"), digests.of(b"b")
    assert mark([a], {a: [b], b: [a]}.__getitem__) == {a, b}


def test_a_lease_protects_what_it_names_and_what_that_refers_to(store: ContentStore) -> None:
    with store.lease() as lease:
        manifest = store.put(lease, b"manifest")
        config = put(store, b"config")
        edges = {manifest: [config]}
        assert collect(store, list, lambda digest: edges.get(digest, [])).blobs == ()
    assert set(collect(store, list, no_edges).blobs) == {manifest, config}


def test_a_lease_may_name_what_is_not_there_yet(store: ContentStore) -> None:
    data = b"later"
    with store.lease() as lease:
        lease.add(digests.of(data))
        other = put(store, data)
        assert collect(store, list, no_edges).blobs == ()
        assert store.has(other)


def test_other_rooms_sweep_under_the_same_lock(store: ContentStore) -> None:
    seen: list[frozenset[Digest]] = []

    def sweep(reachable: frozenset[Digest]) -> int:
        seen.append(reachable)
        return 42

    with store.lease() as lease:
        lease.add(DIFF_ID)
        done = collect(store, list, no_edges, sweeps=[sweep])
    assert seen == [frozenset({DIFF_ID})]
    assert done.freed_bytes == 42


def test_the_lease_of_a_killed_process_protects_nothing(store: ContentStore) -> None:
    script = (
        "import sys, os, signal\n"
        "from casemate.content.store import ContentStore\n"
        "store = ContentStore(sys.argv[1])\n"
        "store.put(store.lease(), b'orphan')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, store.layout.root]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(store.layout.leases)) == 1
    assert collect(store, list, no_edges).blobs == (digests.of(b"orphan"),)
    assert os.listdir(store.layout.leases) == []


def test_a_lease_of_a_living_process_is_seen_by_another(store: ContentStore) -> None:
    script = (
        "import sys\n"
        "from casemate.content.store import ContentStore\n"
        "store = ContentStore(sys.argv[1])\n"
        "lease = store.lease()\n"
        "store.put(lease, b'kept')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "lease.release()\n"
    )
    command = [sys.executable, "-c", script, store.layout.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert collect(store, list, no_edges).blobs == ()
        child.stdin.close()
        assert child.wait(10) == 0
    assert collect(store, list, no_edges).blobs == (digests.of(b"kept"),)


def test_a_half_written_line_of_a_lease_is_passed_over(store: ContentStore) -> None:
    with store.lease() as lease:
        with open(lease.path, "ab") as file:
            file.write(b"sha256:12")
        digest = put(store, b"x")
        kept = store.put(lease, b"kept")
        assert collect(store, list, no_edges).blobs == (digest,)
        assert store.has(kept)


def test_a_released_lease_takes_nothing_more(store: ContentStore) -> None:
    lease = store.lease()
    lease.release()
    lease.release()
    with pytest.raises(FailedPrecondition):
        lease.add(DIFF_ID)


def test_leasing_waits_for_a_running_collection(store: ContentStore) -> None:
    digest = put(store, b"wanted again")
    leased = threading.Event()
    threads: list[threading.Thread] = []

    def lease_late() -> None:
        with store.lease() as lease:
            lease.add(digest)
            # Nobody may be told that the blob is there and then lose it.
            assert not store.has(digest)
            leased.set()

    def roots() -> list[Digest]:
        threads.append(threading.Thread(target=lease_late))
        threads[0].start()
        assert not leased.is_set()
        return []

    assert collect(store, roots, no_edges).blobs == (digest,)
    threads[0].join(10)
    assert leased.is_set()


def test_a_running_ingest_is_not_collected(store: ContentStore) -> None:
    data = b"slow blob"
    with store.lease() as lease, store.ingest(lease, digests.of(data), len(data)) as writer:
        writer.write(data)
        os.utime(store.layout.partial(digests.of(data)), (0, 0))
        collect(store, list, no_edges, keep_s=0)
        writer.commit()
        collect(store, list, no_edges)
        assert store.has(digests.of(data))


def test_unfinished_files_go_when_they_are_old(store: ContentStore) -> None:
    with store.lease() as lease:
        for number in range(2):
            digest = digests.of(bytes([number]))
            with store.ingest(lease, digest, 1000) as writer:
                writer.write(bytes(100))
            if number == 0:
                os.utime(store.layout.partial(digest), (0, 0))
    assert collect(store, list, no_edges).freed_bytes == 100
    assert len(os.listdir(store.layout.ingests)) == 1
    assert collect(store, list, no_edges, keep_s=-1).freed_bytes == 100


def test_an_unnamed_ingest_goes_with_its_process(store: ContentStore) -> None:
    script = (
        "import sys, os, signal\n"
        "from casemate.content.store import ContentStore\n"
        "store = ContentStore(sys.argv[1])\n"
        "store.ingest_unnamed(store.lease()).write(bytes(77))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, store.layout.root], check=False)
    with store.lease() as lease, store.ingest_unnamed(lease) as alive:
        alive.write(b"alive")
        assert collect(store, list, no_edges).freed_bytes == 77
        alive.commit()


def test_collections_and_a_writer_together_lose_nothing(store: ContentStore) -> None:
    recorded: set[Digest] = set()
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            collect(store, lambda: list(recorded), no_edges)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(50):
            with store.lease() as lease:
                # The same few documents again and again, so that many are found to be there.
                digest = store.put(lease, b"document %d" % (number % 3))
                assert store.read(digest, 100)
                recorded.add(digest)
            assert store.read(digest, 100)
            recorded.discard(digest)
    finally:
        stop.set()
        sweeper.join(10)


def test_what_died_with_its_process_is_cleaned_and_nothing_else(store: ContentStore) -> None:
    script = (
        "import os, sys; from casemate.content.store import ContentStore;"
        f" store = ContentStore({store.layout.root!r}); lease = store.lease();"
        " store.ingest_unnamed(lease).write(b'half');"
        " from casemate.oci import digest; store.ingest(lease, digest.of(b'whole'), 5).write(b'w');"
        " os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(os.listdir(store.layout.leases)) == 1
    with store.lease() as lease:
        kept = store.put(lease, b"kept")
        assert clean(store) == 2
        assert len(os.listdir(store.layout.leases)) == 1
    (unfinished,) = os.listdir(store.layout.ingests)
    assert not unfinished.startswith("new-")  # it can be continued
    assert store.has(kept)
