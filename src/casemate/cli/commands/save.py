"""``save``: images as a tar archive."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.archives import OUTPUT, fetch
from casemate.cli.engine import path_of
from casemate.cli.options import PLATFORM, Command
from casemate.cli.platforms import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    asked = arguments.text("platform")
    platform = jsontext.dumps(document(asked)) if asked else ""
    path = path_of("images", "get", names=arguments.rest, platform=platform)
    return fetch(session, arguments, path)


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    _run,
    (OUTPUT, PLATFORM),
    least=1,
    examples=("casemate save -o images.tar debian busybox", "casemate save debian | gzip > d.tgz"),
    suggest="images",
)
