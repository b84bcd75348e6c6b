"""``python -m casemate.names``: the name server, with its listening socket at descriptor 3.

It leaves its parent at once, which need not wait for it. What containers ask is hostile, so it is
nobody by then: everything that it needs is open or loaded.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 (loaded late by the standard library: not by nobody)
import logging
import os
import resource
import socket
import sys

from casemate.names.server import Server

_LISTENER = 3
_NOBODY = 65534
_MEMORY_BYTES = 512 << 20


async def _serve() -> None:
    with socket.socket(fileno=_LISTENER) as listener:
        listener.setblocking(False)
        await Server(listener).serve()


def _be_nobody() -> None:
    """Give up root and all capabilities, for good; bound what can be taken of memory."""
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def main() -> int:
    """Serve until nobody needs it."""
    if os.fork():
        return 0
    logging.basicConfig(format="casemate names: %(message)s", stream=sys.stderr)
    _be_nobody()
    asyncio.run(_serve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
