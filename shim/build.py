"""Compile the shim into the package: ``python shim/build.py``.

A static executable is used, not an extension module, so one wheel for each architecture serves
every Python version. musl makes it small (about 110 kB) and quick to start; gcc with a static glibc
works too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
TARGET = SOURCE.parent / "src" / "casemate" / "libexec" / "casemate-shim"
_FLAGS = ["-std=gnu11", "-Os", "-static", "-s", "-D_GNU_SOURCE", "-fstack-protector-strong"]
_WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def build(source: Path = SOURCE, target: Path = TARGET) -> None:
    """Compile the C files of ``source`` into the executable ``target``, when it is out of date."""
    units = sorted(source.glob("*.c"))
    inputs = [*units, *source.glob("*.h"), Path(__file__)]
    if target.exists() and all(p.stat().st_mtime <= target.stat().st_mtime for p in inputs):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    command = [*_compiler(), *_FLAGS, *_WARNINGS, "-o", str(partial), *map(str, units)]
    subprocess.run(command, check=True)
    os.replace(partial, target)


def _compiler() -> list[str]:
    if musl := shutil.which("musl-gcc"):
        # musl has no kernel headers of its own: the system's are searched after musl's.
        machine = sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"
        return [musl, "-idirafter", "/usr/include", "-idirafter", f"/usr/include/{machine}"]
    for name in (os.environ.get("CC"), "cc", "gcc"):
        if name and shutil.which(name):
            return [name]
    raise SystemExit("no C compiler found: apt install musl-tools (or gcc)")


if __name__ == "__main__":
    build()
    sys.stdout.write(f"{TARGET}\n")
