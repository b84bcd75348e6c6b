"""The images that are measured with, as archives of a root."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile

from bench.failure import Missing

BUSYBOX = "busybox"
DEBIAN = "debian"
_DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var")
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"


def write_busybox(path: str) -> None:
    """Write the root of an image with nothing but a static busybox. Raises Missing."""
    program = shutil.which("busybox")
    if not program:
        raise Missing("busybox is not installed (it must be a static one)")
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in _DIRECTORIES:
            _directory(tar, name)
        tar.add(program, "bin/busybox", filter=_plain)
        for name in names.stdout.split():
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if name != "busybox":
                tar.addfile(link)
        for name, data in (("etc/passwd", _PASSWD), ("etc/group", _GROUP)):
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(data), 0o644
            tar.addfile(file, io.BytesIO(data))


def _directory(tar: tarfile.TarFile, name: str) -> None:
    directory = tarfile.TarInfo(name)
    directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    tar.addfile(directory)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def debian(work: str) -> str:
    """Return the archive of a Debian root below ``work``. Raises Missing."""
    path = f"{work}/debian.tar"
    if not os.path.exists(path):
        raise Missing(f"there is no {path}, and it could not be made")
    return path


def make_debian(work: str) -> None:
    """Make the archive unless it is there: a minute, with the network, so outside of the lab.

    Where it cannot be made it is missing, which whoever asks for it is told.
    """
    path, partial = f"{work}/debian.tar", f"{work}/debian.partial.tar"
    if os.path.exists(path) or not shutil.which("mmdebstrap"):
        return
    command = ["mmdebstrap", "--variant=minbase", "--quiet", "bookworm", partial]
    if subprocess.run(command, check=False).returncode == 0:
        os.rename(partial, path)
