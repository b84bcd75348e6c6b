"""Authorization for one registry host: what it asked for, and the tokens we were given.

Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from casemate.errors import InvalidArgument, Unauthenticated
from casemate.registry import urls
from casemate.registry.bodies import DataBody
from casemate.registry.connections import Connections
from casemate.registry.credentials import Credentials
from casemate.registry.exchange import Call, exchange
from casemate.registry.failures import TRANSIENT, Refused
from casemate.registry.headers import Challenge, retry_after_s
from casemate.registry.retry import Budget, Transient, persist
from casemate.registry.urls import Origin, Url

#: Resource scopes such as ``repository:library/debian:pull``, sorted.
Scope = tuple[str, ...]

_MAX_ANSWER = 128 << 10
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_CLIENT_ID = "casemate"
# Below one minute no token is worth its request; above an hour nobody needs to believe it.
_MIN_LIFE_S, _MAX_LIFE_S = 60, 3600


class _Token(NamedTuple):
    header: str
    expires: float


class _Answer(msgspec.Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


def repository_scope(path: str, *actions: str) -> Scope:
    """Return the scope for ``actions`` (pull, push) on the repository ``path``."""
    return (f"repository:{path}:{','.join(sorted(actions))}",)


class Authorizer:
    """Answers the challenges of ``origin`` with ``credentials``; shared by threads.

    ``identity_token`` is what the token service gave for later, after a request without scope.
    """

    def __init__(
        self, connections: Connections, origin: Origin, credentials: Credentials | None
    ) -> None:
        self.identity_token = ""
        self._connections = connections
        self._origin = origin
        self._credentials = credentials or Credentials()
        self._lock = threading.Lock()
        self._always = ""
        if self._credentials.registry_token:
            self._always = f"Bearer {_checked(self._credentials.registry_token, origin)}"
        self._tokens: dict[Scope, _Token] = {}

    @property
    def anonymous(self) -> bool:
        """Whether we have no name to give."""
        return not self._credentials

    def header(self, scope: Scope) -> str:
        """Return the Authorization header for ``scope``, empty when none is known (yet)."""
        token = self._tokens.get(scope)
        if token and token.expires > time.monotonic():
            return token.header
        return self._always

    def answer(self, challenges: list[Challenge], scope: Scope, refused: str) -> bool:
        """Prepare another header for ``scope`` after ``refused`` was not enough.

        Returns False when there is nothing better to say. Raises Refused when the token service
        denies us, Transient, or an Error.
        """
        with self._lock:
            # Another thread may have asked while this one waited: one request serves them all.
            known = self.header(scope)
            if known and known != refused:
                return True
            for challenge in challenges:
                if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                    self._tokens[scope] = self._token(challenge.parameters, scope)
                    return True
            offers_basic = any(challenge.scheme == "basic" for challenge in challenges)
            if offers_basic and self._credentials.username and refused != self._basic():
                self._always = self._basic()
                return True
            return False

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _token(self, parameters: dict[str, str], scope: Scope) -> _Token:
        what = f"the token service of {self._origin}"
        realm = urls.parse(parameters["realm"], what)
        self._connections.config.check_step(self._origin, realm.origin, what)
        wanted = merged((*scope, *parameters.get("scope", "").split()))
        call = self._question(realm, parameters.get("service", ""), wanted)
        budget = Budget(self._connections.config.retry, self._connections.stop)
        answer = persist(budget, lambda: self._ask(call, what))
        token = answer.token or answer.access_token
        if not token:
            raise Unauthenticated(f"{what} gave no token")
        if answer.refresh_token and not wanted:
            self.identity_token = answer.refresh_token
        life_s = min(max(answer.expires_in or _MIN_LIFE_S, _MIN_LIFE_S), _MAX_LIFE_S)
        # A tenth earlier, so that no request is under way when it ends.
        expires = time.monotonic() + 0.9 * life_s
        return _Token(f"Bearer {_checked(token, self._origin)}", expires)

    def _question(self, realm: Url, service: str, scope: Scope) -> tuple[Call, str]:
        """Return the request to the token service and its Authorization header."""
        known = self._credentials
        if known.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": known.identity_token,
                "service": service,
                "client_id": _CLIENT_ID,
                "scope": " ".join(scope),
            }
            kind = ("Content-Type", "application/x-www-form-urlencoded")
            return Call("POST", realm, (kind,), DataBody(urlencode(form).encode())), ""
        pairs = [("service", service)] if service else []
        pairs += [("scope", resource) for resource in scope]
        if not known.username:
            return Call("GET", realm.with_query(pairs)), ""
        pairs += [("account", known.username), ("client_id", _CLIENT_ID)]
        if not scope:
            pairs.append(("offline_token", "true"))
        return Call("GET", realm.with_query(pairs)), self._basic()

    def _ask(self, call: tuple[Call, str], what: str) -> _Answer:
        with exchange(self._connections, *call) as reply:
            data = reply.read(_MAX_ANSWER, what)
            if reply.status != 200:
                refused = Refused(self._origin, reply.status, data, anonymous=self.anonymous)
                if reply.status in TRANSIENT:
                    wait_s = retry_after_s(reply.header("Retry-After"))
                    raise Transient(refused.explain("authorize", str(self._origin)), wait_s)
                raise refused
        try:
            return msgspec.json.decode(data, type=_Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            # The answer may hold a token: it is not shown.
            raise Unauthenticated(f"{what} gave no valid answer") from None


def merged(resources: Iterable[str]) -> Scope:
    """Return ``resources`` without repetition, the actions on one resource together."""
    actions: dict[str, set[str]] = {}
    for resource in resources:
        name, _, wanted = resource.rpartition(":")
        actions.setdefault(name, set()).update(wanted.split(","))
    return tuple(sorted(f"{name}:{','.join(sorted(some))}" for name, some in actions.items()))


def _checked(token: str, origin: Origin) -> str:
    if not _TOKEN.fullmatch(token):
        raise InvalidArgument(f"the token for {origin} cannot be put into a header")
    return token
