"""Requests to one registry host: authorized, redirected, and tried again.

Credentials are for the host itself: a redirect elsewhere goes without, and a host we were sent to
is not answered when it asks for some (CVE-2020-15157).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from casemate.errors import InvalidArgument, Unavailable
from casemate.registry import urls
from casemate.registry.auth import Authorizer, Scope
from casemate.registry.bodies import Body
from casemate.registry.connections import Connections
from casemate.registry.exchange import Call, Reply, exchange
from casemate.registry.failures import MAX_BODY, TRANSIENT, Refused, login_hint, printable
from casemate.registry.headers import challenges, retry_after_s
from casemate.registry.retry import Budget, Transient, persist
from casemate.registry.urls import Origin, Url

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})


class Document(NamedTuple):
    """A reply that was read to its end."""

    status: int
    url: Url
    content_type: str
    digest: str
    length: int | None
    location: str | None
    range: str | None
    links: tuple[str, ...]
    data: bytes


class Session:
    """One registry host as one user. ``namespace`` is set for a mirror of another host."""

    def __init__(
        self, connections: Connections, base: Url, authorizer: Authorizer, namespace: str = ""
    ) -> None:
        self.connections = connections
        self.base = base
        self.authorizer = authorizer
        self._namespace = namespace

    @property
    def is_mirror(self) -> bool:
        """Whether this host stands in for another."""
        return bool(self._namespace)

    def url(self, path: str, query: Iterable[tuple[str, str]] = ()) -> Url:
        """Return the URL of ``path`` below /v2/."""
        prefix = self.base.target.rstrip("/")
        pairs = [*query, *([("ns", self._namespace)] if self._namespace else [])]
        return Url(self.base.origin, f"{prefix}/v2/{path}").with_query(pairs)

    def budget(self) -> Budget:
        """Return the tries for one operation; a mirror gets few, there is another way."""
        policy = self.connections.config.retry
        if self.is_mirror:
            policy = policy._replace(attempts=min(2, policy.attempts))
        return Budget(policy, self.connections.stop)

    def document(self, call: Call, scope: Scope, accept: Iterable[int], limit: int) -> Document:
        """Return the whole reply to ``call``, tried again while that may help.

        Raises Refused when its status is not in ``accept``, InvalidArgument when its body is
        larger than ``limit`` bytes.
        """
        statuses = frozenset(accept)
        return persist(self.budget(), lambda: self.once(call, scope, statuses, limit))

    def once(
        self, call: Call, scope: Scope, accept: Iterable[int], limit: int = MAX_BODY
    ) -> Document:
        """Return the whole reply to ``call`` after one try. Raises Transient besides."""
        with self.attempt(call, scope, frozenset(accept)) as reply:
            return Document(
                reply.status,
                reply.url,
                (reply.header("Content-Type") or "").partition(";")[0].strip(),
                reply.header("Docker-Content-Digest") or "",
                _number(reply.header("Content-Length")),
                reply.header("Location"),
                reply.header("Range"),
                tuple(reply.headers("Link")),
                reply.read(limit, str(call.url)),
            )

    def attempt(self, call: Call, scope: Scope, accept: frozenset[int]) -> Reply:
        """Return the reply to ``call``, to be closed by the caller, after one try.

        Raises Transient, Refused when its status is not in ``accept``, or an Error.
        """
        authorization = self.authorizer.header(scope)
        reply = self._follow(call, authorization)
        try:
            # Once: what fresh credentials do not open, fresher ones will not.
            if reply.status == 401 and self._answer(reply, call.body, scope, authorization):
                _finish(reply)
                reply = self._follow(call, self.authorizer.header(scope))
            if reply.status not in accept:
                raise self._failure(reply)
        except BaseException:
            reply.close()
            raise
        return reply

    def _answer(self, reply: Reply, body: Body | None, scope: Scope, authorization: str) -> bool:
        if reply.url.origin != self.base.origin:
            return False
        if body is not None and not body.repeatable:
            return False
        try:
            asked = challenges(reply.headers("WWW-Authenticate"))
        except InvalidArgument as error:
            raise InvalidArgument(f"{self.base.origin}: {error.message}") from error
        return self.authorizer.answer(asked, scope, authorization)

    def _follow(self, call: Call, authorization: str) -> Reply:
        for _ in range(_MAX_REDIRECTS + 1):
            ours = call.url.origin == self.base.origin
            reply = exchange(self.connections, call, authorization if ours else "")
            target = self._redirect(call, reply)
            if target is None:
                return reply
            _finish(reply)
            call = call._replace(url=target)
        raise InvalidArgument(f"{self.base.origin}: more than {_MAX_REDIRECTS} redirects")

    def _redirect(self, call: Call, reply: Reply) -> Url | None:
        location = reply.header("Location")
        if reply.status not in _REDIRECTS or location is None:
            return None
        if call.method not in ("GET", "HEAD") and reply.status not in _KEEP_METHOD:
            return None
        if call.body is not None and not call.body.repeatable:
            return None
        try:
            what = f"a redirect of {call.url}"
            target = urls.join(call.url, location, what)
            self.connections.config.check_step(call.url.origin, target.origin, what)
        except BaseException:
            reply.close()
            raise
        return target

    def _failure(self, reply: Reply) -> Exception:
        origin: Origin = reply.url.origin
        anonymous = self.authorizer.anonymous
        refused = Refused(origin, reply.status, _error_body(reply), anonymous=anonymous)
        if reply.status in TRANSIENT:
            wait_s = retry_after_s(reply.header("Retry-After"))
            error = Unavailable(f"{origin}: {printable(refused.text)}")
            if reply.status == 429:
                error.hint = login_hint(self.base.origin) if anonymous else None
            return Transient(error, wait_s)
        return refused


def _error_body(reply: Reply) -> bytes:
    try:
        return reply.read(MAX_BODY, "an error")
    except InvalidArgument:
        return b""


def _finish(reply: Reply) -> None:
    """Read what is left and close, so that the connection can be used again."""
    with reply:
        _error_body(reply)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
