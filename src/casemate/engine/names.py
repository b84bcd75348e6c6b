"""Container ids and names."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from casemate.errors import AlreadyExists, InvalidArgument

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

# Words of fortresses and of what they are like, for containers that nobody named.
_QUALITIES = (
    "able ancient angular bright broad calm clever coastal deep distant durable early eastern"
    " even firm gentle grand grey high inner keen lasting level light long mighty narrow new"
    " noble northern old open outer patient plain proud quick quiet rugged sandy severe sharp"
    " silent slow solid steady steep still stony strong sturdy sunny tall thick tidy tranquil"
    " upper vast western wide windy young"
).split()
_PLACES = (
    "abutment arch armory bailey barbican bartizan bastion battery battlement blockhouse"
    " bridge buttress caponier castle citadel cistern courtyard crownwork curtain donjon"
    " drawbridge embrasure escarp flank fort fosse fraise gallery garrison gate glacis gorge"
    " hornwork keep lunette machicolation magazine merlon moat palisade parapet portcullis"
    " postern rampart ravelin redan redoubt revetment sallyport scarp stockade tenaille"
    " terreplein tower traverse turret vault wall ward"
).split()


def new_id() -> str:
    """Return a new container id: 64 hex digits.

    Never only decimal digits in its short form, which would pass for a number elsewhere.
    """
    while True:
        candidate = secrets.token_hex(32)
        if not candidate[:12].isdigit():
            return candidate


def checked(name: str) -> str:
    """Return ``name`` without its leading slash. Raises InvalidArgument."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare) or len(bare) > 255:
        raise InvalidArgument(
            f"invalid container name {name[:80]!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare


def generated(taken: Callable[[str], bool]) -> str:
    """Return a name of two words that is not ``taken``."""
    while True:
        name = f"{secrets.choice(_QUALITIES)}_{secrets.choice(_PLACES)}"
        if not taken(name):
            return name
        numbered = f"{name}{secrets.randbelow(1000)}"
        if not taken(numbered):
            return numbered


def taken(name: str, owner: str) -> AlreadyExists:
    """Return the error for a ``name`` that the container with the id ``owner`` has."""
    return AlreadyExists(
        f'Conflict. The container name "/{name}" is already in use by container "{owner}".'
        " You have to remove (or rename) that container to be able to reuse that name."
    )
