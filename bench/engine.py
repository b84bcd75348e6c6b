"""Our own engine, as it is found by this interpreter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from bench import daemon, lab
from bench.daemon import Daemon
from bench.failure import Missing
from bench.keeper import Keeper

_LAUNCHER = """#!{python}
import sys
from casemate.cli.main import main
sys.exit(main())
"""


def arguments(place: str, warm_rooms: int) -> list[str]:
    """Return the command line of an engine that keeps everything below ``place``."""
    return [
        *(sys.executable, "-m", "casemate.daemon"),
        *("--root", f"{place}/root", "--run", f"{place}/run"),
        *("--warm-rooms", str(warm_rooms)),
    ]


def start(directory: str, name: str, warm_rooms: int) -> Daemon:
    """Start an engine with so many rooms ready."""
    place = f"{directory}/{name.replace(' ', '-')}"
    os.makedirs(place)
    keeper = Keeper(directory, os.path.basename(place))
    pid, client = daemon.serve(keeper, arguments(place, warm_rooms), f"{place}/run/casemate.sock")
    lab.remember_cgroup(directory, client.get("/info")["ID"])
    return Daemon(
        name,
        f"{daemon.version(client)} ({_revision()})",
        client,
        keeper,
        pid,
        tuple(command(directory, place)),
        (f"{place}/root/content", f"{place}/root/layers"),
    )


def command(directory: str, place: str) -> list[str]:
    """Return how the command line program is called for the engine at ``place``."""
    program = os.path.join(os.path.dirname(sys.executable), "casemate")
    if not os.path.exists(program):
        program = _launcher(directory)
    return [program, "--root", f"{place}/root", "--run", f"{place}/run"]


def require_command(name: str) -> None:
    """Raise Missing when the command line program has no command ``name``."""
    if importlib.util.find_spec(f"casemate.cli.commands.{name}") is None:
        raise Missing(f"there is no command casemate {name}")


def _launcher(directory: str) -> str:
    """Write what an installer writes as the console script, for a checkout without one."""
    path = f"{directory}/bin/casemate"
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path))
        with open(path, "x", encoding="utf-8") as file:
            file.write(_LAUNCHER.format(python=sys.executable))
        os.chmod(path, 0o755)
    return path


def _revision() -> str:
    import casemate

    where = os.path.dirname(os.path.abspath(casemate.__file__))
    found = subprocess.run(
        ["git", "-C", where, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "no revision known"
