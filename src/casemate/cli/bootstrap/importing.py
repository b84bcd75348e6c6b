"""The import that both kinds of base image end in."""

from __future__ import annotations

from casemate.cli.containers import short_id
from casemate.cli.engine import path_of
from casemate.cli.output import ERR, is_terminal, out, write
from casemate.cli.progress import check
from casemate.cli.units import human_size
from casemate.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casemate.cli.arguments import Arguments
    from casemate.cli.reference import Reference
    from casemate.cli.session import Session

_STEP_BYTES = 4 << 20
#: Options that ask for another image than the one that may be here.
_OF_ITS_OWN = ("change", "force", "include", "mirror", "variant")


def is_here(session: Session, arguments: Arguments, names: list[Reference]) -> bool:
    """Tell whether there is the image that is asked for; then give it all ``names``, and say so.

    One that is asked for anew, or with contents of its own, never is.
    """
    if any(map(arguments.given, _OF_ITS_OWN)):
        return False
    try:
        found = session.engine.get(path_of("images", names[0].familiar, "json"))
    except NotFound:
        return False
    _name(session, found["Id"], names)
    _tell(found["Id"], names, " (it is here already: --force makes it anew)", arguments)
    return True


def import_image(
    session: Session,
    pieces: Iterable[bytes],
    names: list[Reference],
    changes: list[str],
    arguments: Arguments,
) -> int:
    """Send a tar to the engine, which makes an image with ``names``, and print what became of it.

    An exception in ``pieces`` breaks the request off: the engine then makes no image.
    """
    query = path_of(
        "images",
        "create",
        changes=[*changes, *arguments.items("change")],
        fromSrc="-",
        repo=names[0].name,
        tag=names[0].tag,
    )
    body = pieces if arguments.switch("quiet") or not is_terminal(ERR) else _counted(pieces)
    headers = {"Content-Type": "application/x-tar"}
    identifier = ""
    for document in session.engine.documents("POST", query, body, headers):
        check(document)
        identifier = str(document.get("status") or identifier)
    _name(session, identifier, names)
    _tell(identifier, names, "", arguments)
    return 0


def _name(session: Session, identifier: str, names: list[Reference]) -> None:
    """Give the image the other ``names`` than the first."""
    for name in names[1:]:
        query = path_of("images", identifier, "tag", repo=name.name, tag=name.tag)
        session.engine.call("POST", query)


def _tell(identifier: str, names: list[Reference], remark: str, arguments: Arguments) -> None:
    if arguments.switch("quiet"):
        out(f"{identifier}\n")
    else:
        out("".join(f"{name.familiar} {short_id(identifier)}{remark}\n" for name in names))


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
