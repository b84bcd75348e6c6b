"""``tag``: give an image one more name."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import Command
from casemate.cli.reference import tagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    source, name = arguments.rest
    target = tagged(name)
    if target.digest:
        raise Exit(1, "refusing to create a tag with a digest reference")
    session.engine.post(path_of("images", source, "tag", repo=target.name, tag=target.tag))
    return 0


COMMAND = Command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    _run,
    least=2,
    most=2,
    mixed=False,
    examples=("casemate tag debian registry.lan:5000/debian:12",),
    suggest="images",
    suggest_up_to=2,
)
