"""``stats``: what containers use, live."""

from __future__ import annotations

import time

from casemate.cli import usagerows
from casemate.cli.engine import path_of
from casemate.cli.failure import joined
from casemate.cli.following import Changes, Feeds
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.output import OUT, is_terminal, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_PERIOD_S = 1.0
#: To the top left corner; to the end of the line, to the end of the screen: nothing there.
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = b"\x1b[H", b"\x1b[K", b"\x1b[J"
_CLEAR = b"\x1b[H\x1b[2J"


def _run(session: Session, arguments: Arguments) -> int:
    stream = not arguments.switch("no-stream")
    form = arguments.text("format") or session.config.text("statsFormat")
    whole = arguments.switch("no-trunc")
    feeds = Feeds(session, stream=stream)
    changes = None
    if arguments.rest:
        for container in arguments.rest:
            feeds.add(container)
    else:
        everything = arguments.switch("all")
        if stream:
            changes = Changes(session, feeds, everything=everything)
        query = path_of("containers", "json", all="1" if everything else "")
        for container in session.engine.get(query):
            feeds.add(str(container["Id"]))
    feeds.wait()
    if arguments.rest and (errors := feeds.errors()):
        raise joined(errors)
    if not stream:
        usagerows.LISTING.show(feeds.rows(), form, whole=whole)
        return 0
    return _refresh(feeds, changes, form, whole)


def _refresh(feeds: Feeds, changes: Changes | None, form: str, whole: bool) -> int:
    """Show the list again and again: in place on a terminal."""
    terminal = is_terminal(OUT)
    if terminal:
        write(OUT, _CLEAR)
    while changes or len(feeds):
        if changes and changes.ended:
            if changes.error:
                raise changes.error
            return 0
        text = usagerows.LISTING.text(feeds.rows(), form, whole=whole).encode()
        write(OUT, _framed(text) if terminal else text)
        time.sleep(_PERIOD_S)
    return 0


def _framed(text: bytes) -> bytes:
    """Return ``text`` so that it covers what stood on the screen before."""
    return _HOME + text.replace(b"\n", _REST_OF_LINE + b"\n") + _REST_OF_SCREEN


COMMAND = Command(
    "[OPTIONS] [CONTAINER...]",
    _run,
    (
        Option("all", SWITCH, "Show all containers (default shows just running)", short="a"),
        FORMAT,
        Option("no-stream", SWITCH, "Disable streaming stats and only pull the first result"),
        Option("no-trunc", SWITCH, "Do not truncate output"),
    ),
    examples=("casemate stats web", "casemate stats --no-stream --format json"),
    suggest="containers",
)
