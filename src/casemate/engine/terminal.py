"""Sizes of terminals, as the API gives them."""

from __future__ import annotations

import errno
from collections.abc import Awaitable

from casemate.errors import Conflict, InvalidArgument
from casemate.supervise.connection import Gone

_MAX = 65535


def check_size(rows: int | None, columns: int | None) -> tuple[int, int]:
    """Return a size in characters that a terminal can have. Raises InvalidArgument."""
    if rows is None or columns is None:
        raise InvalidArgument("the terminal's size needs both h and w")
    for value in (rows, columns):
        if not 0 <= value <= _MAX:
            raise InvalidArgument(f"invalid terminal size {value}: 0 to {_MAX}")
    return rows, columns


async def resized(request: Awaitable[None], name: str) -> None:
    """Wait for a resize and say in words what can be wrong with it. Raises Conflict."""
    try:
        await request
    except Gone as error:
        raise Conflict(f"cannot resize {name}: it has ended") from error
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.ESRCH):
            raise Conflict(f"cannot resize {name}: it has no terminal") from error
        raise
