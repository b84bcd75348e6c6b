"""/_ping, /version, /info, /events, /system/df, /auth. Source: Docker Engine API v1.47, tag
System.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from casemate.api.answers import body, filters, reply
from casemate.api.documents import diskusage
from casemate.api.documents import system as documents
from casemate.api.router import OLDEST, VERSION, Call, Route
from casemate.engine import labels
from casemate.engine.clock import now_ns
from casemate.engine.events import Event
from casemate.engine.filters import refuse_unknown
from casemate.engine.threads import in_own_thread
from casemate.engine.times import time_of
from casemate.http.message import Response
from casemate.registry.client import Registry
from casemate.registry.credentials import Credentials, FixedKeychain
from casemate.registry.login import login

_HUB = "docker.io"
#: Some are kinds of objects that this engine has none of: no event is about them.
_EVENT_FILTERS = frozenset(
    "config container daemon event image label network node plugin scope secret service type"
    " volume".split()
)


async def _ping(call: Call) -> Response:
    return Response(200, b"OK", "text/plain; charset=utf-8", documents.ping_headers())


async def _version(call: Call) -> Response:
    newest, oldest = (f"{major}.{minor}" for major, minor in (VERSION, OLDEST))
    return reply(documents.version(call.engine, newest, oldest))


async def _info(call: Call) -> Response:
    return reply(documents.info(call.engine))


async def _df(call: Call) -> Response:
    return reply(await diskusage.usage(call.engine))


class _Auth(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    serveraddress: str = ""
    identitytoken: str = ""


async def _auth(call: Call) -> Response:
    asked = await body(call, _Auth)
    domain = _domain(asked.serveraddress)
    credentials = Credentials(asked.username, asked.password, asked.identitytoken)
    keychain = FixedKeychain({domain: credentials})

    def work() -> str:
        with Registry(call.engine.settings.registry, keychain) as registry:
            return login(registry, domain)

    token = await in_own_thread(work)
    return reply({"Status": "Login Succeeded", "IdentityToken": token})


def _domain(address: str) -> str:
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    return _HUB if host in ("", "index.docker.io") else host


async def _events(call: Call) -> None:
    query, wanted = call.request.query, filters(call)
    refuse_unknown(wanted, _EVENT_FILTERS)
    since, until = time_of(query.get("since", "")), time_of(query.get("until", ""))
    listener = call.engine.events.listen()
    # Taken at the same moment: no event is in both, none is in neither.
    before = call.engine.events.since(since) if since else []
    try:
        out = await call.request.exchange.begin(200, {"Content-Type": "application/json"})
        for event in before:
            if _matches(event, wanted) and not (until and event.at_ns > until):
                await out.write(msgspec.json.encode(event.as_json()) + b"\n")
        while True:
            next_event = await _before(listener.next(), until)
            if next_event is None:
                break
            if _matches(next_event, wanted):
                await out.write(msgspec.json.encode(next_event.as_json()) + b"\n")
        await out.end()
    finally:
        call.engine.events.leave(listener)


async def _before(waiting: Any, until_ns: int) -> Event | None:
    """Return the next event, None when ``until_ns`` has passed or events were lost."""
    if not until_ns:
        found: Event | None = await waiting
        return found
    try:
        async with asyncio.timeout(max(0.0, (until_ns - now_ns()) / 1e9)):
            found = await waiting
            return found
    except TimeoutError:
        return None


def _matches(event: Event, wanted: dict[str, list[str]]) -> bool:
    values: dict[str, tuple[str, ...]] = {
        "type": (event.kind,),
        "event": (event.action, event.action.partition(":")[0]),
        event.kind: (event.id, event.id[:12], event.attributes.get("name", "")),
        "image": (event.attributes.get("image", ""), event.id),
        "scope": ("local",),
    }
    if not all(labels.has(event.attributes, text) for text in wanted.get("label", ())):
        return False
    return all(
        not chosen or any(value in values.get(name, ()) for value in chosen)
        for name, chosen in wanted.items()
        if name != "label"
    )


ROUTES = (
    Route("GET", "/_ping", _ping),
    Route("HEAD", "/_ping", _ping),
    Route("GET", "/version", _version),
    Route("GET", "/info", _info),
    Route("GET", "/system/df", _df),
    Route("POST", "/auth", _auth),
    Route("GET", "/events", _events),
)
