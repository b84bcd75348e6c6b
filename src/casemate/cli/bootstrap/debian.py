"""A Debian base image: mmdebstrap's tar, streamed into an import.

The packages come from this machine's own apt sources, which its user has chosen to trust.
Source: man 1 mmdebstrap; man 5 sources.list.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from casemate.cli.bootstrap.importing import import_image, is_here
from casemate.cli.bootstrap.sources import lines_for
from casemate.cli.failure import Exit
from casemate.cli.reference import tagged
from casemate.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_READ = 1 << 20
_CHANGES = ['CMD ["bash"]']
_VARIANTS = (
    "minbase",
    "essential",
    "apt",
    "buildd",
    "required",
    "important",
    "standard",
    "debootstrap",
)


def make(session: Session, arguments: Arguments, suite: str) -> int:
    """Make the image ``--tag``, else ``debian:SUITE``; without a suite it is the latest as well.

    Raises Exit, nothing being tagged.
    """
    names = ["debian:latest"] if not suite else []
    suite = suite or own_suite()
    names.insert(0, f"debian:{suite}")
    for name, text in (("suite", suite), ("variant", arguments.text("variant"))):
        if not text.replace("-", "").replace("_", "").isalnum():
            raise Exit(1, f"invalid {name} {text!r}")
    if arguments.text("variant") not in _VARIANTS:
        raise Exit(1, f"unknown variant: it must be one of {', '.join(_VARIANTS)}")
    images = [
        tagged(name) for name in ([arguments.text("tag")] if arguments.given("tag") else names)
    ]
    if is_here(session, arguments, images):
        return 0
    mirror = arguments.text("mirror")
    sources = [mirror] if mirror else lines_for(suite)
    command = command_line(suite, arguments, sources)
    pieces = _output_of(command, arguments.switch("quiet"))
    return import_image(session, pieces, images, _CHANGES, arguments)


def own_suite() -> str:
    """Return the suite of this machine when it is a Debian, else stable."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            pairs = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except OSError:
        return "stable"
    own = pairs.get("ID", "").strip('"') == "debian"
    return (own and pairs.get("VERSION_CODENAME", "").strip('"')) or "stable"


def command_line(suite: str, arguments: Arguments, sources: list[str]) -> list[str]:
    """Return the command that writes the tar to its standard output. Raises Exit."""
    program = shutil.which("mmdebstrap")
    if program is None:
        raise Exit(
            1,
            "cannot bootstrap debian: mmdebstrap is not installed",
            hint="install the package mmdebstrap",
        )
    words = [program, f"--variant={arguments.text('variant')}", "--format=tar"]
    if arguments.text("include"):
        words.append(f"--include={arguments.text('include')}")
    if arguments.switch("quiet"):
        words.append("--quiet")
    return [*words, "--", suite, "-", *sources]


def _output_of(command: list[str], quiet: bool) -> Iterator[bytes]:
    """Yield what ``command`` writes. Raises Unavailable when it fails at the end."""
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said if quiet else None,
            )
        except OSError as error:
            raise Unavailable(f"cannot run {command[0]}: {error.strerror}") from error
        with child:
            assert child.stdout is not None
            try:
                while piece := child.stdout.read(_READ):
                    yield piece
            except BaseException:
                child.terminate()  # nobody wants the rest
                raise
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").split("\n")
    if child.returncode:
        raise Unavailable(
            f"mmdebstrap failed with status {child.returncode}: no image was made",
            hint=next((line for line in reversed(lines) if line.strip()), None),
        )
