"""What a snapshotter deals in, and the contract of its two ways to make a layer a directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from casemate.errors import InvalidArgument
from casemate.layer.store import Layer
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

Problem = Literal["damaged", "missing", "orphan"]


class Finding(NamedTuple):
    """Something at ``path`` that breaks a rule.

    ``damaged``: cannot be read; ``missing``: the layer ``diff_id`` that a snapshot needs is gone;
    ``orphan``: a mount or directory that belongs to no layer, for ``release(diff_id)``.
    """

    problem: Problem
    path: str
    detail: str
    diff_id: Digest | None = None


class Lowers(Protocol):
    """Layers as directories. Safe for threads; one process at a time uses a run directory."""

    @property
    def name(self) -> str:
        """``erofs`` or ``directories``, as shown to users."""

    def ensure(self, layer: Layer) -> str:
        """Make ``layer`` a directory unless it is one already, and return its path."""

    def release(self, diff_id: Digest) -> None:
        """Undo ``ensure``, for a layer that no container uses. Nothing to do is no error."""

    def clean(self) -> int:
        """Remove what a crash left half done, and return how many."""

    def check(self, known: frozenset[Digest]) -> Iterator[Finding]:
        """Yield the orphans: what belongs to none of the ``known`` layers."""


def orphan(top: str, name: str) -> Finding:
    """Return the finding for ``top``/``name``; the name should be the hex digits of a DiffID."""
    algorithm = "sha512" if len(name) == 128 else "sha256"
    try:
        diff_id = digests.parse(f"{algorithm}:{name}")
    except InvalidArgument:
        return Finding("orphan", f"{top}/{name}", "this is not the name of a layer")
    return Finding("orphan", f"{top}/{name}", "no layer has this DiffID", diff_id)
