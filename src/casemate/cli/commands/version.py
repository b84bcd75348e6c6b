"""``version``: the versions of client and engine."""

from __future__ import annotations

import os
import sys

from casemate import __version__
from casemate.cli.engine import API_VERSION
from casemate.cli.inspecting import print_one, template_of
from casemate.cli.options import FORMAT_ONE, Command
from casemate.cli.output import clean, out
from casemate.cli.table import aligned
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_ENGINE = ("ApiVersion", "MinAPIVersion", "GitCommit", "BuildTime", "Os", "Arch")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    template_of(form)  # a mistake in it is told before anything is asked
    machine = os.uname().machine
    versions: dict[str, Any] = {
        "Client": {
            "Version": __version__,
            "ApiVersion": API_VERSION,
            "DefaultAPIVersion": API_VERSION,
            "PythonVersion": sys.version.split()[0],
            "Os": "linux",
            "Arch": _MACHINES.get(machine, machine),
        },
        "Server": None,
    }
    failure: Error | None = None
    try:
        versions["Server"] = session.engine.get("/version")
    except Error as error:
        failure = error
    if form:
        print_one(versions, form)
    else:
        out(_text(versions["Client"], versions["Server"]))
    if failure:
        raise failure
    return 0


def _text(client: dict[str, Any], server: dict[str, Any] | None) -> str:
    lines = [
        ["Client:"],
        [" Version:", client["Version"]],
        [" API version:", client["ApiVersion"]],
        [" Python version:", client["PythonVersion"]],
        [" OS/Arch:", f"{client['Os']}/{client['Arch']}"],
    ]
    if server:
        lines += [[""], [f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip()]]
        for component in server.get("Components") or [{"Name": "Engine"}]:
            lines.append([f" {component.get('Name')}:"])
            if component.get("Name") == "Engine":
                component = _filled(component, server)
            lines += [[f"  {name}:", value] for name, value in _details(component)]
    return aligned([[clean(cell) for cell in line] for line in lines], 20, 1)


def _filled(engine: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    """Return the engine as a component; what it does not say of itself the answer says."""
    details = {name: server[name] for name in _ENGINE if server.get(name)}
    details |= engine.get("Details") or {}
    return {"Version": server.get("Version")} | engine | {"Details": details}


def _details(component: dict[str, Any]) -> list[tuple[str, str]]:
    details = component.get("Details") or {}
    pairs = [("Version", component.get("Version"))]
    if component.get("Name") == "Engine":
        least = details.get("MinAPIVersion")
        api = f"{details.get('ApiVersion')}" + (f" (minimum version {least})" if least else "")
        pairs += [
            ("API version", api),
            ("Git commit", details.get("GitCommit")),
            ("Built", details.get("BuildTime")),
            ("OS/Arch", f"{details.get('Os')}/{details.get('Arch')}"),
        ]
        details = {name: value for name, value in details.items() if name not in _ENGINE}
    pairs += sorted(details.items())
    return [(name, str(value)) for name, value in pairs if value]


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (FORMAT_ONE,),
    most=0,
    examples=("casemate version -f '{{.Server.Version}}'",),
)
