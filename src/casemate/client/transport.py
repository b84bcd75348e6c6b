"""The blocking HTTP client, at an engine that is started when nobody listens."""

from __future__ import annotations

import errno
import os

from casemate.errors import Unavailable
from casemate.http.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from casemate.client.place import Location

API_VERSION = "1.47"
_NOBODY_LISTENS = (errno.ENOENT, errno.ECONNREFUSED)


class Transport(Client):
    """Requests to the engine at ``location``. Paths begin behind ``prefix``, the API's version."""

    def __init__(self, location: Location, prefix: str | None = None) -> None:
        version = os.environ.get("CASEMATE_API_VERSION", API_VERSION)
        super().__init__(location.address, f"/v{version}" if prefix is None else prefix)
        self._place = location.place

    def _connect(self) -> _socket.socket:
        try:
            return super()._connect()
        except Unavailable as error:
            cause = error.__cause__
            absent = isinstance(cause, OSError) and cause.errno in _NOBODY_LISTENS
            if self._place is None and absent:
                raise Unavailable(error.message, hint="is the engine running?") from cause
            if self._place is None or not absent:
                raise
        from casemate.client.autostart import start_engine

        start_engine(self._place)
        return super()._connect()
