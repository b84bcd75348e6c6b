"""podman, with storage, state and settings below one directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from bench.failure import Broken, Missing
from bench.images import BUSYBOX
from bench.keeper import Keeper, Ran
from bench.lab import CGROUP
from bench.runtimes import separate_cgroups

_SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman(NamedTuple):
    """podman with its global options, and how to call it."""

    version: str
    keeper: Keeper
    command: tuple[str, ...]
    settings: str

    def run(self, *arguments: str) -> Ran:
        """Run podman to its end."""
        return self.keeper.run((*self.command, *arguments), {"CONTAINERS_CONF": self.settings})

    def run_true(self, image: str, network: str) -> Ran:
        """Run ``true`` in a container that is removed."""
        options = ("--rm", "--network", network, "--cgroup-parent", f"/{CGROUP}/podman")
        return self.run("run", *options, image, "true")

    def store(self, arguments: Sequence[str]) -> None:
        """Make an image."""
        self.run(*arguments)


def start(directory: str, busybox: str) -> Podman:
    """Return podman with the image busybox in its store. Raises Missing."""
    program = shutil.which("podman")
    if not program:
        raise Missing("podman is not installed")
    place = f"{directory}/podman"
    os.makedirs(place)
    settings = f"{place}/containers.conf"
    with open(settings, "x", encoding="utf-8") as file:
        file.write(_SETTINGS)
    keeper = Keeper(directory, "podman-output", separate_cgroups())
    command = (
        *(program, "--root", f"{place}/root", "--runroot", f"{place}/run"),
        *("--tmpdir", f"{place}/tmp", "--storage-driver", "overlay", "--log-level", "error"),
    )
    version = keeper.run([program, "--version"]).output.strip()
    podman = Podman(version, keeper, command, settings)
    try:
        podman.run("import", busybox, BUSYBOX)
        podman.run_true(BUSYBOX, "none")
    except Broken as error:
        keeper.close()
        raise Missing(f"it does not run here: {error}") from error
    return podman
