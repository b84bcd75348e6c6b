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
        for component in server.get("Components") or [_engine_of(server)]:
            lines.append([f" {component.get('Name')}:"])
            lines += [[f"  {name}:", value] for name, value in _details(component)]
    return aligned([[clean(cell) for cell in line] for line in lines], 20, 1)


def _engine_of(server: dict[str, Any]) -> dict[str, Any]:
    """Return the engine as a component, for an engine that does not list any."""
    names = ("ApiVersion", "MinAPIVersion", "GitCommit", "Os", "Arch", "BuildTime")
    details = {name: server[name] for name in names if server.get(name)}
    return {"Name": "Engine", "Version": server.get("Version"), "Details": details}


def _details(component: dict[str, Any]) -> list[tuple[str, str]]:
    details = component.get("Details") or {}
    pairs = [("Version", component.get("Version"))]
    if component.get("Name") == "Engine":
        api = f"{details.get('ApiVersion')} (minimum version {details.get('MinAPIVersion')})"
        pairs += [
            ("API version", api),
            ("Git commit", details.get("GitCommit")),
            ("Built", details.get("BuildTime")),
            ("OS/Arch", f"{details.get('Os')}/{details.get('Arch')}"),
        ]
        shown = ("ApiVersion", "MinAPIVersion", "GitCommit", "BuildTime", "Os", "Arch")
        details = {name: value for name, value in details.items() if name not in shown}
    pairs += sorted(details.items())
    return [(name, str(value)) for name, value in pairs if value]


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (FORMAT_ONE,),
    most=0,
    examples=("casemate version -f '{{.Server.Version}}'",),
)
