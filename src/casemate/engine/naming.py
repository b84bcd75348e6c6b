"""The names by which containers on a network of a user's find each other."""

from __future__ import annotations

from casemate.engine.records import Attachment, Record


def names_of(record: Record, attachment: Attachment) -> tuple[str, ...]:
    """Return the names of a container on one network: its own, aliases, the short id, its host
    name. Each one once, in this order.
    """
    own = record.fixed.config.hostname
    names = (record.name, *attachment.aliases, record.short, *((own,) if own else ()))
    return tuple(dict.fromkeys(names))
