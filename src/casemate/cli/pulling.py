"""Pulls an image with the user's credentials."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.progress import display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.reference import Reference
    from casemate.cli.session import Session


def pull(session: Session, image: Reference, platform: str, descriptor: int) -> None:
    """Pull ``image``; without tag and digest all of its tags. Progress goes to ``descriptor``.

    Raises the Error that the engine or the registry reports.
    """
    from casemate.cli.authentication import header

    query = path_of(
        "images",
        "create",
        fromImage=image.name,
        platform=platform,
        tag=image.version,
    )
    headers = {"X-Registry-Auth": header(session.config, image.domain)}
    display(session.engine.documents("POST", query, headers=headers), descriptor)
