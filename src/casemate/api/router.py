"""From method and path to a function. Source: Docker Engine API, section Versioning."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from casemate.engine.engine import Engine
from casemate.errors import InvalidArgument, NotFound, Unsupported
from casemate.http.message import Request, Response

VERSION = (1, 47)
OLDEST = (1, 24)

Action = Callable[["Call"], Awaitable[Response | None]]
_PREFIX = re.compile(r"/v(\d{1,3})\.(\d{1,3})(?=/)")
_PARAMETER = re.compile(r"\{(\w+)\}")


class Call(NamedTuple):
    """A request on its way: the engine it is for, and what its path says."""

    engine: Engine
    request: Request
    values: dict[str, str]
    version: tuple[int, int]


#: Parts of Docker's API that are not here yet.
_LATER = re.compile(
    "/(build|configs|distribution|grpc|images/search|nodes|plugins|secrets|services"
    "|session|swarm|tasks)(/|$)"
)


class Route(NamedTuple):
    """``pattern`` like ``/containers/{id}/json``; ``{name*}`` matches slashes as well."""

    method: str
    pattern: str
    action: Action


class Router:
    """Finds the action of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Action] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Action]] = []
        for route in routes:
            if "{" in route.pattern:
                self._patterns.append((route.method, _compiled(route.pattern), route.action))
            else:
                self._exact[route.method, route.pattern] = route.action

    def find(self, method: str, path: str) -> tuple[Action, dict[str, str]]:
        """Return the action and the values of the path. Raises NotFound, or Unsupported for what is
        Docker's and not ours yet: there "not found" would be taken for an object's.
        """
        action = self._exact.get((method, path))
        if action:
            return action, {}
        for wanted, pattern, action in self._patterns:
            if wanted == method and (match := pattern.fullmatch(path)):
                return action, match.groupdict()
        if _LATER.match(path):
            raise Unsupported(f"{method} {path[:80]} is not supported yet")
        raise NotFound("page not found")


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """Return the API version and the path without it. Raises InvalidArgument."""
    match = _PREFIX.match(path)
    if not match:
        return VERSION, path
    version = (int(match[1]), int(match[2]))
    text = f"{version[0]}.{version[1]}"
    if version > VERSION:
        raise InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is"
            f" {VERSION[0]}.{VERSION[1]}"
        )
    if version < OLDEST:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is"
            f" {OLDEST[0]}.{OLDEST[1]}, please upgrade your client to a newer version"
        )
    return version, path[match.end() :]


def _compiled(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}").replace(r"\*", "*")
    text = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", text)
    return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", text))
