"""Archives that come from the engine, and those that go to it."""

from __future__ import annotations

import os

from casemate.cli.failure import Exit
from casemate.cli.newfile import NewFile
from casemate.cli.options import Option
from casemate.cli.output import OUT, is_terminal, write
from casemate.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

OUTPUT = Option(
    "output", "string", "Write to a file, instead of STDOUT", short="o", suggest="files"
)
_READ = 1 << 20


def fetch(session: Session, arguments: Arguments, path: str) -> int:
    """Write the engine's answer to a GET of ``path`` to ``--output``, else to standard output.

    The file appears when all of it is there; a name that ends with a slash is a directory, into
    which the archive is unpacked. Raises Exit when standard output is a terminal.
    """
    output = arguments.text("output")
    if not output and is_terminal(OUT):
        raise Exit(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect")
    with session.engine.request("GET", path) as reply:
        if not output:
            for chunk in reply.chunks():
                write(OUT, chunk)
            return 0
        if output.endswith("/"):
            from casemate.cli.layout import unpack

            unpack(reply.chunks(), output)
            return 0
        with NewFile(output) as file:
            for chunk in reply.chunks():
                file.write(chunk)
    return 0


def pieces(path: str) -> Iterator[bytes]:
    """Yield a file's content; "-" is standard input, a directory an OCI layout.

    Raises the Error that fits.
    """
    if os.path.isdir(path):
        from casemate.cli.layout import packed

        return packed(path)
    try:
        descriptor = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os(error, "cannot read the archive") from error
    return _read_all(descriptor, path)


def _read_all(descriptor: int, path: str) -> Iterator[bytes]:
    try:
        while data := os.read(descriptor, _READ):
            yield data
    except OSError as error:
        raise from_os(error, f"cannot read {path}") from error
    finally:
        os.close(descriptor)
