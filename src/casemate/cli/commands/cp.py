"""``cp``: copy between a container and here."""

from __future__ import annotations

import os

from casemate.cli import copypaths
from casemate.cli.copypaths import Source
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import ERR, OUT, err, is_terminal, write
from casemate.cli.units import human_size
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.copypaths import Kind
    from casemate.cli.session import Session
    from casemate.http.client import Reply

#: Bits of Go's FileMode, as the engine tells what a path is.
_DIRECTORY, _LINK, _DEVICE = 1 << 31, 1 << 27, 1 << 26
_READ = 1 << 18


def _run(session: Session, arguments: Arguments) -> int:
    source, target = arguments.rest
    for what, text in (("source", source), ("destination", target)):
        if not text:
            raise Exit(1, f"{what} can not be empty")
    container, path = copypaths.container_and_path(source)
    other, place = copypaths.container_and_path(target)
    if container and other:
        raise Exit(1, "copying between containers is not supported")
    if container:
        _fetch(session, arguments, container, path, target)
    elif other:
        _send(session, arguments, source, other, place)
    else:
        raise Exit(1, "must specify at least one container source")
    return 0


class _Progress:
    """Counts what passes, and shows it on a terminal."""

    def __init__(self, arguments: Arguments, what: str, total: int = 0) -> None:
        quiet = arguments.switch("quiet") if arguments.given("quiet") else not is_terminal(OUT)
        self._shown = not quiet
        self._board: Any = None
        if self._shown and is_terminal(ERR):
            from casemate.cli.progress import Board

            self._board = Board(ERR)
        self._what = what
        self._total = total
        self.bytes = 0

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``chunks``."""
        for chunk in chunks:
            self.bytes += len(chunk)
            if self._board:
                detail = {"current": self.bytes, "total": self._total}
                self._board.show({"id": self._what, "status": "", "progressDetail": detail})
            yield chunk

    def end(self, target: str) -> None:
        """Say that all is there."""
        if self._shown:
            err(f"Successfully copied {human_size(self.bytes, 3)} to {target}\n")


def _fetch(session: Session, arguments: Arguments, container: str, path: str, target: str) -> None:
    source = Source(path, is_directory=False)
    if arguments.switch("follow-link"):
        told = _look(session, container, path)
        if told and told["mode"] & _LINK:
            source = copypaths.followed(path, told["linkTarget"])
    query = path_of("containers", container, "archive", path=source.path)
    with session.engine.request("GET", query) as reply:
        told = _told(reply)
        source.is_directory = bool(told["mode"] & _DIRECTORY)
        if target == "-":
            _to_stdout(reply.chunks())
            return
        total = 0 if source.is_directory else int(told["size"])
        progress = _Progress(arguments, "Copying from container", total)
        _unpack(progress.counted(reply.chunks()), source, target)
    progress.end(os.path.abspath(target) + ("/" if target.endswith("/") else ""))


def _unpack(chunks: Iterator[bytes], source: Source, target: str) -> None:
    from casemate.cli import localfiles

    directory, name = copypaths.placed(source, target, localfiles.kind_of(target))
    if not os.path.isdir(directory):
        raise Exit(1, f'invalid output path: directory "{directory}" does not exist')
    # A link is what it leads to: the file there is replaced, not the link.
    if os.path.islink(target) and directory != target:
        directory, name = os.path.split(os.path.realpath(target))
    last = copypaths.split(source.path)[1]
    localfiles.unpack(chunks, directory, localfiles.renamed(last, name))


def _to_stdout(chunks: Iterable[bytes]) -> None:
    if is_terminal(OUT):
        raise Exit(1, "cowardly refusing to write an archive to a terminal")
    for chunk in chunks:
        write(OUT, chunk)


def _send(session: Session, arguments: Arguments, path: str, container: str, target: str) -> None:
    shown = f"{container}:{target}"
    place, kind = _place(session, container, target)
    progress = _Progress(arguments, "Copying to container")
    if path == "-":
        if kind != "directory":
            raise Exit(1, f'destination "{shown}" must be a directory')
        directory, chunks = place, _stdin()
    else:
        from casemate.cli import localfiles

        source = localfiles.source(path, follow=arguments.switch("follow-link"))
        directory, name = copypaths.placed(source, place, kind)
        chunks = localfiles.archive(source, name)
    query = path_of(
        "containers",
        container,
        "archive",
        copyUIDGID="true" if arguments.switch("archive") else "",
        noOverwriteDirNonDir="true",
        path=directory,
    )
    headers = {"Content-Type": "application/x-tar"}
    with session.engine.request("PUT", query, progress.counted(chunks), headers) as reply:
        reply.read()
    progress.end(shown)


def _place(session: Session, container: str, path: str) -> tuple[str, Kind]:
    """Return where a copy to ``path`` goes, links followed, and what is there."""
    told = _look(session, container, path)
    if told and told["mode"] & _LINK:
        path = told["linkTarget"]
        told = _look(session, container, path)
    if not told:
        return path, "missing"
    if told["mode"] & _DEVICE:
        raise Exit(
            1,
            f'destination "{container}:{path}" must be a directory or a regular file: got a device',
        )
    return path, "directory" if told["mode"] & _DIRECTORY else "other"


def _look(session: Session, container: str, path: str) -> dict[str, Any] | None:
    """Return what the engine tells of a path, None when it cannot: the copy will say why."""
    try:
        query = path_of("containers", container, "archive", path=path)
        with session.engine.request("HEAD", query) as reply:
            reply.read()
            return _told(reply)
    except Error:
        return None


def _told(reply: Reply) -> dict[str, Any]:
    from binascii import a2b_base64

    from casemate.cli import jsontext

    text = reply.headers.get("x-docker-container-path-stat", "")
    found: dict[str, Any] = jsontext.loads(a2b_base64(text))
    return found


def _stdin() -> Iterator[bytes]:
    while data := os.read(0, _READ):
        yield data


COMMAND = Command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n"
    "        casemate cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    _run,
    (
        Option("archive", SWITCH, "Archive mode (copy all uid/gid information)", short="a"),
        Option("follow-link", SWITCH, "Always follow symlinks in SRC_PATH", short="L"),
        Option(
            "quiet",
            SWITCH,
            "Suppress progress output during copy. Progress output is automatically suppressed"
            " if no terminal is attached",
            short="q",
        ),
    ),
    least=2,
    most=2,
    about="Copy files/folders between a container and the local filesystem\n\n"
    "Use '-' as the source to read a tar archive from stdin and extract it to a directory\n"
    "destination in a container. Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.",
    examples=("casemate cp box:/etc/hosts .", "casemate cp site/. web:/srv"),
    suggest="files",
)
