"""Leases: digests that the collector spares until what refers to them is recorded.

A lease is a file of digests, one a line, whose flock its process holds. The lock goes with the
process, so a lease of the dead is known by its free lock and protects nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from casemate.content.files import holding, naming, open_locked
from casemate.errors import FailedPrecondition, InvalidArgument
from casemate.oci import digest as digests
from casemate.oci.digest import Digest


class Lease:
    """Protects digests, of blobs or of anything else that is collected with them.

    Take it first, add a digest before asking whether it is there, release it after the record that
    refers to the digest is committed. Never add or take a lease inside a database transaction: the
    collector reads the database while it keeps leases waiting.
    """

    def __init__(self, directory: str, gate: str) -> None:
        """Take a new lease in ``directory``; ``gate`` is the lock file of the collector."""
        self._gate = gate
        self._known: set[Digest] = set()
        self.path = os.path.join(directory, secrets.token_hex(8))
        with naming("cannot take a lease"), holding(gate, exclusive=False):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor = open_locked(self.path, flags, wait=True)

    def add(self, *wanted: Digest) -> None:
        """Protect ``wanted`` from now on; waits while a collection runs."""
        if self._descriptor < 0:
            raise FailedPrecondition("cannot add to a lease that was released")
        new = [digest for digest in wanted if digest not in self._known]
        if not new:
            return
        # The line break comes first: what an earlier failure left half written stays by itself.
        data = "".join(f"\n{digests.parse(digest)}" for digest in new).encode()
        with naming("cannot write a lease"), holding(self._gate, exclusive=False):
            if os.write(self._descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        self._known.update(new)

    def release(self) -> None:
        """Give the protection up. Idempotent."""
        if self._descriptor >= 0:
            with naming("cannot release a lease"):
                os.unlink(self.path)
                os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def leased(directory: str) -> frozenset[Digest]:
    """Return what the living leases in ``directory`` protect; remove the leases of the dead.

    The caller holds the gate exclusively, so no lease is half made.
    """
    protected: set[Digest] = set()
    with naming("cannot read the leases"):
        for path in list(_paths(directory)):
            if not remove_dead(path):
                protected.update(_read(path))
    return frozenset(protected)


def remove_dead(path: str) -> bool:
    """Remove the lease or ingest ``path`` when no process holds it; return whether it is gone."""
    try:
        descriptor = open_locked(path, os.O_RDWR, wait=False)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    try:
        os.unlink(path)
    finally:
        os.close(descriptor)
    return True


def _paths(directory: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield entry.path


def _read(path: str) -> Iterator[Digest]:
    try:
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield digests.parse(line)
        except InvalidArgument:
            continue
