"""Give a container another name."""

from __future__ import annotations

from casemate.engine import names, naming
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import AlreadyExists, InvalidArgument


async def rename(engine: Engine, record: Record, name: str) -> None:
    """Rename the container, in whatever state it is.

    Raises InvalidArgument for a name that is none or its own, AlreadyExists for another's.
    """
    if not name.strip().removeprefix("/"):
        raise InvalidArgument("Neither old nor new names may be empty")
    async with engine.live(record.id).lock:
        record = engine.current(record)
        if name.strip().removeprefix("/") == record.name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        try:
            renamed = engine.records.rename(record.id, _free(engine, name.strip()))
        except (AlreadyExists, InvalidArgument) as error:
            raise type(error)(f"Error when allocating new name: {error.message}") from error
        await naming.tell(engine, renamed)
    detail = {**attributes(renamed), "oldName": f"/{record.name}"}
    engine.events.publish("container", "rename", record.id, detail)


def _free(engine: Engine, asked: str) -> str:
    """Return the name unless a container that is being created will have it."""
    name = names.checked(asked)
    for other in engine.making.values():
        if other.name == name:
            raise names.taken(name, other.id)
    return name
