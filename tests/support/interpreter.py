"""A root with this machine's Python: its program, its modules, the libraries they need."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_LIBRARY = re.compile(r"(/\S+) \(0x")
_LEFT_OUT = ("test", "idlelib", "tkinter", "ensurepip", "site-packages", "__pycache__", "lib2to3")


def python_tar() -> bytes:
    """Return the root tar of an image with ``python3``, ``sh`` and ``sleep``."""
    busybox = shutil.which("busybox")
    if not busybox or not shutil.which("ldd"):
        pytest.skip("needs a static busybox and ldd, to make an image with Python")
    program = os.path.realpath(sys.executable)
    modules = sysconfig.get_path("stdlib")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for name, path in ((program, program), ("/bin/busybox", busybox)):
            archive.add(path, name)
        for path in (*_modules(modules), *_libraries(program, modules)):
            archive.add(path, path, recursive=False)
        _directory(archive, "tmp", 0o1777)
        for name, target in (
            ("usr/local/bin/python3", program),
            ("bin/sh", "busybox"),
            ("bin/sleep", "busybox"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def _directory(archive: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)


def _modules(top: str) -> Iterator[str]:
    for directory, inner, names in os.walk(top):
        inner[:] = [n for n in inner if n not in _LEFT_OUT and not n.startswith("config-")]
        yield from (f"{directory}/{name}" for name in names if not name.endswith(".a"))


def _libraries(program: str, modules: str) -> set[str]:
    needed = [program, *map(str, Path(modules, "lib-dynload").glob("*.so"))]
    told = subprocess.run(["ldd", *needed], capture_output=True, text=True, check=False).stdout
    return {path for path in _LIBRARY.findall(told) if os.path.exists(path)}
