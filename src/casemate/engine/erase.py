"""Erase the files of a container: its writable layer, its log and its plan."""

from __future__ import annotations

import contextlib
import logging

from casemate.engine.engine import Engine
from casemate.errors import NotFound

_LOG = logging.getLogger("casemate.erase")


def erase(engine: Engine, id_: str) -> None:
    """Take what there is of the container out of sight, by renames. Raises Error, OSError."""
    with contextlib.suppress(NotFound):
        engine.snapshots.remove(id_, engine.trash)
    with contextlib.suppress(FileNotFoundError):
        engine.trash.take(engine.paths.container(id_))


def empty_trash(engine: Engine) -> None:
    """Remove what was taken out of sight; what cannot be removed now is tried again next time."""
    try:
        engine.trash.empty()
    except OSError as error:
        _LOG.warning("cannot remove all that containers left: %s", error)
