"""``python -m casemate.names``: the name server, with its listening socket at descriptor 3.

It leaves its parent at once, which need not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

from casemate.names.server import Server

_LISTENER = 3


async def _serve() -> None:
    with socket.socket(fileno=_LISTENER) as listener:
        listener.setblocking(False)
        await Server(listener).serve()


def main() -> int:
    """Serve until nobody needs it."""
    if os.fork():
        return 0
    logging.basicConfig(format="casemate names: %(message)s", stream=sys.stderr)
    asyncio.run(_serve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
