"""What a snapshotter deals in, and the contract of its two ways to make a layer a directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from casemate.layer.store import Layer
from casemate.oci.digest import Digest


class Snapshot(NamedTuple):
    """A writable layer, and the layers below it, base first."""

    key: str
    layers: tuple[Digest, ...]


Problem = Literal["damaged", "missing", "orphan"]


class Finding(NamedTuple):
    """Something at ``path`` that breaks a rule.

    ``damaged``: cannot be read; ``missing``: something that a snapshot needs is gone; ``orphan``:
    a mount or directory that belongs to no layer.
    """

    problem: Problem
    path: str
    detail: str


class Lowers(Protocol):
    """Layers as directories. Safe for threads; one process at a time uses a run directory."""

    @property
    def name(self) -> str:
        """``erofs`` or ``directories``, as shown to users."""

    def ensure(self, layer: Layer) -> str:
        """Make ``layer`` a directory unless it is one already, and return its path."""

    def release(self, diff_id: Digest) -> None:
        """Undo ``ensure``; running containers keep what they use. Nothing to do is no error."""

    def check(self, known: frozenset[Digest]) -> Iterator[Finding]:
        """Yield the orphans: what belongs to none of the ``known`` layers."""
