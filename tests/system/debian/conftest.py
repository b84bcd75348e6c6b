"""An engine with two systems made of Debian's packages, for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from support.commands import CASEMATE
from support.engine import RunningEngine
from support.engines import place, require

#: Image → what it is made of: an init, and services; the databases are also run alone.
IMAGES = {
    "systemd": "systemd,systemd-sysv,dbus,nginx-light,redis-server,postgresql",
    "sysvinit": "sysvinit-core,nginx-light",
}
#: Where a root file system is put together: a disk would be the slower half of it.
_MEMORY = "/dev/shm"


@pytest.fixture(scope="package")
def images() -> Iterator[RunningEngine]:
    """An engine with the images ``systemd`` and ``sysvinit``, which boot."""
    require()
    if not shutil.which("mmdebstrap"):
        pytest.skip("needs mmdebstrap: apt install mmdebstrap")
    engine = RunningEngine(place())
    engine.start()
    try:
        made = [_bootstrap(engine, name) for name in IMAGES]
        for process in made:
            said, _ = process.communicate()
            assert process.returncode == 0, said.decode()
        yield engine
        assert not engine.fsck()  # once: it reads all of every image
    finally:
        engine.remove_everything()


def _bootstrap(engine: RunningEngine, name: str) -> subprocess.Popen[bytes]:
    command = [*CASEMATE, "-H", f"unix://{engine.socket}"]
    command += ["bootstrap", "debian:bookworm", "--include", IMAGES[name], "-t", name]
    command += ["-c", 'CMD ["/sbin/init"]']
    more = {"TMPDIR": _MEMORY} if os.path.isdir(_MEMORY) else {}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | more,
    )


@pytest.fixture
def debian(images: RunningEngine) -> Iterator[RunningEngine]:
    """The engine; what a test leaves in it is removed."""
    yield images
    for container in images.client.get("/containers/json?all=1"):
        images.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    for image in images.client.get("/images/json"):
        for name in image["RepoTags"]:
            if name.removesuffix(":latest") not in IMAGES:
                images.client.call("DELETE", f"/images/{name}?force=1")
