"""The Python API for an event loop: what ``casemate`` has, to be awaited.

One implementation of the protocol serves both faces: what asks the engine something is short and
runs in threads; what may take long, the streams of a process and its end, is waited for by the
event loop at the sockets themselves. May import client, hosting and errors.
"""

from __future__ import annotations

from casemate.aio.container import Container
from casemate.aio.engine import Engine, host, run
from casemate.aio.pool import Pool
from casemate.aio.run import Run, Running
from casemate.client.images import Image
from casemate.client.result import Failed, OutputLimit, Result, Timeout
from casemate.errors import Error

__all__ = [
    "Container",
    "Engine",
    "Error",
    "Failed",
    "Image",
    "OutputLimit",
    "Pool",
    "Result",
    "Run",
    "Running",
    "Timeout",
    "host",
    "run",
]
