"""``commit``: make an image of a container's changes."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import LIST, SWITCH, Command, Option
from casemate.cli.output import out
from casemate.cli.reference import tagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    container, *names = arguments.rest
    image = tagged(names[0]) if names else None
    query = path_of(
        "commit",
        author=arguments.text("author"),
        changes=arguments.items("change"),
        comment=arguments.text("message"),
        container=container,
        pause="" if arguments.switch("pause") else "0",
        repo=image.name if image else "",
        tag=image.tag if image else "",
    )
    out(f"{session.engine.post(query)['Id']}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    _run,
    (
        Option("author", "string", 'Author, such as "Grace Hopper <grace@navy.mil>"', short="a"),
        Option("change", LIST, "Apply Dockerfile instruction to the created image", short="c"),
        Option("message", "string", "Commit message", short="m"),
        Option("pause", SWITCH, "Pause container during commit", short="p", default=True),
    ),
    least=1,
    most=2,
    mixed=False,
    examples=("casemate commit -m 'tools added' box tools:1",),
    suggest="containers",
    suggest_up_to=1,
)
