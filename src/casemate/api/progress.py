"""Progress of long work as a stream of JSON lines, as Docker's clients draw it.

Source: Docker Engine API v1.47, CreateImageInfo and PushImageInfo; moby pkg/jsonmessage for words.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from casemate.api.router import Call
from casemate.errors import Error, from_os, shortage
from casemate.image.progress import Report, Tell

#: A layer's count of bytes is told at most this often.
_EVERY_S = 0.1

Work = Callable[[Tell], Awaitable[None]]


class _Lines:
    """Collects reports from any thread and hands them to the event loop as lines."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: list[bytes] = []
        self._ready = asyncio.Event()
        self._told: dict[str, float] = {}

    def tell(self, report: Report) -> None:
        """Take one report; called from any thread."""
        if report.total and report.done < report.total:
            now = time.monotonic()
            if now - self._told.get(report.id, 0) < _EVERY_S:
                return
            self._told[report.id] = now
        self._loop.call_soon_threadsafe(self._add, _line(report))

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._ready.set()

    async def next(self) -> bytes:
        """Return the lines that have come, as soon as there is one."""
        await self._ready.wait()
        return self.rest()

    def rest(self) -> bytes:
        """Return the lines that have come."""
        self._ready.clear()
        lines, self._lines = self._lines, []
        return b"".join(lines)


def _line(report: Report) -> bytes:
    if report.aux is not None:
        return msgspec.json.encode({"progressDetail": {}, "aux": report.aux}) + b"\r\n"
    document: dict[str, Any] = {"stream" if report.stream else "status": report.status}
    if report.id:
        document["id"] = report.id
        document["progressDetail"] = {}
    if report.total:
        document["progressDetail"] = {"current": report.done, "total": report.total}
    return msgspec.json.encode(document) + b"\r\n"


async def report(call: Call, work: Work) -> None:
    """Do ``work`` and stream what it tells; what goes wrong before a word is an error status.

    When the client goes away the work is cancelled.
    """
    lines = _Lines()
    task = asyncio.ensure_future(work(lines.tell))
    first = asyncio.ensure_future(lines.next())
    try:
        await asyncio.wait([task, first], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or first.done() or not task.exception():
            out = await call.request.exchange.begin(200, {"Content-Type": "application/json"})
            while first.done() or not task.done():
                if first.done():
                    await out.write(first.result())
                    first = asyncio.ensure_future(lines.next())
                await asyncio.wait([task, first], return_when=asyncio.FIRST_COMPLETED)
            await out.write(lines.rest() + _failure(task.exception()))
            await out.end()
            return
        await task
    finally:
        first.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


def _failure(error: BaseException | None) -> bytes:
    """Return the line that tells of ``error``; raise what is a defect."""
    if error is None:
        return b""
    if isinstance(error, OSError):
        error = from_os(error, "cannot go on")
    error = shortage(error, "cannot go on") or error
    if not isinstance(error, Error):
        raise error
    detail = {"message": error.message} | ({"hint": error.hint} if error.hint else {})
    return msgspec.json.encode({"errorDetail": detail, "error": error.message}) + b"\r\n"
