"""The import that both kinds of base image end in."""

from __future__ import annotations

from casemate.cli.containers import short_id
from casemate.cli.engine import path_of
from casemate.cli.output import ERR, is_terminal, out, write
from casemate.cli.progress import check
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casemate.cli.reference import Reference
    from casemate.cli.session import Session

_STEP_BYTES = 4 << 20


def import_image(
    session: Session,
    pieces: Iterable[bytes],
    names: list[Reference],
    changes: list[str],
    quiet: bool,
) -> int:
    """Send a tar to the engine, which makes an image with ``names``, and print what became of it.

    An exception in ``pieces`` breaks the request off: the engine then makes no image.
    """
    query = path_of(
        "images",
        "create",
        changes=changes,
        fromSrc="-",
        repo=names[0].name,
        tag=names[0].tag,
    )
    body = pieces if quiet or not is_terminal(ERR) else _counted(pieces)
    headers = {"Content-Type": "application/x-tar"}
    identifier = ""
    for document in session.engine.documents("POST", query, body, headers):
        check(document)
        identifier = str(document.get("status") or identifier)
    for name in names[1:]:
        session.engine.call(
            "POST", path_of("images", identifier, "tag", repo=name.name, tag=name.tag)
        )
    if quiet:
        out(f"{identifier}\n")
    else:
        out("".join(f"{name.familiar} {short_id(identifier)}\n" for name in names))
    return 0


def _counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``pieces``, and show on the terminal how much went by."""
    total = shown = 0
    for piece in pieces:
        yield piece
        total += len(piece)
        if total - shown >= _STEP_BYTES:
            shown = total
            write(ERR, f"\r\x1b[2K{human_size(total)} imported".encode())
    write(ERR, b"\r\x1b[2K")
