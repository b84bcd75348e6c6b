"""``bootstrap``: a base image from what this machine has, without a registry."""

from __future__ import annotations

from casemate.cli.failure import Exit
from casemate.cli.options import LIST, SWITCH, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_DEBIAN_ONLY = ("include", "mirror", "variant")


def _run(session: Session, arguments: Arguments) -> int:
    kind, _, suite = arguments.rest[0].partition(":")
    if kind == "debian":
        from casemate.cli.bootstrap import debian

        return debian.make(session, arguments, suite)
    if kind != "busybox" or suite:
        raise Exit(
            1,
            f"cannot bootstrap {arguments.rest[0]!r}: it must be debian, debian:SUITE or busybox",
        )
    for name in _DEBIAN_ONLY:
        if arguments.given(name):
            raise Exit(1, f"--{name} is for debian")
    from casemate.cli.bootstrap import busybox

    return busybox.make(session, arguments)


COMMAND = Command(
    "[OPTIONS] debian[:SUITE]|busybox",
    _run,
    (
        Option("change", LIST, "Apply Dockerfile instruction to the created image", short="c"),
        Option("force", SWITCH, "Make the image anew even if there is one of that name", short="f"),
        Option("include", "string", "More packages, separated by commas (debian)"),
        Option("mirror", "string", "URL of the package mirror (debian; this machine's own)"),
        Option("quiet", SWITCH, "Print the image's ID only", short="q"),
        Option("tag", "string", "Name of the image (debian:SUITE, busybox:latest)", short="t"),
        Option(
            "variant",
            "string",
            "Which packages to install (debian)",
            default="minbase",
            suggest="minbase essential apt buildd important standard",
        ),
    ),
    least=1,
    most=1,
    about="Make a base image from this machine's package sources.\n"
    "debian runs mmdebstrap, busybox takes this machine's static busybox. An image of that\n"
    "name is used as it is, unless --force or an option of what is in it is given.",
    examples=(
        "casemate bootstrap busybox",
        "casemate bootstrap debian:bookworm --include curl",
        "casemate bootstrap debian --include systemd-sysv,dbus -c 'CMD [\"/sbin/init\"]' -t box",
    ),
    suggest="debian busybox",
    suggest_up_to=1,
)
