"""Images that mean harm: what they hold lies over a busybox root, in layers of their own."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support import images
from support.engine import RunningEngine, busybox_tar

_SOURCE = Path(__file__).parent / "intruder.c"
_numbers = itertools.count()


@functools.cache
def _intruder() -> bytes:
    """Compile the program that tries what it may not."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler: apt install gcc")
    with tempfile.TemporaryDirectory(prefix="casemate-") as place:
        target = f"{place}/intruder"
        flags = ["-static", "-no-pie", "-O1", "-Wall", "-Werror"]
        subprocess.run([compiler, *flags, "-o", target, str(_SOURCE)], check=True)
        return Path(target).read_bytes()


@functools.cache
def _base() -> tuple[bytes, bytes]:
    program = images.member("bin/intruder", b"0", mode=0o755)
    return busybox_tar(), images.tar({}, (program, _intruder()))


def load(engine: RunningEngine, *layers: bytes, **settings: Any) -> str:
    """Load an image with ``layers`` over busybox and intruder; return its name.

    ``settings`` are members of the image's config.
    """
    name = f"hostile:{next(_numbers)}"
    parts = {f"{number}.tar": layer for number, layer in enumerate((*_base(), *layers))}
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"], **settings}
    engine.load(images.tar(images.docker_archive(parts, name, config=config)))
    return name


class Sentinel:
    """A directory of the host with a file in it, which a container must not come to."""

    def __init__(self, place: Path) -> None:
        self.path = str(place)
        (place / "deep").mkdir(parents=True)
        self.file = f"{place}/kept"
        Path(self.file).write_text("kept\n")
        self._before = self._look()

    def assert_untouched(self) -> None:
        """Nothing is there that was not, nothing is gone, nothing is different."""
        assert self._look() == self._before

    def _look(self) -> Mapping[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for directory, names, files in os.walk(self.path):
            for name in (".", *names, *files):
                path = f"{directory}/{name}"
                it = os.lstat(path)
                text = Path(path).read_bytes() if stat.S_ISREG(it.st_mode) else b""
                found[path] = (it.st_mode, it.st_uid, it.st_gid, it.st_nlink, it.st_dev, text)
        return found
