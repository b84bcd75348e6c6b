"""Ask the layers below a snapshot whether they have a path, without mounting them together."""

from __future__ import annotations

import contextlib
import os
import stat
from types import TracebackType
from typing import Self

from casemate.layer import overlay
from casemate.linux.inroot import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, open_in, open_root
from casemate.snapshot.mounts import RootMount

_BELOW = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


class Below:
    """What overlayfs would show of the lower directories of ``root``. A context manager."""

    def __init__(self, root: RootMount) -> None:
        self._paths = root.lower
        self._layers: tuple[int, ...] = ()
        self._known: dict[bytes, tuple[int, ...]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for path in self._paths:
                layer = open_root(path)
                opened.callback(os.close, layer)
                self._layers += (layer,)
            self._opened = opened.pop_all()
        self._known[b""] = self._layers
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def has(self, path: bytes) -> bool:
        """Return whether ``path`` (relative, as it is: no link is followed) exists below."""
        for layer in self._holders(path.rpartition(b"/")[0]):
            status = _status(layer, path)
            if status is not None:
                return not overlay.is_whiteout(status)
        return False

    def _holders(self, path: bytes) -> tuple[int, ...]:
        """Return the layers whose directory ``path`` is seen, the topmost first."""
        if path not in self._known:
            self._known[path] = tuple(self._found(path))
        return self._known[path]

    def _found(self, path: bytes) -> list[int]:
        found = []
        for layer in self._holders(path.rpartition(b"/")[0]):
            status = _status(layer, path)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            found.append(layer)
            if _hides(layer, path):
                break
        return found


def _status(layer: int, path: bytes) -> os.stat_result | None:
    try:
        opened = open_in(layer, path, os.O_PATH | os.O_NOFOLLOW, resolve=_BELOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def _hides(layer: int, path: bytes) -> bool:
    opened = open_in(layer, path, os.O_PATH | os.O_DIRECTORY, resolve=_BELOW)
    try:
        return overlay.is_opaque(opened)
    finally:
        os.close(opened)
