"""``port``: where the ports of a container are published."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.listing import naturally
from casemate.cli.options import Command
from casemate.cli.output import clean, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    container = arguments.rest[0]
    document = session.engine.get(path_of("containers", container, "json"))
    ports = document["NetworkSettings"]["Ports"] or {}
    if len(arguments.rest) > 1:
        lines = _published(ports, arguments.rest[1], container)
    else:
        lines = [f"{port} -> {_place(at)}" for port, places in ports.items() for at in places or ()]
    out("".join(f"{clean(line)}\n" for line in sorted(lines, key=naturally)))
    return 0


def _published(
    ports: dict[str, list[dict[str, str]] | None], asked: str, container: str
) -> list[str]:
    number, _, protocol = asked.partition("/")
    if not (number.isascii() and number.isdigit() and 0 < int(number[:9]) < 1 << 16):
        raise Exit(1, f"invalid port '{asked}': not a number from 1 to 65535")
    places = ports.get(f"{int(number)}/{protocol or 'tcp'}")
    if not places:
        raise Exit(1, f"no public port '{asked}' published for {container}")
    return [_place(place) for place in places]


def _place(place: dict[str, str]) -> str:
    address = place["HostIp"]
    return (
        f"[{address}]:{place['HostPort']}" if ":" in address else f"{address}:{place['HostPort']}"
    )


COMMAND = Command(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    _run,
    least=1,
    most=2,
    examples=("casemate port web", "casemate port web 80/tcp"),
    suggest="containers",
    suggest_up_to=1,
)
