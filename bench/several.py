"""Many requests, some at a time: every worker has a connection of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from casemate.http.client import Client

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")


class Several:
    """``workers`` connections to the engine at ``address``."""

    def __init__(self, address: str, workers: int) -> None:
        self._address = address
        self._own = threading.local()
        self._clients: list[Client] = []
        self._pool = ThreadPoolExecutor(workers, "worker")

    def do(self, work: Callable[[Client, _Job], _Done], jobs: Iterable[_Job]) -> list[_Done]:
        """Do ``work`` for every job and return the results, in order. Raises the first error."""
        return list(self._pool.map(lambda job: work(self._client(), job), jobs))

    def _client(self) -> Client:
        if not hasattr(self._own, "client"):
            self._own.client = Client(self._address)
            self._clients.append(self._own.client)
        found: Client = self._own.client
        return found

    def close(self) -> None:
        """End the workers and their connections."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()


@contextlib.contextmanager
def several(client: Client, workers: int) -> Iterator[Several]:
    """Give ``workers`` more connections to where ``client`` leads, for the block."""
    made = Several(client.address, workers)
    try:
        yield made
    finally:
        made.close()
