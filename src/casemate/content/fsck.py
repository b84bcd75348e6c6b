"""Check a content store: every blob against its digest, every file against the layout.

``check`` changes nothing and may run beside writers; ``repair`` takes one finding out of the way.
Nothing is destroyed: damaged and stray files go to ``quarantine/``, where ``collect`` removes them
when they are old. Only what died with its process is deleted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Literal, NamedTuple

from casemate.content.files import holding, naming, open_locked
from casemate.content.layout import ALGORITHMS
from casemate.content.lease import remove_dead
from casemate.content.store import ContentStore, blob_name
from casemate.errors import DataLoss, Error, NotFound
from casemate.oci.digest import Digest

_RESUMABLE = tuple(f"{algorithm}-" for algorithm in ALGORITHMS)

Problem = Literal["damaged", "unreadable", "stray", "dead"]


class Finding(NamedTuple):
    """Something at ``path`` that breaks a rule; ``digest`` when it is a blob."""

    problem: Problem
    path: str
    digest: Digest | None
    detail: str


def check(store: ContentStore) -> Iterator[Finding]:
    """Yield what is wrong in ``store``, blobs last because reading them takes longest."""
    yield from _strays(store.layout.root, _top_names(store))
    yield from _strays(f"{store.layout.root}/blobs", frozenset(ALGORITHMS))
    for directory in (store.layout.leases, store.layout.ingests):
        yield from _dead(directory)
    for algorithm in ALGORITHMS:
        yield from _blobs(store, algorithm)


def repair(store: ContentStore, finding: Finding) -> str:
    """Take ``finding`` out of the way and return in a word what was done."""
    with holding(store.layout.gate, exclusive=True), naming(f"cannot repair {finding.path}"):
        if finding.problem == "dead":
            return "removed" if remove_dead(finding.path) else "in use"
        name = f"{os.path.basename(finding.path)}.{secrets.token_hex(4)}"
        try:
            os.rename(finding.path, f"{store.layout.quarantine}/{name}")
        except FileNotFoundError:
            return "gone"
        return "quarantined"


def _top_names(store: ContentStore) -> frozenset[str]:
    layout = store.layout
    known = (layout.leases, layout.ingests, layout.quarantine, layout.gate)
    return frozenset(("blobs", *map(os.path.basename, known)))


def _strays(directory: str, known: frozenset[str]) -> Iterator[Finding]:
    for entry in _entries(directory):
        if entry.name not in known:
            yield Finding("stray", entry.path, None, "nothing of the store has this name")


def _entries(directory: str) -> list[os.DirEntry[str]]:
    with naming(f"cannot list {directory}"), os.scandir(directory) as found:
        return sorted(found, key=lambda entry: entry.name)


def _dead(directory: str) -> Iterator[Finding]:
    """Find leases and unnamed ingests whose process is gone; a resumable ingest may lie here."""
    for entry in _entries(directory):
        if not entry.is_file(follow_symlinks=False):
            yield Finding("stray", entry.path, None, "only regular files are made here")
        elif not entry.name.startswith(_RESUMABLE) and _is_free(entry.path):
            yield Finding("dead", entry.path, None, "its process is gone")


def _is_free(path: str) -> bool:
    try:
        os.close(open_locked(path, os.O_RDWR, wait=False))
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _blobs(store: ContentStore, algorithm: str) -> Iterator[Finding]:
    for entry in _entries(store.layout.algorithm(algorithm)):
        digest = blob_name(algorithm, entry)
        if digest is None:
            yield Finding("stray", entry.path, None, "a file here is named by its digest")
            continue
        try:
            store.verify(digest)
        except NotFound:
            continue
        except DataLoss as error:
            yield Finding("damaged", entry.path, digest, error.message)
        except Error as error:
            yield Finding("unreadable", entry.path, digest, error.message)
