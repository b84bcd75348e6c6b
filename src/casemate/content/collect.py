"""Mark and sweep: what no record reaches and no living lease protects is removed.

The whole collection holds the gate alone. Leases wait for it, so nothing can become wanted between
the mark and the sweep; a writer needs the gate only to lease, and writes on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from casemate.content.files import holding, naming
from casemate.content.lease import leased, remove_dead
from casemate.content.store import ContentStore
from casemate.errors import NotFound
from casemate.oci.digest import Digest

#: Unfinished and quarantined files are kept this long.
KEEP_S = 7 * 24 * 3600

Roots = Callable[[], Iterable[Digest]]
Edges = Callable[[Digest], Iterable[Digest]]
Sweep = Callable[[frozenset[Digest]], int]


class Collected(NamedTuple):
    """What a collection removed. ``freed_bytes`` counts blobs, unfinished files and sweeps."""

    blobs: tuple[Digest, ...]
    freed_bytes: int


def collect(
    store: ContentStore,
    roots: Roots,
    edges: Edges,
    *,
    sweeps: Sequence[Sweep] = (),
    keep_s: float = KEEP_S,
) -> Collected:
    """Remove every blob that neither ``roots()`` nor a lease reaches through ``edges``.

    ``edges`` answers what a digest refers to, and nothing for a digest it does not know. Each of
    ``sweeps`` is given all that is reachable, removes what else its room keeps by digest, and
    returns the bytes it freed; all under the same lock. Unfinished files that nobody writes go
    after ``keep_s`` seconds.
    """
    with holding(store.layout.gate, exclusive=True):
        # Leases first: one that is released later was recorded before, and is then a root.
        protected = leased(store.layout.leases)
        reachable = mark((*protected, *roots()), edges)
        blobs, freed_bytes = _sweep(store, reachable)
        freed_bytes += sum(sweep(reachable) for sweep in sweeps)
        freed_bytes += _expire(store, time.time() - keep_s)
    return Collected(blobs, freed_bytes)


def clean(store: ContentStore) -> int:
    """Remove what died with its process, leases and blobs without a name, and return how many.

    Blobs that can be continued stay.
    """
    with holding(store.layout.gate, exclusive=True), naming("cannot remove what a crash left"):
        leases = [path for path, _ in _entries(store.layout.leases)]
        ingests = [path for path, _ in _entries(store.layout.ingests)]
        unnamed = [path for path in ingests if os.path.basename(path).startswith("new-")]
        return sum(remove_dead(path) for path in (*leases, *unnamed))


def mark(roots: Iterable[Digest], edges: Edges) -> frozenset[Digest]:
    """Return the digests that can be reached from ``roots``, themselves included."""
    seen = set(roots)
    pending = list(seen)
    while pending:
        for digest in edges(pending.pop()):
            if digest not in seen:
                seen.add(digest)
                pending.append(digest)
    return frozenset(seen)


def _sweep(store: ContentStore, reachable: frozenset[Digest]) -> tuple[tuple[Digest, ...], int]:
    dead = [digest for digest, _ in store.walk() if digest not in reachable]
    freed_bytes = 0
    for digest in dead:
        # Somebody may delete by hand, without the gate.
        with contextlib.suppress(NotFound):
            freed_bytes += store.delete(digest)
    return tuple(dead), freed_bytes


def _expire(store: ContentStore, oldest: float) -> int:
    freed_bytes = 0
    with naming("cannot remove unfinished files"):
        for path, found in _entries(store.layout.ingests):
            if not stat.S_ISREG(found.st_mode):
                continue
            if found.st_mtime < oldest or os.path.basename(path).startswith("new-"):
                freed_bytes += found.st_size if remove_dead(path) else 0
        for path, found in _entries(store.layout.quarantine):
            if found.st_ctime < oldest:
                freed_bytes += _remove(path, found)
    return freed_bytes


def _remove(path: str, found: os.stat_result) -> int:
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(path)
        return 0
    os.unlink(path)
    return found.st_size


def _entries(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        try:
            yield path, os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            continue
