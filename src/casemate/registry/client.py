"""The registries, as one operation sees them: its connections, its credentials, its mirrors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from casemate.errors import Aborted, Error, Unavailable
from casemate.registry import urls
from casemate.registry.auth import Authorizer
from casemate.registry.config import ANY, RegistryConfig
from casemate.registry.connections import Connections
from casemate.registry.credentials import ANONYMOUS, Keychain
from casemate.registry.hosts import SERVED_BY
from casemate.registry.session import Session
from casemate.registry.urls import Url

T = TypeVar("T")

#: Told a digest, the bytes that are through and the bytes in all; called once for each piece.
Progress = Callable[[str, int, int], None]


class Registry:
    """What the verbs of this package take first; one for each operation, shared by its threads."""

    def __init__(self, config: RegistryConfig, keychain: Keychain = ANONYMOUS) -> None:
        self.config = config
        self._keychain = keychain
        self._connections = Connections(config, threading.Event())
        self._lock = threading.Lock()
        self._upstreams: dict[str, Session] = {}
        self._mirrors: dict[str, list[Session]] = {}

    def upstream(self, domain: str) -> Session:
        """Return the session with the host that serves the references of ``domain``."""
        with self._lock:
            if domain not in self._upstreams:
                served_by = SERVED_BY.get(domain, domain)
                host, port = urls.split_host(served_by, f"registry {domain}")
                origin = self._connections.dialer.find_scheme(host, port)
                self._upstreams[domain] = self._session(Url(origin, "/"), domain)
            return self._upstreams[domain]

    def sources(self, domain: str) -> Iterator[Session]:
        """Yield the mirrors of ``domain`` that are not known to be down, then the host itself."""
        with self._lock:
            if domain not in self._mirrors:
                mirrors = self.config.mirrors
                bases = mirrors.get(domain.lower(), mirrors.get(ANY, ()))
                self._mirrors[domain] = [
                    self._session(base, base.origin.netloc, namespace=domain) for base in bases
                ]
            found = list(self._mirrors[domain])
        yield from found
        yield self.upstream(domain)

    def first(self, domain: str, action: Callable[[Session], T]) -> T:
        """Return the result of ``action`` with the first source that has one.

        The error is that of the host itself. A mirror that cannot be reached is not asked again.
        """
        for session in self.sources(domain):
            if not session.is_mirror:
                return action(session)
            try:
                return action(session)
            except Aborted:
                raise
            except Error as error:
                self.passed_over(domain, session, error)
        raise Unavailable(f"no source for {domain}")

    def passed_over(self, domain: str, mirror: Session, error: Error) -> None:
        """Note that ``mirror`` failed with ``error``."""
        if isinstance(error, Unavailable):
            with self._lock:
                self._mirrors[domain] = [m for m in self._mirrors[domain] if m is not mirror]

    def _session(self, base: Url, host: str, namespace: str = "") -> Session:
        authorizer = Authorizer(self._connections, base.origin, self._keychain.find(host))
        return Session(self._connections, base, authorizer, namespace)

    def abort(self) -> None:
        """End what is under way in other threads, with Aborted, and refuse what comes later."""
        self._connections.abort()

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
