"""``import``: an image from a tar archive of a file system."""

from __future__ import annotations

from casemate.cli.archives import pieces
from casemate.cli.creation import platform_of
from casemate.cli.engine import path_of
from casemate.cli.options import LIST, PLATFORM, Command, Option
from casemate.cli.output import OUT
from casemate.cli.progress import display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    source, *names = arguments.rest
    remote = source.startswith(("http://", "https://"))
    query = path_of(
        "images",
        "create",
        changes=arguments.items("change"),
        **{"casemate-directory": arguments.text("directory")},
        fromSrc=source if remote else "-",
        message=arguments.text("message"),
        platform=platform_of(arguments),
        repo=names[0] if names else "",
    )
    body = None if remote else pieces(source)
    display(session.engine.documents("POST", query, body, {"Content-Type": "text/plain"}), OUT)
    return 0


COMMAND = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    _run,
    (
        Option("change", LIST, "Apply Dockerfile instruction to the created image", short="c"),
        Option("directory", "string", "Directory of the archive that is the root, such as rootfs"),
        Option("message", "string", "Set commit message for imported image", short="m"),
        PLATFORM,
    ),
    least=1,
    most=2,
    examples=(
        "casemate import -c 'CMD [\"sh\"]' root.tar.gz tiny:1",
        "casemate import --directory rootfs -c 'CMD [\"/sbin/init\"]' image.tar.xz box",
    ),
    suggest="files",
    suggest_up_to=1,
)
