"""dockerd with a containerd of its own, all below one directory."""

from __future__ import annotations

import os
import shutil

from bench import daemon
from bench.daemon import Daemon
from bench.failure import Missing
from bench.keeper import Keeper
from bench.lab import CGROUP


def start(directory: str) -> Daemon:
    """Start dockerd; it starts containerd. Raises Missing."""
    program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        raise Missing("dockerd is not installed")
    place = f"{directory}/docker"
    os.makedirs(place)
    socket = f"{place}/docker.sock"
    keeper = Keeper(directory, "dockerd")
    arguments = [
        *(program, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec"),
        *("--pidfile", f"{place}/pid", "-H", f"unix://{socket}"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{CGROUP}/docker"),
        *("--storage-driver", "overlay2"),
    ]
    pid, client = daemon.serve(keeper, arguments, socket)
    return Daemon(
        "dockerd",
        daemon.version(client),
        client,
        keeper,
        pid,
        (_command(program), "--config", f"{place}/client", "-H", f"unix://{socket}"),
        (f"{place}/data/overlay2", f"{place}/data/image/overlay2/layerdb"),
    )


def _command(program: str) -> str:
    """Return the client that came with this dockerd, else any."""
    beside = f"{os.path.dirname(program).removesuffix('sbin')}bin/docker"
    found = beside if os.path.exists(beside) else shutil.which("docker")
    if not found:
        raise Missing("the docker command is not installed")
    return found
