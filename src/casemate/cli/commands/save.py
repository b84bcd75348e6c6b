"""``save``: images as a tar archive."""

from __future__ import annotations

from casemate.cli.archives import OUTPUT, fetch
from casemate.cli.engine import path_of
from casemate.cli.options import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    return fetch(session, arguments, path_of("images", "get", names=arguments.rest))


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    _run,
    (OUTPUT,),
    least=1,
    examples=(
        "casemate save -o images.tar debian busybox",
        "casemate save debian | gzip > d.tgz",
        "casemate save -o layout/ debian",
    ),
    suggest="images",
)
