"""casemate: one engine, one image, one command; the wall is a dial, and it is measured.

``import casemate`` is the Python API (docs/python.md). Its names are imported when they are first
used, so that the command, which needs none of them, starts fast.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.client.container import Container
    from casemate.client.engine import Engine, run
    from casemate.client.images import Image
    from casemate.client.pool import Pool
    from casemate.client.result import Failed, OutputLimit, Result, Timeout
    from casemate.client.run import Run
    from casemate.client.running import Running
    from casemate.errors import Error
    from casemate.hosting import host

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

_HOMES = {
    "Container": "client.container",
    "Engine": "client.engine",
    "Error": "errors",
    "Failed": "client.result",
    "Image": "client.images",
    "OutputLimit": "client.result",
    "Pool": "client.pool",
    "Result": "client.result",
    "Run": "client.run",
    "Running": "client.running",
    "Timeout": "client.result",
    "host": "hosting",
    "run": "client.engine",
}


def __getattr__(name: str) -> object:
    """Import what is used for the first time; ``casemate.aio`` and ``casemate.errors`` as well."""
    from importlib import import_module

    if name in ("aio", "errors"):
        return import_module(f"casemate.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'casemate' has no attribute {name!r}")
    found: object = getattr(import_module(f"casemate.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "aio", "errors"})
