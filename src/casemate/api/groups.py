"""/casemate/groups: named parts of the machine, each with a budget."""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.api.answers import NO_CONTENT, converted, document, refuse_unknown, reply
from casemate.api.documents.group import group
from casemate.api.router import Call, Route
from casemate.engine.groups import life
from casemate.engine.groups.records import Budget
from casemate.engine.threads import in_thread
from casemate.errors import InvalidArgument
from casemate.http.message import Response


class _Request(Budget, frozen=True, rename="pascal"):
    """The body of a request for a new group."""

    name: str = ""
    parent: str = ""


async def _create(call: Call) -> Response:
    found = await document(call)
    refuse_unknown(found or {}, _Request)
    asked = converted({} if found is None else found, _Request)
    names = Budget.__struct_fields__
    budget = Budget(**{name: getattr(asked, name) for name in names})
    work = life.create(call.engine, asked.name, asked.parent, budget)
    made = await call.engine.to_the_end(work)
    return reply({"Name": made.name}, 201)


async def _list(call: Call) -> Response:
    engine = call.engine
    return reply(await in_thread(lambda: [group(engine, g) for g in engine.groups.all()]))


async def _inspect(call: Call) -> Response:
    engine = call.engine
    found = engine.groups.find(call.values["name"])
    return reply(await in_thread(lambda: group(engine, found)))


async def _update(call: Call) -> Response:
    """Change what the body says, also to nothing; what it leaves out stays."""
    found: Any = await document(call)
    if not isinstance(found, dict):
        raise InvalidArgument("invalid JSON: got EOF while reading request body")
    refuse_unknown(found, Budget)
    asked = converted(found, Budget)
    fields = {f.encode_name: f.name for f in msgspec.structs.fields(Budget)}
    changes = {fields[key]: getattr(asked, fields[key]) for key in found if key in fields}
    await call.engine.to_the_end(life.update(call.engine, call.values["name"], changes))
    return NO_CONTENT


async def _remove(call: Call) -> Response:
    await call.engine.to_the_end(life.remove(call.engine, call.values["name"]))
    return NO_CONTENT


ROUTES = (
    Route("GET", "/casemate/groups", _list),
    Route("POST", "/casemate/groups/create", _create),
    Route("GET", "/casemate/groups/{name}", _inspect),
    Route("DELETE", "/casemate/groups/{name}", _remove),
    Route("POST", "/casemate/groups/{name}/update", _update),
)
